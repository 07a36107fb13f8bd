"""Statistics over seeds or folds, by SciPy, and what they say of a published figure.

Folds of a cross-validation share training pictures, so that their figures depend on one another:
t-intervals over them are too narrow, and no estimate of their variance is unbiased (Bengio and
Grandvalet, 2004).
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (n - 1) and 95 % t-interval of the mean over ``n`` seeds.

    One seed has neither deviation (NaN) nor interval (None).
    """

    n: int
    mean: float
    deviation: float
    interval: tuple[float, float] | None


def over_seeds(values: Sequence[float]) -> Spread:
    """Return the spread of one figure over seeds.

    >>> spread = over_seeds([0.92, 0.93, 0.94])
    >>> round(spread.mean, 3), round(spread.deviation, 3), [round(x, 4) for x in spread.interval]
    (0.93, 0.01, [0.9052, 0.9548])
    """
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Spread(n, mean, float("nan"), None)
    from scipy.stats import ttest_1samp

    with warnings.catch_warnings():  # equal values: an infinite t, and an interval of no width
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = ttest_1samp(values, 0).confidence_interval(0.95)
    return Spread(
        n, mean, float(np.std(values, ddof=1)), (float(interval.low), float(interval.high))
    )


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Return the spread of ``values - baseline``, paired by seed: the paired t-test's interval."""
    return over_seeds([a - b for a, b in zip(values, baseline, strict=True)])


def prediction_reach(values: Sequence[float], mean_of: int = 1) -> float:
    """Return t s sqrt(1/m + 1/n): half the 95 % prediction interval for a mean of m more seeds."""
    from scipy.stats import t

    n = len(values)
    scale = math.sqrt(1 / mean_of + 1 / n)
    return float(t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) * scale


def difference_reach(values: Sequence[float]) -> float:
    """Return t s sqrt(2): how far apart two more seeds lie, in 95 of 100 pairs."""
    n = len(values)
    return prediction_reach(values) * math.sqrt(2 / (1 + 1 / n))


def is_shown(difference: Spread) -> bool:
    """Return whether a difference is shown: its interval does not hold zero."""
    interval = difference.interval
    return interval is not None and not interval[0] <= 0 <= interval[1]
