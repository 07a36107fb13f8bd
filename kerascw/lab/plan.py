"""A study becomes a plan: its experiments over seeds and folds, and what was changed."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from kerascw.data.exclude import read_exclude
from kerascw.data.load import data_label, dataset_for, splits_for
from kerascw.errors import CallError, choices, counted, option
from kerascw.experiment.recipes import recipe_named
from kerascw.experiment.settings import override
from kerascw.experiment.spec import DataSpec, Exclude, Experiment
from kerascw.lab.derive import cross_validated, of_sample, on_other_data, repeated, without
from kerascw.lab.pictures import PICTURES, PictureSpec
from kerascw.lab.repeats import alternatives, best_by
from kerascw.lab.study import Budget, Study
from kerascw.lab.verdict import figure_of, higher_is_better
from kerascw.runs.run import file_name
from kerascw.runs.store import Run, Store, pandas
from kerascw.runs.summary import fragment

if TYPE_CHECKING:
    from pandas import DataFrame

SHORTCUTS = {
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "learning_rate": "training.optimizer.learning_rate",
    "fraction": "data.fraction",
    "augment": "training.augmentation",
    "precision": "training.precision",
}
"""Options that stand for one field of the experiment."""


def settings_with(
    shortcuts: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the settings with those that shortcuts stand for; they win, but None asks for nothing.

    >>> settings_with({"epochs": 3, "augment": None}, {"model.batch_norm": False})
    {'model.batch_norm': False, 'training.epochs': 3}
    """
    changes = dict(settings or {})
    for name, value in shortcuts.items():
        if name not in SHORTCUTS:
            known = choices(SHORTCUTS, name)
            raise CallError(f"{name}: no such option; choose {known}, or settings")
        if value is not None:
            changes[SHORTCUTS[name]] = value
    return changes


ONLY = "only"
"""What a plan of some of the variants has changed; what is left is as it was."""

FINAL = ", all training data"
"""What ``final`` adds to a variant's name."""

FEW_STEPS = 100
"""Below so many training steps in all a model has hardly begun to learn."""


