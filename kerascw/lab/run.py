"""Run a study: its variants over seeds, each run kept, none trained twice."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerascw.data import FOLDER, split
from kerascw.errors import CallError
from kerascw.experiment.recipes import recipe_named
from kerascw.experiment.settings import override
from kerascw.experiment.spec import DataSpec, Experiment
from kerascw.lab.derive import (
    cross_validated,
    finals_of,
    of_sample,
    on_other_data,
    repeated,
)
from kerascw.lab.repeats import repeat_text
from kerascw.lab.study import Budget, Study
from kerascw.runs.environment import command_line
from kerascw.runs.many import StudyWatcher, checked_name, dataset_for, run_many
from kerascw.runs.store import Run, Store, write_json
from kerascw.studies import all_studies, study_named

SHORTCUTS = {
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "learning_rate": "training.optimizer.learning_rate",
    "fraction": "data.fraction",
    "augment": "training.augmentation",
    "precision": "training.precision",
}
"""Options that stand for one field of the experiment."""

FINAL = ", all training data"
"""What ``final`` adds to a variant's name."""

PLANNED = "planned.json"
"""In a study's folder, before anything is trained: variant to run name to seed or fold."""

DRAWN = 6
"""A study of at most so many runs draws each run's own report; others do on demand."""


@dataclass(frozen=True)
class Plan:
    """A study's experiments, every variant over the seeds and folds; what of it was changed."""

    study: Study
    budget: Budget
    experiments: dict[str, list[Experiment]]
    changed: dict[str, Any] = field(default_factory=dict)
    sample: bool = False
    command: str | None = None  # that ran it, where it was read back

    @property
    def label(self) -> str:
        """What names the study as it was run: its changes go to a folder of their own."""
        parts = [self.study.name, self.budget, *(["sample"] if self.sample else [])]
        if self.changed:
            changes = json.dumps(self.changed, sort_keys=True, default=str)
            parts.append(hashlib.sha256(changes.encode()).hexdigest()[:6])
        return "-".join(parts)

    @property
    def cautions(self) -> list[str]:
        """What keeps the figures from being compared with published ones."""
        said = []
        if self.sample:
            said.append("on the bundled sample, not the dataset")
        if self.budget == "quick":
            quick = self.study.quick
            part = "" if quick.fraction == 1 else f" on {quick.fraction:.0%} of the training data"
            said.append(f"quick budget: at most {quick.epochs} epochs{part}")
        if self.changed:
            said.append(f"changed: {', '.join(f'{k}={v}' for k, v in self.changed.items())}")
        return said


@dataclass(frozen=True)
class StudyResult:
    """The runs of a study: for every variant one run a seed, or one a seed and fold."""

    plan: Plan
    runs: dict[str, list[Run]]

    @property
    def study(self) -> Study:
        return self.plan.study

    @property
    def every_run(self) -> list[Run]:
        return [run for runs in self.runs.values() for run in runs]

    @property
    def has_page(self) -> bool:
        """Whether there is more to show than the one run's report."""
        return len(self.every_run) > 1 or self.study.pictures is not None

    @property
    def run(self) -> Run:
        """The run that validation chooses, never test; the first where nothing is held out.

        It is the classifier of the highest accuracy; only where there is none, the autoencoder of
        the lowest loss.
        """
        runs = [run for run in self.every_run if not run.experiment.reconstructs] or self.every_run
        scored = [run for run in runs if "validation" in run.metrics]
        if not scored:
            return runs[0]
        if runs[0].experiment.reconstructs:
            return min(scored, key=lambda run: run.metrics["validation"]["loss"])
        return max(scored, key=lambda run: run.metrics["validation"]["accuracy"])

    @property
    def product(self) -> Run:
        """The run to export: the chosen one, or what ``final`` made of it."""
        chosen = self.run
        for name, several in self.runs.items():
            if chosen in several and name + FINAL in self.runs:
                seed = chosen.experiment.seed
                return next(r for r in self.runs[name + FINAL] if r.experiment.seed == seed)
        return chosen

    def _repr_html_(self) -> str:
        from kerascw.report.notebook import study_fragment

        return study_fragment(self)


