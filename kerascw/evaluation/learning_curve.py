"""Learning curves: a figure against the number of training pictures, over initialisations.

The runs are those of nested subsets that are the same for every initialisation, over the same
seeds, so that differences between initialisations are paired by seed. Nothing here trains.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from kerascw.errors import CallError
from kerascw.evaluation.statistics import (
    Spread,
    figure_of,
    is_shown,
    over_seeds,
    paired_difference,
)
from kerascw.studies import Answer

if TYPE_CHECKING:
    from kerascw.engine.store import Run

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
        return f"{_capital(_and(said))}, by the means."

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


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


# --- the power law ---------------------------------------------------------------------------

FEWEST_POINTS = 4
"""Three parameters go through any three points: with fewer than these nothing tests the law."""

LOWEST_R_SQUARED = 0.9
"""Below, the fit is called poor. Of simulated power laws (benchmarks/power_law.py: 5 fractions, 2
to 5 seeds of 3 % relative deviation, also with as much scatter that all seeds share) 95 % had 0.98
or more; what is below 0.9 has another shape, or more noise than law."""

FARTHEST = 10
"""Times the largest number of pictures: how far the law is believed beyond what was measured."""

LARGEST_EXPONENT = 5.0
"""The bound of b in the fit, well above what is to be expected: Hestness et al., "Deep Learning
Scaling is Predictable, Empirically", 2017, measured 0.07 to 0.35, and theory has 0.5 to 1."""

WIDEST_EXPONENT = 1.0
"""An interval of b that is wider than the range of all these exponents says nothing."""

WIDEST_FLOOR = 0.9
"""An interval of c that takes in this share of the error at the largest n says nothing."""

_DRAWS = 300
_PRIOR = 4
"""Degrees of freedom that the pooled relative deviation counts for, beside a point's own."""

Parameters = tuple[float, float, float]
"""``scale``, ``b`` and ``c`` of ``scale * (n / largest n)**-b + c``: numbers of like size, which
curve_fit needs, where ``a`` may be of any."""


@dataclass(frozen=True)
class More:
    """How many more pictures a gain would take; infinite: no number of them, by the fit."""

    images: float
    interval: tuple[float, float] | None  # 95 %
    is_far: bool  # more than ten times the pictures that there are


