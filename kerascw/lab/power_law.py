"""Fit a power law to a learning curve's error: how many more images would gain accuracy."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from kerascw.evaluation.statistics import is_shown
from kerascw.lab.curves import Curve, paired

FARTHEST = 10
"""How far the law is trusted beyond the data, in multiples of the largest training set measured."""

LARGEST_EXPONENT = 5.0
"""The upper bound of b in the fit, well above what is to be expected: Hestness et al., "Deep
Learning Scaling is Predictable, Empirically", 2017, measured 0.07 to 0.35; theory has 0.5 to 1."""

FEWEST_POINTS = 4
"""Three parameters fit any three points exactly: fewer points than this cannot test the law."""

DRAWS = 300
_PRIOR = 4
"""Degrees of freedom that the pooled relative variance counts for, beside a point's own."""

Interval = tuple[float, float]


class Parameters(NamedTuple):
    """Of ``scale * x**-b + c``, where x is the number of images divided by the largest one.

    All three are of like size, which curve_fit needs; ``a`` of a law can be of any size.
    """

    scale: float
    b: float
    c: float

    def error(self, x: float) -> float:
        return float(_law(x, *self))

    def more(self, gain: float) -> float:
        """Return how many more images lower the error by ``gain``, in units of the largest set."""
        if self.scale <= gain or self.b <= 0:
            return math.inf
        exponent = math.log(self.scale / (self.scale - gain)) / self.b
        return math.expm1(exponent) if exponent < 700 else math.inf  # the largest float is e^709


class More(NamedTuple):
    """How many more images a gain in accuracy would take; infinite where no number would do."""

    images: float
    interval: Interval | None  # 95 %
    is_far: bool  # beyond FARTHEST times the largest training set


@dataclass(frozen=True)
class PowerLaw:
    """The law ``error(n) = a * n**-b + c``, fitted to the mean errors of one curve.

    Uncertainty is a parametric bootstrap: errors are drawn around the fitted law and fitted again,
    with the standard errors of the points, enlarged where the residuals are larger than these (a
    law that does not hold exactly, or subsets that all seeds share). ``scipy.stats.bootstrap``,
    which resamples the seeds, sees neither, and has only two to five seeds to resample: on
    simulated curves its 95 % intervals covered the truth in 22 to 72 % of cases, those of the
    parametric bootstrap in 72 to 98 %. The covariance of the fit is no alternative: c is often at
    its bound, and the number of images may be infinite.
    """

    curve: Curve  # of accuracies
    measured: list[tuple[int, tuple[float, ...]]]  # training images, and every seed's error
    fitted: Parameters
    r_squared: float  # weighted like the fit
    draws: tuple[Parameters, ...]  # empty: one seed and no residuals

    @property
    def largest(self) -> int:
        """The largest number of training images that was measured."""
        return max(n for n, _ in self.measured)

    @property
    def a(self) -> float:
        return float(self.fitted.scale * self.largest**self.fitted.b)

    def error(self, images: float) -> float:
        """Return the expected error with this many training images."""
        return self.fitted.error(images / self.largest)

    def interval(self, of: Callable[[Parameters], float]) -> Interval | None:
        """Return the 95 % interval of what the parameters give; None if nothing can be drawn."""
        if not self.draws:
            return None
        # "inverted_cdf": infinite values cannot be interpolated
        values = [of(draw) for draw in self.draws]
        low, high = np.quantile(values, [0.025, 0.975], method="inverted_cdf")
        return float(low), float(high)

    def error_interval(self, images: float) -> Interval | None:
        """Return the 95 % interval of the expected error."""
        return self.interval(lambda draw: draw.error(images / self.largest))

    def images_for(self, gain: float = 0.01) -> More:
        """Return how many images beyond the largest training set would raise accuracy by ``gain``.

        ``gain`` is a share: 0.01 is one percentage point.
        """
        images = self.fitted.more(gain) * self.largest
        interval = self.interval(lambda draw: draw.more(gain) * self.largest)
        is_far = math.isfinite(images) and images + self.largest > FARTHEST * self.largest
        return More(images, interval, is_far)

    @property
    def is_flat(self) -> bool:
        """Whether the error does not fall, first to last fraction, or not significantly."""
        first, *_, last = [point for point in self.curve.points if point.values]
        change = paired(last, first)
        if change is None:
            return False
        return change.mean <= 0 or (change.interval is not None and not is_shown(change))


