"""Run a study: its variants over seeds, each run kept, none trained twice."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerascw.data import FOLDER, Dataset
from kerascw.engine.environment import command_line
from kerascw.engine.many import StudyWatcher, dataset_for, run_many
from kerascw.engine.run import run_experiment
from kerascw.engine.store import Run, Store, write_json
from kerascw.errors import CallError
from kerascw.settings import override
from kerascw.spec import DataSpec, Experiment, Holdout
from kerascw.studies import Budget, Study, all_studies, study_named

SHORTCUTS = {
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "learning_rate": "training.optimizer.learning_rate",
    "fraction": "data.fraction",
}
"""Options that stand for one field of the experiment."""

FINAL = ", all training data"
"""What ``final`` adds to a variant's name."""

DRAWN = 6
"""A study of at most so many runs draws each run's own report; others do on demand."""


@dataclass(frozen=True)
class Plan:
    """A study's experiments, every variant over the seeds, and in what they are not the study's."""

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
    """The runs of a study: for every variant one run a seed."""

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
        """The run that validation chooses, never test; the first where nothing is held out."""
        scored = [run for run in self.every_run if "validation" in run.metrics]
        if not scored:
            return self.every_run[0]
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
        return self.product._repr_html_()


def planned(
    study: Study,
    *,
    budget: Budget | None = None,
    seeds: int | None = None,
    seed: int = 0,
    sample: bool = False,
    data: DataSpec | None = None,
    data_dir: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """Return the study's experiments: every variant with ``settings`` applied, over the seeds.

    ``data`` is a dataset to take in place of the study's own (:func:`on_other_data`).

    Raises
    ------
    CallError
        A setting that names no field, or a value of the wrong type or range.
    """
    budget = budget or study.default_budget
    seeds = study.seeds(budget) if seeds is None else seeds
    if seeds < 1:
        raise CallError(f"seeds: {seeds} is less than 1")
    changes = dict(settings or {})
    if "seed" in changes:
        raise CallError("seed: use --seed, or --seeds for several")
    if data is not None and sample:
        raise CallError("--sample: only the study's own dataset has one; leave --data out")
    plan = {}
    for name, base in study.experiments(budget).items():
        if data is not None:
            base = on_other_data(base, data, dataset_for(data, data_dir))
        plan[name] = _over_seeds(base, range(seed, seed + seeds), sample, changes)
    if data is not None:
        changes = {"data": FOLDER + data.folder.path if data.folder else data.name} | changes
    return Plan(study, budget, plan, changes, sample)


def on_other_data(experiment: Experiment, data: DataSpec, dataset: Dataset) -> Experiment:
    """Return the experiment with another dataset in place of its own: all its classes.

    What is held out stays as it is where that leaves four fifths to train on; else, and for a
    folder, whose order is that of its classes, it is the dataset's own validation part, or a tenth
    of the training pictures, stratified.
    """
    holdout = experiment.data.holdout
    n = len(dataset.train)
    if holdout is not None and dataset.validation is not None:
        holdout = Holdout(how="own")
    elif holdout is not None and (data.folder or holdout.count > n // 5):
        count = holdout.count if holdout.count <= n // 5 else max(1, n // 10)
        holdout = Holdout(how="stratified", count=count)
    own = experiment.data.model_copy(
        update={"name": data.name, "folder": data.folder, "classes": None, "holdout": holdout}
    )
    return experiment.model_copy(update={"data": own})


def _over_seeds(
    base: Experiment, seeds: Sequence[int], sample: bool, changes: Mapping[str, Any]
) -> list[Experiment]:
    experiment = override(of_sample(base) if sample else base, dict(changes))
    return [override(experiment, {"seed": seed}) for seed in seeds]


def of_sample(experiment: Experiment) -> Experiment:
    """Return the experiment on the bundled sample, holding out the same share of it.

    The sample has a tenth of the dataset's training pictures.
    """
    tree = experiment.model_dump(mode="json")
    tree["data"]["sample"] = True
    if tree["data"]["holdout"]:
        tree["data"]["holdout"]["count"] = max(1, tree["data"]["holdout"]["count"] // 10)
    return Experiment.model_validate(tree)


def retrained_on_everything(run: Run) -> Experiment:
    """Return the run's experiment without a validation part, for the epochs that it found best."""
    if run.experiment.data.holdout is None:
        raise CallError("--final: data.holdout is none, everything is trained on")
    tree = run.experiment.model_dump(mode="json")
    tree["data"]["holdout"] = None
    epochs = run.metrics["kept_epoch"]
    if epochs is None:
        raise CallError(f"--final: run {run.name} diverged, no number of epochs was found")
    tree["training"] |= {"epochs": epochs, "keep": "last", "patience": None}
    return Experiment.model_validate(tree)


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
    run that diverged before any was worth keeping has none.

    Raises
    ------
    CallError
        ``final`` where nothing is held out, or what :func:`kerascw.engine.many.run_many` finds
        wrong, before anything is trained.
    """
    if final and not any(e.data.holdout for several in plan.experiments.values() for e in several):
        raise CallError("--final: data.holdout is none, everything is trained on as it is")

    def run_all(experiments: Mapping[str, Sequence[Experiment]]) -> dict[str, list[Run]]:
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

    runs = run_all(plan.experiments)
    seeds = [experiment.seed for experiment in next(iter(plan.experiments.values()))]
    following = plan.study.then(runs)
    if following:
        runs |= run_all(
            {
                name: [experiment.model_copy(update={"seed": seed}) for seed in seeds]
                for name, experiment in following.items()
            }
        )
    if final:
        again = {
            name + FINAL: [
                retrained_on_everything(run)
                for run in several
                if run.experiment.data.holdout and run.metrics["kept_epoch"]
            ]
            for name, several in runs.items()
        }
        runs |= run_all({name: several for name, several in again.items() if several})
    result = StudyResult(plan, runs)
    if len(result.every_run) <= DRAWN:
        for run in result.every_run:
            draw_if_missing(run, store, data_dir)
    _remember(result, store)
    return result


def draw_if_missing(run: Run, store: Store, data_dir: str | Path | None = None) -> None:
    """Draw a kept run's figures and report, if they are not there."""
    run_experiment(run.experiment, dataset_for(run.experiment.data, data_dir), store)


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