@dataclass(frozen=True)
class PowerLaw:
    """``error(n) = a * n**-b + c`` fitted to the mean errors of one curve.

    Uncertainty is a parametric bootstrap: curves are drawn around the fitted one with the standard
    errors of its points, made larger where the residuals are (a law that does not hold exactly, and
    subsets that all seeds share), and fitted again. Resampling the seeds knows neither, and of two
    or three there is little to resample: on simulated curves (benchmarks/power_law.py) its 95 %
    intervals held the truth in 22 to 72 % of cases, those of the draws in 72 to 98 %, so these too
    are rough, the more so where all seeds share the scatter.
    The covariance of the fit is no choice where a bound is near, as that of c often is, nor for
    the number of pictures, whose distribution has a long tail and may hold infinity.
    """

    curve: Curve
    fitted: Parameters
    r_squared: float  # weighted as the fit is
    draws: tuple[Parameters, ...] = field(repr=False)  # empty: one seed and no residuals

    @property
    def largest(self) -> int:
        """The largest number of training pictures that was measured."""
        return max(n for n, _ in _measured(self.curve))

    @property
    def a(self) -> float:
        scale, b, _ = self.fitted
        return float(scale * self.largest**b)

    @property
    def b(self) -> float:
        return self.fitted[1]

    @property
    def c(self) -> float:
        return self.fitted[2]

    def error(self, examples: float) -> float:
        """Return the expected error with so many training pictures."""
        return _law(examples / self.largest, *self.fitted)

    def interval(self, name: str) -> tuple[float, float] | None:
        """Return the 95 % interval of ``a``, ``b`` or ``c``; None with nothing to go by."""
        at = {
            "a": lambda draw: draw[0] * self.largest ** draw[1],
            "b": lambda draw: draw[1],
            "c": lambda draw: draw[2],
        }[name]
        return _interval([at(draw) for draw in self.draws])

    def error_interval(self, examples: float) -> tuple[float, float] | None:
        """Return the 95 % interval of the expected error."""
        return _interval([_law(examples / self.largest, *draw) for draw in self.draws])

    def images_for(self, gain: float = 0.01) -> More:
        """Return how many more pictures than the most that were trained on would gain so much.

        ``gain`` is of accuracy: 0.01 is one point.
        """
        images = _images(self.fitted, gain) * self.largest
        interval = _interval([_images(draw, gain) * self.largest for draw in self.draws])
        is_far = math.isfinite(images) and images + self.largest > FARTHEST * self.largest
        return More(images, interval, is_far)

    @cached_property
    def cautions(self) -> tuple[str, ...]:
        """Why the fit is poor; nothing where it is not."""
        said = []
        measured = _measured(self.curve)
        if len(measured) < FEWEST_POINTS:
            said.append(f"{len(measured)} fractions cannot test a law of three parameters")
        if _is_flat(self.curve):
            said.append("the error is not shown to fall from the smallest to the largest fraction")
        if self.r_squared < LOWEST_R_SQUARED:
            said.append(
                f"R² {self.r_squared:.2f} is below {LOWEST_R_SQUARED}: the errors do not follow it"
            )
        b, c = self.interval("b"), self.interval("c")
        if not 1e-3 < self.b < 0.999 * LARGEST_EXPONENT or (b and b[1] - b[0] > WIDEST_EXPONENT):
            said.append(f"the exponent is not determined (b {_with_interval(self.b, b, 2)})")
        if c and c[1] - c[0] > WIDEST_FLOOR * self.error(self.largest):
            said.append(f"the floor is not determined (c {_with_interval(self.c, c, 4)})")
        if not self.draws:
            said.append("one seed and no residuals: no intervals")
        return tuple(said)

    @property
    def text(self) -> str:
        """The law with its numbers."""
        return f"error = {self.a:.3g} n^-{self.b:.2f} + {self.c:.4f} (n training pictures)"

    def answer(self, gain: float = 0.01) -> Answer:
        """Return how many more pictures a gain would take, as a sentence with its cautions."""
        points = "one more point" if gain == 0.01 else f"{100 * gain:g} more points"
        part = self.curve.figure.partition(".")[0]
        question = (
            f"How many more pictures would buy {points} of {part} accuracy, {self.curve.name}?"
        )
        more = self.images_for(gain)
        fit = f"{self.text}, R² {self.r_squared:.3f}"
        if math.isinf(more.images):
            low = more.interval[0] if more.interval else math.inf
            said = (
                "Not to be had by more of the same data, by this fit"
                f"{'' if math.isinf(low) else f' (95 % interval: from {_rounded(low)} on)'}: {fit}."
            )
        else:
            said = (
                f"About {_rounded(more.images)} beyond {self.largest:,}"
                f"{_images_interval(more.interval)}, by {fit}."
            )
        cautions = list(self.cautions)
        if more.is_far:
            cautions.append(f"that is more than {FARTHEST} times what was measured")
        if cautions:
            said += f" Caution: {'; '.join(cautions)}."
        return Answer(question, said)


