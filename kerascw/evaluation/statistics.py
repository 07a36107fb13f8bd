"""Statistics over seeds or folds, by SciPy.

The folds of a cross-validation share training images, so their figures depend on one another: a
t-interval over folds is too narrow, and no estimate of their variance is unbiased (Bengio and
Grandvalet, 2004).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 3
"""An interval needs at least so many values: with two, Student's t multiplies their deviation by
12.7, so that accuracies of 0.70 and 0.84 would give 0.77 plus or minus 0.89."""

UNBOUNDED = (-math.inf, math.inf)


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (n - 1), range and 95 % CI of the mean over ``n`` values.

    A single value has no deviation (NaN); fewer than :data:`FEWEST` have no interval (None).
    """

    n: int
    mean: float
    deviation: float
    range: tuple[float, float]
    interval: tuple[float, float] | None


def over_seeds(values: Sequence[float], bounds: tuple[float, float] = UNBOUNDED) -> Spread:
    """Summarise one figure over seeds, with Student's t-interval of its mean.

    ``bounds`` are those of the figure itself, such as 0 and 1 of an accuracy: the interval is cut
    off there, since the mean cannot lie beyond.

    >>> spread = over_seeds([0.92, 0.93, 0.94])
    >>> round(spread.mean, 3), round(spread.deviation, 3), [round(x, 4) for x in spread.interval]
    (0.93, 0.01, [0.9052, 0.9548])
    >>> over_seeds([0.99, 0.95, 1.0], bounds=(0, 1)).interval[1]
    1.0
    """
    n, mean = len(values), float(np.mean(values))
    span = float(min(values)), float(max(values))
    deviation = float(np.std(values, ddof=1)) if n > 1 else math.nan
    if n < FEWEST:
        return Spread(n, mean, deviation, span, None)
    reach = quantile(n - 1) * deviation / math.sqrt(n)
    return Spread(
        n,
        mean,
        deviation,
        span,
        (max(mean - reach, float(bounds[0])), min(mean + reach, float(bounds[1]))),
    )


def quantile(freedom: float, level: float = 0.05) -> float:
    """Return what Student's t exceeds, either way, with this probability."""
    from scipy.special import stdtrit  # at a tenth of the time of scipy.stats.t.ppf

    return float(stdtrit(freedom, 1 - level / 2))


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Summarise ``values - baseline``, paired by seed, with the paired t-test's interval."""
    return over_seeds([a - b for a, b in zip(values, baseline, strict=True)])


def prediction_reach(values: Sequence[float], mean_of: int = 1) -> float:
    """Return half the 95 % prediction interval for a mean of m more seeds: t s sqrt(1/m + 1/n)."""
    n = len(values)
    scale = math.sqrt(1 / mean_of + 1 / n)
    return quantile(n - 1) * float(np.std(values, ddof=1)) * scale


def difference_reach(values: Sequence[float]) -> float:
    """Return the distance that two more seeds stay within in 95 of 100 pairs: t s sqrt(2)."""
    n = len(values)
    return prediction_reach(values) * math.sqrt(2 / (1 + 1 / n))


def is_shown(difference: Spread) -> bool:
    """Return whether a difference is significant at 95 %: its interval leaves zero out."""
    interval = difference.interval
    return interval is not None and not interval[0] <= 0 <= interval[1]
