"""Learning curves: a figure against the number of training pictures, over initialisations.

The runs are those of nested subsets that are the same for every initialisation, over the same
seeds, so that differences between initialisations are paired by seed. Nothing here trains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from kerascw.errors import CallError
from kerascw.evaluation.statistics import Spread, is_shown, over_seeds, paired_difference
from kerascw.lab.study import Answer
from kerascw.lab.verdict import figure_of

if TYPE_CHECKING:
    from kerascw.runs.store import Run

CurveRuns = Mapping[str, Mapping[float, Sequence["Run"]]]
"""The runs of each initialisation, by fraction, one a seed."""


@dataclass(frozen=True)
class Point:
    """One figure at one fraction, over the seeds. Runs that diverged are left out."""

    fraction: float
    examples: int | None  # training pictures; None where no run at all was scored
    seeds: tuple[int, ...]
    values: tuple[float, ...]  # one a seed, in their order
    diverged: tuple[int, ...] = ()  # seeds

    @cached_property
    def spread(self) -> Spread | None:
        """Mean and interval; None where every run diverged."""
        return over_seeds(self.values) if self.values else None


@dataclass(frozen=True)
class Curve:
    """One figure of one initialisation at every fraction, the smallest first."""

    name: str
    figure: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Difference:
    """A curve less another at one fraction, paired by the seeds that both have."""

    fraction: float
    examples: int | None
    spread: Spread

    @property
    def is_shown(self) -> bool:
        return is_shown(self.spread)


def curves_of(runs: CurveRuns, figure: str) -> dict[str, Curve]:
    """Return the curve of each initialisation for one figure, such as ``validation.loss``.

    Raises
    ------
    CallError
        A run without the figure, two of one seed, or initialisations on different pictures: their
        differences would not be those of the initialisation.
    """
    _check_same_pictures(runs)
    examples = _examples(runs)
    return {
        name: Curve(
            name,
            figure,
            tuple(
                _point(fraction, examples.get(fraction), several, figure)
                for fraction, several in sorted(by_fraction.items())
            ),
        )
        for name, by_fraction in runs.items()
    }


def _point(fraction: float, examples: int | None, runs: Sequence["Run"], figure: str) -> Point:
    values: dict[int, float] = {}
    diverged = []
    for run in runs:
        seed = run.experiment.seed
        if seed in values or seed in diverged:
            raise CallError(f"learning curve: two runs at {percent(fraction)} have seed {seed}")
        if run.metrics["status"] == "diverged":
            diverged.append(seed)
            continue
        value = figure_of(run, figure)
        if value is None:
            raise CallError(f"learning curve: run {run.name} has no {figure}")
        values[seed] = value
    seeds = tuple(sorted(values))
    return Point(fraction, examples, seeds, tuple(values[s] for s in seeds), tuple(diverged))


def _examples(runs: CurveRuns) -> dict[float, int]:
    """Return the number of training pictures at each fraction, from any run that was scored."""
    return {
        fraction: run.metrics["train"]["examples"]
        for by_fraction in runs.values()
        for fraction, several in by_fraction.items()
        for run in several
        if "train" in run.metrics
    }


def _check_same_pictures(runs: CurveRuns) -> None:
    theirs = {
        run.experiment.data.model_copy(update={"fraction": 1.0, "scaling": "unit"})
        for by_fraction in runs.values()
        for several in by_fraction.values()
        for run in several
    }
    if len(theirs) > 1:
        raise CallError(
            "learning curve: the runs are not on the same pictures (dataset, classes, held-out "
            "part and data.fraction_seed must be the same)"
        )


def differences(curve: Curve, baseline: Curve) -> tuple[Difference, ...]:
    """Return ``curve - baseline`` at every fraction where both have a run of the same seed."""
    theirs = {point.fraction: dict(zip(point.seeds, point.values, strict=True))
              for point in baseline.points}  # fmt: skip
    found = []
    for point in curve.points:
        others = theirs.get(point.fraction, {})
        pairs = [(mine, others[seed])
                 for seed, mine in zip(point.seeds, point.values, strict=True)
                 if seed in others]  # fmt: skip
        if pairs:
            spread = paired_difference(*zip(*pairs, strict=True))
            found.append(Difference(point.fraction, point.examples, spread))
    return tuple(found)


# --- two initialisations ---------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """What the curves of two initialisations say of each other, by their paired differences."""

    curve: Curve
    baseline: Curve

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        return differences(self.curve, self.baseline)

    @property
    def has_intervals(self) -> bool:
        """Whether any fraction has two seeds or more; without, nothing is shown."""
        return any(difference.spread.interval for difference in self.differences)

    @property
    def shown(self) -> tuple[Difference, ...]:
        return tuple(difference for difference in self.differences if difference.is_shown)

    def better(self, difference: Difference) -> str | None:
        """Return the name of the one that is better by the mean; None for a tie."""
        mean = difference.spread.mean
        if mean == 0:
            return None
        curve_is_better = (mean > 0) == higher_is_better(self.curve.figure)
        return (self.curve if curve_is_better else self.baseline).name

    @property
    def always_better(self) -> str | None:
        """The one that is better at every fraction by the means, None where neither is."""
        names = {self.better(difference) for difference in self.differences}
        return names.pop() if len(names) == 1 else None

    @property
    def crossings(self) -> tuple[tuple[float, float], ...]:
        """Between which fractions the mean curves cross; a tie lies between its neighbours."""
        apart = [d for d in self.differences if d.spread.mean != 0]
        return tuple(
            (before.fraction, after.fraction)
            for before, after in pairwise(apart)
            if (before.spread.mean > 0) != (after.spread.mean > 0)
        )

    @property
    def not_shown_from(self) -> Difference | None:
        """Where no difference is shown any more: there and at all larger fractions.

        None where the difference at the largest fraction is shown, or nothing has an interval.
        """
        found = None
        for difference in reversed(self.differences if self.has_intervals else ()):
            if difference.is_shown:
                break
            found = difference
        return found

    def answers(self) -> list[Answer]:
        """Return the sentences; none where the two have no seed in common."""
        if not self.differences:
            return []
        one, other = self.curve.name, self.baseline.name
        figure = self.curve.figure.replace(".", " ")
        return [
            Answer(f"Is {one} or {other} always better, by {figure}?", self._who_is_better()),
            Answer(f"Where do the curves of {one} and {other} cross?", self._where_they_cross()),
            Answer(
                f"From which fraction on is no difference shown between {one} and {other}?",
                self._until_when(),
            ),
        ]

    def _who_is_better(self) -> str:
        count, winner = len(self.differences), self.always_better
        if winner is not None:
            where = f"all {count} fractions" if count > 1 else "the one fraction"
            said = f"{winner}, at {where} by the means"
        else:
            parts = self._by_better(self.differences)
            ties = [d for d in self.differences if self.better(d) is None]
            parts += [f"neither at {self._list(ties)}"] if ties else []
            said = f"Neither; by the means {'; '.join(parts)}"
        if not self.has_intervals:
            return f"{said}. One seed: no interval, nothing is shown."
        if not self.shown:
            return f"{said}. Shown (paired 95 % t-intervals): at none of them."
        if winner is not None:  # what is shown is what the means say
            where = "all" if len(self.shown) == count else f"at {self._list(self.shown)}"
            return f"{said}. Shown (paired 95 % t-intervals): {where}."
        return f"{said}. Shown (paired 95 % t-intervals): {'; '.join(self._by_better(self.shown))}."

    def _by_better(self, several: Sequence[Difference]) -> list[str]:
        return [
            f"{name} at {self._list(mine)}"
            for name in (self.curve.name, self.baseline.name)
            if (mine := [d for d in several if self.better(d) == name])
        ]

    def _list(self, several: Sequence[Difference]) -> str:
        """Return these fractions; three or more that follow one another as a range."""
        at = [self.differences.index(difference) for difference in several]
        ranges: list[list[int]] = []
        for number in at:
            if ranges and number == ranges[-1][-1] + 1:
                ranges[-1].append(number)
            else:
                ranges.append([number])
        parts = []
        for numbers in ranges:
            said = [percent(self.differences[number].fraction) for number in numbers]
            parts += [f"{said[0]} to {said[-1]}"] if len(said) > 2 else said
        return _and(parts)

    def _where_they_cross(self) -> str:
        if len(self.differences) < 2:
            return "One fraction: there is nothing to cross."
        if not self.crossings:
            first, last = self.differences[0].fraction, self.differences[-1].fraction
            return f"Nowhere from {percent(first)} to {percent(last)}, by the means."
        said = [f"between {percent(low)} and {percent(high)}" for low, high in self.crossings]
        return f"{capital(_and(said))}, by the means."

    def _until_when(self) -> str:
        if not self.has_intervals:
            return "One seed: no interval, nothing is shown."
        last, first = self.differences[-1], self.not_shown_from
        if first is None:
            return (
                f"From none: at the largest, {percent(last.fraction)}, {self.better(last)} is "
                "still shown to be better."
            )
        if first is self.differences[0]:
            return f"From the smallest, {_place(first)}: none is shown at any fraction."
        return (
            f"From {_place(first)}: there and at all larger fractions the interval holds zero, "
            "which does not prove the two equal."
            if first is not last
            else f"Only at the largest, {_place(first)}: there the interval holds zero, "
            "which does not prove the two equal."
        )


def higher_is_better(figure: str) -> bool:
    """Return whether more of a figure is better: of an accuracy, not of a loss or an error."""
    return figure.endswith("accuracy")


def percent(fraction: float) -> str:
    """Return a fraction for people.

    >>> percent(0.05), percent(0.025), percent(1.0)
    ('5 %', '2.5 %', '100 %')
    """
    return f"{100 * fraction:.4g} %"


def _place(difference: Difference) -> str:
    pictures = "" if difference.examples is None else f" ({difference.examples:,} pictures)"
    return f"{percent(difference.fraction)}{pictures}"


def _and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def capital(text: str) -> str:
    return text[0].upper() + text[1:]