@lru_cache(maxsize=64)
def fit_power_law(curve: Curve) -> PowerLaw | None:
    """Return the power law fitted to a curve of accuracies or errors; None below three points.

    Points are weighted by the standard errors of their means. A deviation of two or three seeds is
    itself too uncertain for that, so a point's variance is averaged with the pooled relative one
    (which counts for four degrees of freedom). Without any two seeds, or where none differ, points
    count by their relative errors, and the residuals alone say how exact the fit is.
    """
    if curve.figure.rpartition(".")[2] not in ("accuracy", "error"):
        raise ValueError(f"a power law is fitted to accuracies or errors, not to {curve.figure}")
    measured = _measured(curve)
    if len(measured) < 3:
        return None
    x = np.array([n for n, _ in measured], float)
    x /= x.max()
    seeds = [np.asarray(values) for _, values in measured]
    errors = np.array([values.mean() for values in seeds])
    deviations, known = _standard_errors(seeds, errors)
    best = _best_fit(x, errors, deviations, _starts(errors, x))
    assert best is not None, "curve_fit found no minimum from any start"
    around = np.array([_law(at, *best) for at in x])
    residuals = float((((errors - around) / deviations) ** 2).sum())
    centre = np.average(errors, weights=deviations**-2)
    total = float((((errors - centre) / deviations) ** 2).sum())
    freedom = len(x) - 3
    scale = math.sqrt(residuals / freedom) if freedom else float(known)
    if known:
        scale = max(1.0, scale)
    draws = []
    if scale > 1e-9:
        random = np.random.default_rng(0)  # the same intervals whenever they are asked for
        for _ in range(_DRAWS):
            drawn = around + scale * deviations * random.standard_normal(len(x))
            again = _best_fit(x, drawn, deviations, [best])
            if again is not None:
                draws.append(again)
    # equal means leave nothing to explain, and rounding to decide
    r_squared = 1 - residuals / total if total > 1e-12 * len(x) else 0.0
    return PowerLaw(curve, best, r_squared, tuple(draws))


def _law(x: float, scale: float, b: float, c: float) -> float:
    return float(scale * x**-b + c)


def _best_fit(
    x: np.ndarray, errors: np.ndarray, deviations: np.ndarray, starts: Sequence[Parameters]
) -> Parameters | None:
    """Return the best of the fits from each start; None where none ends."""
    from scipy.optimize import OptimizeWarning, curve_fit

    def law(x: np.ndarray, scale: float, b: float, c: float) -> np.ndarray:
        return scale * x**-b + c

    def slopes(x: np.ndarray, scale: float, b: float, c: float) -> np.ndarray:
        power = x**-b
        return np.stack([power, -scale * np.log(x) * power, np.ones_like(x)], axis=1)

    size = max(abs(float(errors.min())), 1e-3)
    found: list[tuple[float, Parameters]] = []
    for start in starts:
        try:
            with warnings.catch_warnings():  # it has no covariance at a bound; none is asked for
                warnings.simplefilter("ignore", OptimizeWarning)
                fitted, _ = curve_fit(
                    law,
                    x,
                    errors,
                    np.maximum(start, 1e-9),
                    sigma=deviations,
                    bounds=([0, 0, 0], [np.inf, LARGEST_EXPONENT, np.inf]),
                    jac=slopes,
                    x_scale=[size, 0.5, size],
                    max_nfev=300,
                )
        except RuntimeError:  # not at its end after so many steps
            continue
        cost = float((((errors - law(x, *fitted)) / deviations) ** 2).sum())
        scale, b, c = (float(value) for value in fitted)
        found.append((cost, (scale, b, c)))
    return min(found)[1] if found else None


def _starts(errors: np.ndarray, x: np.ndarray) -> list[Parameters]:
    last, least = float(errors[x.argmax()]), float(errors.min())
    return [
        (max(last - floor * least, 1e-6), b, floor * least)
        for b in (0.2, 0.5, 1.0)
        for floor in (0.0, 0.5, 0.9)
    ]