def planned(
    study: Study,
    *,
    budget: Budget | None = None,
    seeds: int | None = None,
    seed: int = 0,
    folds: int | None = None,
    sample: bool = False,
    data: DataSpec | None = None,
    data_dir: str | Path | None = None,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """Return the study's experiments: every variant with ``settings`` applied, over the seeds.

    ``recipe`` names one of :mod:`kerascw.experiment.recipes`, which takes the place of the
    training, and maybe the model, of every variant; settings go on top of it.

    ``data`` is a dataset to take in place of the study's own (:func:`on_other_data`). ``folds``
    cross-validates every variant, whatever it held out, with one seed if no more are asked for; of
    a study that cross-validates some of its variants anyway, those alone.

    Raises
    ------
    CallError
        A setting that names no field, a value of the wrong type or range, a recipe that the study
        cannot take, or folds of a study that has no place for them.
    """
    budget = budget or study.default_budget
    if seeds is None:
        seeds = study.seeds(budget) if folds is None else 1
    if seeds < 1:
        raise CallError(f"seeds: {seeds} is less than 1")
    changes = dict(settings or {})
    if "seed" in changes:
        raise CallError("seed: use --seed, or --seeds for several")
    if data is not None and sample:
        raise CallError("--sample: only the study's own dataset has one; leave --data out")
    variants = study.experiments(budget)
    if recipe is not None:
        chosen = recipe_named(recipe)
        chosen.check(study.name, variants)
        variants = {name: chosen.of(base) for name, base in variants.items()}
        if budget == "quick":
            variants = {name: study.quick.of(base) for name, base in variants.items()}
    if folds is not None:
        variants = _over_folds(study, variants, folds, changes)
    if "data.holdout.fold" in changes:
        raise CallError("data.holdout.fold: a study trains every fold; --folds says how many")
    plan = {}
    for name, base in variants.items():
        if data is not None:
            base = on_other_data(base, data, dataset_for(data, data_dir))
        base = override(of_sample(base) if sample else base, changes)
        plan[name] = repeated(base, range(seed, seed + seeds))
    if folds is not None:
        changes = {"folds": folds} | changes
    if recipe is not None:
        changes = {"recipe": recipe} | changes
    if data is not None:
        changes = {"data": FOLDER + data.folder.path if data.folder else data.name} | changes
    return Plan(study, budget, plan, changes, sample)


def _over_folds(
    study: Study, variants: Mapping[str, Experiment], folds: int, changes: Mapping[str, Any]
) -> dict[str, Experiment]:
    """Return the variants with so many folds: those that have folds, or all where none has."""
    if study.no_folds:
        raise CallError(f"--folds: not for study {study.name}: {study.no_folds}")
    for path in changes:
        if path.startswith("data.holdout") and path != "data.holdout.seed":
            raise CallError(
                f"{path}: --folds says what is held out; of data.holdout only the seed, which "
                "draws the folds, can be set beside it"
            )
    chosen = [name for name, base in variants.items() if base.folds] or list(variants)
    return {
        name: cross_validated(base, folds) if name in chosen else base
        for name, base in variants.items()
    }


def run_study(
    plan: Plan,
    store: Store,
    *,
    data_dir: str | Path | None = None,
    final: bool = False,
    jobs: int = 1,
    cluster: str | None = None,
    watcher: StudyWatcher | None = None,
) -> StudyResult:
    """Run what is planned, then what depends on it.

    ``final`` trains every run that held out again on validation too, for the epochs found best; a
    run that diverged before any was worth keeping has none. All folds of a seed are one training
    on everything, for the mean of their epochs.

    Raises
    ------
    CallError
        ``final`` where nothing is held out, or what :func:`kerascw.runs.many.run_many` finds
        wrong, before anything is trained.
    """
    if final and not any(e.data.holdout for several in plan.experiments.values() for e in several):
        raise CallError("--final: data.holdout is none, everything is trained on as it is")

    def run_all(
        experiments: Mapping[str, Sequence[Experiment]], more: bool = True
    ) -> dict[str, list[Run]]:
        named = {n: [(e, checked_name(e, data_dir)) for e in es] for n, es in experiments.items()}
        announce(store.study_folder(plan.label), named, more=more)
        flat = [(name, e) for name, several in experiments.items() for e in several]
        done = run_many(
            [experiment for _, experiment in flat],
            store,
            data_dir=data_dir,
            jobs=jobs,
            cluster=cluster,
            watcher=watcher,
        )
        runs: dict[str, list[Run]] = {name: [] for name in experiments}
        for (name, _), run in zip(flat, done, strict=True):
            runs[name].append(run)
        return runs

    runs = run_all(plan.experiments, more=False)
    seeds = sorted({e.seed for several in plan.experiments.values() for e in several})
    following = plan.study.then(runs)
    if following:
        runs |= run_all(
            {name: repeated(experiment, seeds) for name, experiment in following.items()}
        )
    if final:
        again = {name + FINAL: finals_of(several) for name, several in runs.items()}
        runs |= run_all({name: several for name, several in again.items() if several})
    result = StudyResult(plan, runs)
    _remember(result, store)  # first: a run's page names its studies and what they print
    if len(result.every_run) <= DRAWN:
        for run in result.every_run:
            draw_if_missing(run, data_dir)
    return result


def announce(
    folder: Path, named: Mapping[str, Iterable[tuple[Experiment, str]]], *, more: bool = False
) -> None:
    """Write which runs a study is about to train, so that they can be watched by name.

    Parameters
    ----------
    named : for every variant its experiments, each with the name of its run.
    more : these come in addition to those written before.
    """
    planned = {variant: {run: repeat_text(e) for e, run in several} for variant, several in
               named.items()}  # fmt: skip
    if more and (folder / PLANNED).is_file():
        planned = json.loads((folder / PLANNED).read_text()) | planned
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / ".planned.json.writing"
    write_json(temporary, planned)
    temporary.replace(folder / PLANNED)


def draw_if_missing(run: Run, data_dir: str | Path | None = None) -> None:
    """Draw a kept run's figures and report, if they are not there."""
    if not (run.folder / "report.html").is_file():
        from kerascw.report.events import closing_events
        from kerascw.report.run import draw_run

        splits = split(dataset_for(run.experiment.data, data_dir), run.experiment.data)
        draw_run(run, splits)
        closing_events(run, splits)


def _remember(result: StudyResult, store: Store) -> None:
    """Write which runs the study's result consists of, so that it can be read back."""
    plan = result.plan
    folder = store.study_folder(plan.label)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "study": plan.study.name,
        "budget": plan.budget,
        "sample": plan.sample,
        "changed": plan.changed,
        "command": command_line(),
        "runs": {name: [run.name for run in several] for name, several in result.runs.items()},
    }
    temporary = folder / ".study.json.writing"
    write_json(temporary, content)
    temporary.replace(folder / "study.json")