@lru_cache(maxsize=64)
def fit_power_law(curve: Curve) -> PowerLaw | None:
    """Fit the law to a curve of accuracies; None with fewer than four fractions, or without a fit.

    Points are weighted by the standard errors of their means (:func:`standard_errors`).
    """
    measured = [(p.examples, tuple(1 - v for v in p.values)) for p in curve.points if p.values]
    if len(measured) < FEWEST_POINTS:
        return None
    x = np.array([n for n, _ in measured], float)
    x /= x.max()
    errors = np.array([np.mean(values) for _, values in measured])
    deviations, are_known = standard_errors([np.asarray(values) for _, values in measured])
    fitted = fit(x, errors, deviations)
    if fitted is None:
        return None
    around = _law(x, *fitted)
    residuals = float((((errors - around) / deviations) ** 2).sum())
    scale = math.sqrt(residuals / (len(x) - 3))
    if are_known:
        scale = max(1.0, scale)
    draws: list[Parameters] = []
    if scale > 1e-6:  # below, residuals are rounding
        random = np.random.default_rng(0)  # the same intervals at every call
        drawn = around + scale * deviations * random.standard_normal((DRAWS, len(x)))
        draws = [again for each in drawn if (again := fit(x, each, deviations, fitted))]
    centre = np.average(errors, weights=deviations**-2)
    total = float((((errors - centre) / deviations) ** 2).sum())
    # equal means leave nothing to explain, and rounding would decide
    r_squared = 1 - residuals / total if total > 1e-12 * len(x) else 0.0
    return PowerLaw(curve, measured, fitted, r_squared, tuple(draws))


def fit(
    x: np.ndarray, errors: np.ndarray, deviations: np.ndarray, start: Parameters | None = None
) -> Parameters | None:
    """Fit the parameters by weighted least squares; None if that does not converge.

    ``x``, ``errors`` and ``deviations`` are float ``[fractions]``; x is 1 for the largest training
    set. ``start`` is what to begin from, a guess by the first and last error if not given.
    """
    from scipy.optimize import OptimizeWarning, curve_fit

    size = max(abs(float(errors.min())), 1e-3)
    if start is None:
        last, floor = float(errors[x.argmax()]), 0.5 * float(errors.min())
        start = Parameters(last - floor, 0.5, floor)
    try:
        with warnings.catch_warnings():  # at a bound there is no covariance, and none is used
            warnings.simplefilter("ignore", OptimizeWarning)
            found, _ = curve_fit(
                _law, x, errors, np.maximum(start, 1e-6), sigma=deviations, jac=_slopes,
                bounds=([0, 0, 0], [np.inf, LARGEST_EXPONENT, np.inf]),
                x_scale=[size, 0.5, size], max_nfev=300,
            )  # fmt: skip
    except RuntimeError:  # not converged after max_nfev steps
        return None
    return Parameters(*map(float, found))


def _law(x: np.ndarray | float, scale: float, b: float, c: float) -> np.ndarray | float:
    return scale * x**-b + c


def _slopes(x: np.ndarray, scale: float, b: float, c: float) -> np.ndarray:
    """Return the law's derivatives by its parameters, float ``[fractions, 3]``."""
    power = x**-b
    return np.stack([power, -scale * np.log(x) * power, np.ones_like(x)], axis=1)


def standard_errors(errors: Sequence[np.ndarray]) -> tuple[np.ndarray, bool]:
    """Return the standard error of each point's mean, and whether the seeds determine them.

    Two or three seeds determine a variance badly, so a point's own variance is averaged with the
    relative variance of all points, which counts for four degrees of freedom. Where no two seeds
    differ, the errors themselves stand in, and only the residuals say how exact the fit is.
    ``errors`` has an array a point, float ``[seeds]``.
    """
    means = np.array([values.mean() for values in errors])
    # a fraction without a single mistake must not get an infinite weight
    sizes = np.maximum(means, 1e-2 * max(float(means.max()), 1e-6))
    freedom = np.array([len(values) - 1 for values in errors])
    variances = np.array([values.var(ddof=1) if len(values) > 1 else 0.0 for values in errors])
    if not variances.any():
        return sizes, False
    pooled = float((freedom * variances / sizes**2).sum() / freedom.sum())
    mixed = (freedom * variances + _PRIOR * pooled * sizes**2) / (freedom + _PRIOR)
    return np.sqrt(mixed / (freedom + 1)), True