def _standard_errors(seeds: Sequence[np.ndarray], errors: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return standard errors of the means, and whether they are known or but relative ones."""
    # a fraction without a single mistake must not weigh infinitely
    sizes = np.maximum(errors, 1e-2 * max(float(errors.max()), 1e-6))
    freedom = np.array([len(values) - 1 for values in seeds])
    variances = np.array([values.var(ddof=1) if len(values) > 1 else 0.0 for values in seeds])
    if not variances.any():
        return sizes, False
    pooled = float((freedom * variances / sizes**2).sum() / freedom.sum())
    mixed = (freedom * variances + _PRIOR * pooled * sizes**2) / (freedom + _PRIOR)
    return np.sqrt(mixed / (freedom + 1)), True


def _measured(curve: Curve) -> list[tuple[int, tuple[float, ...]]]:
    """Return number of pictures and errors over the seeds, where there are any."""
    one_minus = higher_is_better(curve.figure)
    return [
        (point.examples, tuple(1 - v if one_minus else v for v in point.values))
        for point in curve.points
        if point.values and point.examples
    ]


def _is_flat(curve: Curve) -> bool:
    """Return whether two seeds or more do not show the error to fall over the whole curve."""
    first, *_, last = [point for point in curve.points if point.values]
    end = dict(zip(last.seeds, last.values, strict=True))
    pairs = [(end[seed], value) for seed, value in zip(first.seeds, first.values, strict=True)
             if seed in end]  # fmt: skip
    if len(pairs) < 2:
        return False
    change = paired_difference(*zip(*pairs, strict=True))
    better = (change.mean > 0) == higher_is_better(curve.figure)
    return not (is_shown(change) and better)


def _images(fitted: Parameters, gain: float) -> float:
    """Return how many more pictures gain so much, in units of the largest number there is."""
    scale, b, _ = fitted
    if scale <= gain or b <= 0:
        return math.inf
    exponent = math.log(scale / (scale - gain)) / b
    return math.expm1(exponent) if exponent < 700 else math.inf  # the largest float is e^709


def _interval(draws: Sequence[float]) -> tuple[float, float] | None:
    if not draws:
        return None
    # infinities cannot be interpolated
    low, high = np.quantile(draws, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


def _with_interval(value: float, interval: tuple[float, float] | None, digits: int) -> str:
    if interval is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f}, 95 %: {interval[0]:.{digits}f} to {interval[1]:.{digits}f}"


def _images_interval(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return ""
    low, high = interval
    if math.isinf(low):
        return " (95 % interval: not to be had)"
    return f" (95 %: {_rounded(low)} to {'no limit' if math.isinf(high) else _rounded(high)})"


def _rounded(images: float) -> str:
    """Return a number of pictures to two digits, which is more than is known of it."""
    if images >= 1e15:
        return f"{images:.0e}"
    digits = max(0, math.floor(math.log10(max(images, 1))) - 1)
    return f"{round(images, -digits):,.0f}"


# --- answers ---------------------------------------------------------------------------------


def learning_curve_answers(
    runs: CurveRuns,
    figure: str = "validation.loss",
    *,
    baseline: str | None = None,
    accuracy: str | None = "test.accuracy",
) -> list[Answer]:
    """Return what the curves answer: each initialisation against the baseline, and the power law.

    Parameters
    ----------
    baseline : an initialisation; the first if not given.
    accuracy : the figure that the power law is fitted to; None for no power law.
    """
    curves = curves_of(runs, figure)
    if not curves:
        return []
    first = curves[baseline or next(iter(curves))]
    said = [
        answer
        for curve in curves.values()
        if curve is not first
        for answer in Comparison(curve, first).answers()
    ]
    for curve in curves_of(runs, accuracy).values() if accuracy else ():
        law = fit_power_law(curve)
        if law is not None:
            said.append(law.answer())
    diverged = diverged_text(curves)
    if diverged:
        said.append(Answer("Which runs diverged and are left out?", diverged))
    return said


def diverged_text(curves: Mapping[str, Curve]) -> str:
    """Return which runs are left out of the curves, or nothing."""
    places = [
        f"{name} at {percent(point.fraction)}: {len(point.diverged)} of "
        f"{len(point.diverged) + len(point.seeds)}"
        for name, curve in curves.items()
        for point in curve.points
        if point.diverged
    ]
    return f"{_capital('; '.join(places))}." if places else ""
