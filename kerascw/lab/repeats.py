"""What a variant's runs repeat: seeds, or the folds of a cross-validation.

Statistics are over the folds where there are any. The runs of several seeds on one fold count as
one figure, their mean, since they were scored on the same images.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np

from kerascw.errors import counted as numbered
from kerascw.evaluation.statistics import Spread, over_seeds, paired_difference
from kerascw.experiment.spec import Experiment
from kerascw.lab.verdict import figure_of, higher_is_better
from kerascw.runs.store import Run


@dataclass(frozen=True)
class Repeats:
    """Over how many seeds and folds a variant was run."""

    seeds: int
    folds: int | None = None  # None: no cross-validation

    @property
    def unit(self) -> str:
        """What statistics are over: ``seed`` or ``fold``."""
        return "seed" if self.folds is None else "fold"

    @property
    def count(self) -> int:
        """How many figures statistics are over if no run diverged."""
        return self.seeds if self.folds is None else self.folds

    def __str__(self) -> str:
        text = numbered(self.count, self.unit)
        if self.folds is None or self.seeds == 1:
            return text
        return f"{text}, each the mean of {self.seeds} seeds"


def repeats_of(runs: Sequence[Run]) -> Repeats:
    """Count the seeds and folds of a variant's runs."""
    folds = {fold for run in runs if (fold := run.experiment.fold) is not None}
    return Repeats(len({run.experiment.seed for run in runs}), len(folds) or None)


def repeat_text(experiment: Experiment) -> str:
    """Name the repeat that an experiment is: ``seed 0``, or ``fold 2, seed 0``."""
    fold = experiment.fold
    return f"{'' if fold is None else f'fold {fold}, '}seed {experiment.seed}"


def counted(count: int, runs: Sequence[Run]) -> str:
    """Count runs by what they are: seeds, folds, or runs if there are seeds of each fold."""
    repeats = repeats_of(runs)
    return numbered(count, repeats.unit if repeats.folds is None or repeats.seeds == 1 else "run")


def values_of(runs: Sequence[Run], figure: str) -> list[float]:
    """Return one figure of every seed, or of every fold; diverged runs are left out."""
    values = _by_repeat(runs, figure)
    return _means(values, values)


def mean_of(runs: Sequence[Run], figure: str) -> float | None:
    """Return the mean of a figure over seeds or folds, None where no run has it."""
    values = values_of(runs, figure)
    return over_seeds(values).mean if values else None


def best_by(
    runs: Mapping[str, Sequence[Run]], figure: str, among: Iterable[str] | None = None
) -> str | None:
    """Return the variant with the best mean: the highest accuracy, or else the lowest figure.

    ``among`` names the variants to choose from, all if it is None. None where none has the figure.
    """
    names = runs if among is None else among
    means = {name: mean for name in names if (mean := mean_of(runs[name], figure)) is not None}
    best = max if higher_is_better(figure) else min
    return best(means, key=lambda name: means[name]) if means else None


def alternatives(
    variants: Mapping[str, Sequence[Run]],
) -> tuple[Mapping[str, Sequence[Run]], Literal["accuracy", "loss"]]:
    """Return what validation chooses among, and by which figure.

    That is the classifiers, by accuracy; in a study without any, the autoencoders, by loss.
    """
    found = {name: own for name, own in variants.items() if not own[0].experiment.reconstructs}
    return (found, "accuracy") if found else (variants, "loss")


def paired_values(
    runs: Sequence[Run], baseline: Sequence[Run], figure: str
) -> list[tuple[float, float]]:
    """Return both variants' figure for every seed, or fold, that both have.

    With several seeds on a fold, both means are over the seeds that both have.
    """
    mine, theirs = _by_repeat(runs, figure), _by_repeat(baseline, figure)
    both = [place for place in mine if place in theirs]
    return list(zip(_means(mine, both), _means(theirs, both), strict=True))


def difference_of(runs: Sequence[Run], baseline: Sequence[Run], figure: str) -> Spread | None:
    """Return the paired difference over the seeds or folds that both have; None without any."""
    pairs = paired_values(runs, baseline, figure)
    return paired_difference(*zip(*pairs, strict=True)) if pairs else None


@dataclass(frozen=True, eq=False)
class Scored:
    """A classifier on a set of images: true labels, int ``[images]``, and where it is right."""

    labels: np.ndarray
    hits: np.ndarray  # bool [images]


def scored_of(runs: Sequence[Run], part: str = "test") -> dict[int, Scored]:
    """Return, by seed, which images each classifier is right about; no folds, no diverged runs.

    ``part`` is ``test`` or ``validation``, whose predictions are kept.
    """
    found: dict[int, Scored] = {}
    for run in runs:
        e = run.experiment
        diverged = run.metrics["status"] == "diverged"
        if e.reconstructs or e.fold is not None or part not in run.metrics or diverged:
            continue
        with np.load(run.folder / "predictions.npz") as file:
            labels = file[f"{part}_labels"]
            hits = file[f"{part}_probabilities"].argmax(axis=1) == labels
        found[e.seed] = Scored(labels, hits)
    return found


def hits_of(runs: Sequence[Run], figure: str) -> np.ndarray | None:
    """Return where the seeds are right, bool ``[seeds, images]``, if the figure counts just that.

    None of any other figure (a loss, one of another epoch or of the training set), and where the
    seeds have validation sets of their own.
    """
    part, _, kind = figure.partition(".")
    if part not in ("test", "validation") or kind not in ("accuracy", "error"):
        return None
    if any(run.experiment.data != runs[0].experiment.data for run in runs):
        return None
    hits = [each.hits for each in scored_of(runs, part).values()]
    return np.stack(hits) if len(hits) > 1 else None


Place = tuple[int | None, int]
"""Fold and seed."""


def _by_repeat(runs: Sequence[Run], figure: str) -> dict[Place, float]:
    return {
        (run.experiment.fold, run.experiment.seed): value
        for run in runs
        if (value := figure_of(run, figure)) is not None
    }


def _means(values: Mapping[Place, float], places: Iterable[Place]) -> list[float]:
    """Return the mean over the seeds of every fold, in order; without folds, every seed's value."""
    units: dict[int, list[float]] = {}
    for fold, seed in places:
        units.setdefault(seed if fold is None else fold, []).append(values[fold, seed])
    # a single value as it is: a mean may differ from it in the last digit
    return [own[0] if len(own) == 1 else fmean(own) for _, own in sorted(units.items())]