@dataclass(frozen=True)
class Plan:
    """A study's experiments, every variant over the seeds and folds; what of it was changed."""

    study: Study
    budget: Budget
    experiments: dict[str, list[Experiment]]
    changed: dict[str, Any] = field(default_factory=dict)
    sample: bool = False
    command: str | None = None  # that ran it, if it was read from its folder
    pictures: PictureSpec | None = None  # what the study's further figures show

    @property
    def label(self) -> str:
        """Name of the study as it was run: with other settings it has another folder."""
        sample = ["sample"] if self.sample else []
        return "-".join([self.study.name, self.budget, *sample, *digest_of(self.changed)])

    @property
    def export_name(self) -> str | None:
        """Name that the model is exported under; None if the study exports none.

        It says of the study's own protocol what it departs from: ``fashion-quick``,
        ``fashion-sample``, ``fashion-best`` by another recipe, else six digits of its settings. On
        other data it is the dataset's name.
        """
        changed = dict(self.changed)
        name = self.study.exports
        if changed.pop("data", None):
            name = file_name(next(iter(self.experiments.values()))[0].data)
        if name is None:
            return None
        recipe = changed.pop("recipe", None)
        parts = [name, recipe, self.budget == "quick" and "quick", self.sample and "sample"]
        return "-".join([*filter(None, parts), *digest_of(changed)])

    @property
    def cautions(self) -> list[str]:
        """Reasons why the figures cannot be compared with published ones."""
        reasons = ["on the bundled sample, not the dataset"] if self.sample else []
        if self.budget == "quick":
            quick = self.study.quick
            part = "" if quick.fraction == 1 else f" on {quick.fraction:.0%} of the training data"
            reasons.append(f"quick budget: at most {counted(quick.epochs, 'epoch')}{part}")
        if changes := ", ".join(f"{k}={v}" for k, v in self.changed.items() if k != ONLY):
            reasons.append(f"changed: {changes}")
        return reasons

    def short_of_steps(self, data_dir: str | Path | None = None) -> str | None:
        """Say which variant trains for very few steps, or has a batch larger than the data."""
        for name, (experiment, *_) in self.experiments.items():
            images, size = len(splits_for(experiment.data, data_dir).train), experiment.training
            if size.batch_size > images:
                return (
                    f"training.batch_size: {size.batch_size:,} is more than the {images:,} "
                    f"training images of {name}: every epoch is a single step"
                )
            if (steps := -(-images // size.batch_size) * size.epochs) < FEW_STEPS:
                return (
                    f"fewer than {FEW_STEPS} training steps in all: {name} ({steps}); more epochs "
                    "or a smaller batch give more"
                )
        return None


def digest_of(changed: Mapping[str, Any]) -> list[str]:
    """Return six hexadecimal digits of changed settings; an empty list without any."""
    if not changed:
        return []
    text = json.dumps(changed, sort_keys=True, default=str)
    return [hashlib.sha256(text.encode()).hexdigest()[:6]]


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
        """All runs, each once: variants that are the same experiment share theirs."""
        return list({run.name: run for runs in self.runs.values() for run in runs}.values())

    @property
    def has_page(self) -> bool:
        """Whether there is more to show than the report of one run."""
        return len(self.every_run) > 1 or self.study.pictures is not None

    @property
    def chosen(self) -> str:
        """The variant that validation chooses, by the mean; the first if nothing is held out.

        The test set has no say in it.
        """
        among, figure = alternatives(self.runs)
        return best_by(among, f"validation.{figure}") or next(iter(among))

    @property
    def run(self) -> Run:
        """Of the chosen variant, the run with the best validation figure; the first without one."""
        _, kind = alternatives(self.runs)
        runs, figure = self.runs[self.chosen], f"validation.{kind}"
        scored = [run for run in runs if figure_of(run, figure) is not None]
        best = max if higher_is_better(figure) else min
        return best(scored, key=lambda run: run.metrics["validation"][kind], default=runs[0])

    @property
    def product(self) -> Run:
        """The run to export, which is the chosen one or what ``final`` made of it."""
        chosen = self.run
        for name, runs in self.runs.items():
            if chosen in runs and name + FINAL in self.runs:
                seed = chosen.experiment.seed
                return next(r for r in self.runs[name + FINAL] if r.experiment.seed == seed)
        return chosen

    @property
    def folder(self) -> Path:
        """Folder of the study's page, tables and figures."""
        return Store(self.every_run[0].folder.parent).study_folder(self.plan.label)

    def to_dataframe(self) -> "DataFrame":
        """Return every figure of every run as a data frame of pandas, in long form.

        Its columns are ``variant``, ``seed``, ``fold`` (missing without cross-validation),
        ``figure`` (such as ``test.accuracy``) and ``value``.
        """
        rows = [
            (variant, run.experiment.seed, run.experiment.fold, figure, value)
            for variant, runs in self.runs.items()
            for run in runs
            for figure, value in _figures(run.metrics)
        ]
        frame = pandas().DataFrame(rows, columns=["variant", "seed", "fold", "figure", "value"])
        return frame.astype({"fold": "Int64"})

    def _repr_html_(self) -> str:
        rows = [
            (f"{variant}, {run.summary.figure}, {run.summary.seeds}", run.summary.text)
            for variant, runs in self.runs.items()
            for run in runs
        ]
        figures = self.folder / "figures"
        names = [figures / f"{name}.png" for name in ("comparison", "loss")]
        return fragment(self.study.question, rows, names)


def _figures(metrics: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers among a run's metrics, by their path."""
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from _figures(value, f"{above}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield above + name, float(value)


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
    only: Sequence[str] = (),
    recipe: str | None = None,
    exclude: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """Plan the study's experiments: every variant with ``settings`` applied, over the seeds.

    ``only`` names the variants to take, all if it is empty.

    ``recipe`` names one of :mod:`kerascw.experiment.recipes`; settings go on top of it, and those
    that begin with ``pictures.`` change what the study's further figures show. ``data`` is a
    dataset to take in place of the study's own. ``folds`` cross-validates every variant, or those
    that have folds anyway, with one seed unless more are asked for.

    Raises CallError: a setting that names no field, a value of the wrong type or range, a variant
    that the study has not, a recipe that it cannot take, or folds in a study that cannot be
    cross-validated.
    """
    budget = budget or study.default_budget
    if budget not in get_args(Budget):
        raise CallError(f"{option('budget')}: {budget!r}; choose {choices(get_args(Budget))}")
    if seeds is None:
        seeds = study.seeds(budget) if folds is None else 1
    for name, value, least, most in (("seeds", seeds, 1, 2**31), ("seed", seed, 0, 2**31 - seeds)):
        if not least <= value <= most:
            raise CallError(f"{option(name)}: {value}; choose from {least} to {most}")
    of_pictures = {k: v for k, v in (settings or {}).items() if k.startswith(f"{PICTURES}.")}
    changes = {k: v for k, v in (settings or {}).items() if k not in of_pictures}
    if "seed" in changes:
        raise CallError("seed: use --seed, or --seeds for more than one")
    if data is not None and sample:
        raise CallError("--sample: only the study's own dataset has one; leave --data out")
    variants = study.experiments(budget)
    if only:
        only = (only,) if isinstance(only, str) else only
        for name in only:
            if name not in variants:
                raise CallError(
                    f"{option('only')}: {name!r} is no variant of {study.name}; choose "
                    f"{choices(variants, name)}"
                )
        study = study.part(only)
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
    experiments = {}
    holding_out = any(base.data.holdout for base in variants.values())
    for name, base in variants.items():
        if data is not None:
            base = on_other_data(base, data, dataset_for(data, data_dir))
        own = changes
        if base.data.holdout is None and holding_out:  # the others' holdout is not this one's
            own = {path: v for path, v in changes.items() if not path.startswith("data.holdout.")}
        base = override(of_sample(base) if sample else base, own)
        experiments[name] = repeated(base, range(seed, seed + seeds))
    named: dict[str, Any] = {"data": data and data_label(data), "recipe": recipe, "folds": folds}
    named[ONLY] = list(variants) if only else None
    if exclude is not None:
        experiments, left_out = _without(experiments, exclude, data_dir)
        named["exclude"] = str(left_out)
    changes = {name: value for name, value in named.items() if value is not None} | changes
    pictures = pictures_of(study, of_pictures, data_dir)
    return Plan(study, budget, experiments, changes, sample, pictures=pictures)


def _without(
    experiments: Mapping[str, list[Experiment]], file: str | Path, data_dir: str | Path | None
) -> tuple[dict[str, list[Experiment]], Exclude]:
    """Leave the images that a file names out of all experiments."""
    every = [e for own in experiments.values() for e in own]
    every += [e.start.source for e in every if e.start]
    datasets = dict.fromkeys(
        DataSpec(name=e.data.name, sample=e.data.sample, folder=e.data.folder) for e in every
    )
    if len(datasets) > 1:
        raise CallError(
            "--exclude: the study has several datasets "
            f"({', '.join(dict.fromkeys(map(data_label, datasets)))}), and a file names images of "
            "one"
        )
    left_out = read_exclude(file, dataset_for(next(iter(datasets)), data_dir))
    return {v: [without(e, left_out) for e in own] for v, own in experiments.items()}, left_out


def pictures_of(
    study: Study, settings: Mapping[str, Any], data_dir: str | Path | None = None
) -> PictureSpec | None:
    """Return what the study's further figures show, with settings such as ``pictures.layer``.

    Raises CallError: the study has no such figures, or they have no such field.
    """
    if settings and study.shows is None:
        raise CallError(f"{next(iter(settings))}: study {study.name} has no pictures to set")
    if study.shows is None:
        return None
    own = {path.partition(".")[2]: value for path, value in settings.items()}
    changed = override(study.shows, own, f"{PICTURES}.")
    return changed.model_copy(update={"data_dir": None if data_dir is None else str(data_dir)})


def _over_folds(
    study: Study, variants: Mapping[str, Experiment], folds: int, changes: Mapping[str, Any]
) -> dict[str, Experiment]:
    """Give the variants so many folds: those that have folds, or all if none has."""
    if study.no_folds:
        raise CallError(f"--folds: not for study {study.name}: {study.no_folds}")
    for path in changes:
        if path.startswith("data.holdout") and path != "data.holdout.seed":
            raise CallError(
                f"{path}: --folds says what is held out; only data.holdout.seed, which draws the "
                "folds, can be set beside it"
            )
    chosen = [name for name, base in variants.items() if base.folds] or list(variants)
    return {
        name: cross_validated(base, folds) if name in chosen else base
        for name, base in variants.items()
    }
