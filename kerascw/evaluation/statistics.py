"""Statistics over seeds, by SciPy."""

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