def recall(name: str, store: Store) -> StudyResult:
    """Return the kept result of a study, without training anything.

    Parameters
    ----------
    name : a study, or a study as it was run once: the name of a folder in ``runs/studies/``. Of a
        study the full budget is preferred to the quick one, and both to what was changed.

    Raises
    ------
    CallError
        The study was not run, or some of its runs are gone.
    """
    file = _remembered(name, store)
    if file is None:
        raise CallError(f"study {name} was not run yet; next: python -m kerascw run {name}")
    content = json.loads(file.read_text())
    runs: dict[str, list[Run]] = {}
    for variant, names in content["runs"].items():
        found = [store.get(run) for run in names]
        if not all(found):
            raise CallError(f"study {name}: runs of {variant!r} are gone; run it again")
        runs[variant] = [run for run in found if run is not None]
    plan = Plan(
        study_named(content["study"]),
        content["budget"],
        {variant: [run.experiment for run in several] for variant, several in runs.items()},
        content["changed"],
        content["sample"],
        content.get("command"),
    )
    return StudyResult(plan, runs)


def is_study(name: str, store: Store) -> bool:
    """Return whether ``name`` is a study, or one as it was run."""
    return name in all_studies() or _remembered(name, store) is not None


def _remembered(name: str, store: Store) -> Path | None:
    """Return the file that remembers the study as it was run last."""
    for label in (name, f"{name}-full", f"{name}-quick"):
        file = store.study_folder(label) / "study.json"
        if file.is_file():
            return file
    changed = [
        file
        for file in store.study_folder("").glob("*/study.json")
        if json.loads(file.read_text())["study"] == name
    ]
    return max(changed, key=lambda file: file.stat().st_mtime, default=None)
