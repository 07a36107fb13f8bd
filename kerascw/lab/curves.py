"""Learning curves: a figure against the number of training images, for each initialisation.

A learning curve is a study. Its variants are initialisations at fractions of the training set
(:func:`curve_variants`); the subsets are nested and the same for every initialisation, and so are
the seeds, so that differences between initialisations are paired by seed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from kerascw.evaluation.statistics import Spread, paired_difference
from kerascw.experiment.spec import Experiment, WarmStart
from kerascw.lab.derive import with_data
from kerascw.lab.verdict import figure_of, higher_is_better
from kerascw.runs.store import Run

CurveRuns = Mapping[str, Mapping[float, Sequence[Run]]]
"""The runs of each initialisation, by rising fraction, one a seed."""


@dataclass(frozen=True)
class CurveFigures:
    """Which figures of the runs a learning curve shows."""

    training: str = "train.loss"
    validation: str = "validation.loss"  # initialisations are compared by this one


ACCURACY = "test.accuracy"
"""The figure that the power law is fitted to."""


# --- the study's variants -------------------------------------------------------------------


def curve_variants(
    base: Experiment, starts: Mapping[str, WarmStart | None], fractions: Iterable[float]
) -> dict[str, Experiment]:
    """Return every initialisation at every fraction, by the variant's name.

    ``starts`` has what each initialisation starts from (None: random weights).
    """
    bases = {fraction: with_data(base, fraction=fraction) for fraction in fractions}
    return {
        variant(name, fraction): own.model_copy(update={"start": start})
        for name, start in starts.items()
        for fraction, own in bases.items()
    }


def variant(initialisation: str, fraction: float) -> str:
    """Return the name of an initialisation at a fraction.

    >>> variant("random", 0.05), variant("random", 0.025)
    ('random, 5%', 'random, 2.5%')
    """
    return f"{initialisation}, {100 * fraction:.4g}%"


def place_of(name: str) -> tuple[str, str]:
    """Return initialisation and fraction of a variant's name; no fraction if it has none."""
    initialisation, comma, fraction = name.rpartition(", ")
    return (initialisation, fraction) if comma and fraction.endswith("%") else (name, "")


def same_fraction_of(baseline: str) -> Callable[[str], str | None]:
    """Return what gives each variant the ``baseline`` initialisation at the same fraction."""

    def base_of(name: str) -> str | None:
        initialisation, fraction = place_of(name)
        return f"{baseline}, {fraction}" if fraction and initialisation != baseline else None

    return base_of


def by_initialisation(runs: Mapping[str, Sequence[Run]]) -> dict[str, dict[float, list[Run]]]:
    """Return a study's runs by initialisation and fraction; variants of another kind are left out.

    Fractions are in order, initialisations as the study has them.
    """
    curves: dict[str, dict[float, list[Run]]] = {}
    for name, several in runs.items():
        initialisation, _ = place_of(name)
        fraction = several[0].experiment.data.fraction
        if name == variant(initialisation, fraction):
            curves.setdefault(initialisation, {})[fraction] = list(several)
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


# --- one curve ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """One figure at one fraction, over the seeds. Diverged runs are left out."""

    fraction: float
    examples: int  # training images; 0 if no run was scored
    seeds: tuple[int, ...]
    values: tuple[float, ...]  # one a seed, in the order of the seeds


@dataclass(frozen=True)
class Curve:
    """One figure of one initialisation at every fraction, the smallest first."""

    name: str
    figure: str
    points: tuple[Point, ...]


def curves_of(runs: CurveRuns, figure: str) -> dict[str, Curve]:
    """Return the curve of each initialisation for one figure, such as ``validation.loss``."""
    return {
        name: Curve(name, figure, tuple(_point(at, own, figure) for at, own in curve.items()))
        for name, curve in runs.items()
    }


def _point(fraction: float, runs: Sequence[Run], figure: str) -> Point:
    values = {
        run.experiment.seed: value for run in runs if (value := figure_of(run, figure)) is not None
    }
    examples = next((run.metrics["train"]["examples"] for run in runs if "train" in run.metrics), 0)
    return Point(fraction, examples, tuple(values), tuple(values.values()))


# --- two initialisations ---------------------------------------------------------------------


def paired(one: Point, other: Point) -> Spread | None:
    """Return one point minus another, paired by the seeds that both have; None without any."""
    theirs = dict(zip(other.seeds, other.values, strict=True))
    mine = zip(one.seeds, one.values, strict=True)
    pairs = [(value, theirs[seed]) for seed, value in mine if seed in theirs]
    return paired_difference(*zip(*pairs, strict=True)) if pairs else None


class Difference(NamedTuple):
    """One curve minus another at one fraction, paired by the seeds that both have."""

    fraction: float
    examples: int  # training images
    spread: Spread


@dataclass(frozen=True)
class Comparison:
    """Two initialisations, compared by their paired differences."""

    curve: Curve
    baseline: Curve

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """``curve - baseline`` at every fraction where both have a run of the same seed."""
        return tuple(
            Difference(mine.fraction, mine.examples, spread)
            for mine, theirs in zip(self.curve.points, self.baseline.points, strict=True)
            if (spread := paired(mine, theirs))
        )

    def better(self, difference: Difference) -> str | None:
        """Return the name of the initialisation with the better mean; None for a tie."""
        mean = difference.spread.mean
        if mean == 0:
            return None
        curve_is_better = (mean > 0) == higher_is_better(self.curve.figure)
        return (self.curve if curve_is_better else self.baseline).name

    @property
    def crossings(self) -> list[tuple[float, float]]:
        """The fractions between which the mean curves cross; a tie lies between its neighbours."""
        apart = [d for d in self.differences if d.spread.mean != 0]
        return [
            (before.fraction, after.fraction)
            for before, after in pairwise(apart)
            if (before.spread.mean > 0) != (after.spread.mean > 0)
        ]


def comparisons(curves: Mapping[str, Curve]) -> list[Comparison]:
    """Return the comparison of every other initialisation with the first."""
    first, *others = curves.values()
    return [Comparison(curve, first) for curve in others]


def percent(fraction: float) -> str:
    """Return a fraction in per cent, as text.

    >>> percent(0.05), percent(0.025), percent(1.0)
    ('5 %', '2.5 %', '100 %')
    """
    return f"{100 * fraction:.4g} %"
