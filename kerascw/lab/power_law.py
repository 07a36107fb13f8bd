"""How many more pictures buy more accuracy: a power law of the error, with its uncertainty."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from kerascw.evaluation.statistics import (
    is_shown,
    paired_difference,
)
from kerascw.lab.curves import Curve, higher_is_better
from kerascw.lab.study import Answer

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
