"""Statistics over seeds or folds, by SciPy, and what they say of a published figure.

Folds of a cross-validation share training pictures, so that their figures depend on one another:
t-intervals over them are too narrow, and no estimate of their variance is unbiased (Bengio and
Grandvalet, 2004).
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kerascw.published import Published

if TYPE_CHECKING:
    from kerascw.engine.store import Run


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


def figure_of(run: "Run", name: str) -> float | None:
    """Return one figure of a run, None where it has none (diverged, or fewer epochs).

    ``test.accuracy`` and the like are those of the kept weights, ``aux1.test.accuracy`` that of an
    auxiliary head; ``epoch_5.train_accuracy`` is that of the history's fifth row,
    ``last_epoch.train_error`` that of its last. An error is 1 minus the accuracy.
    """
    *head, part, figure = name.split(".")
    if head:
        value = run.metrics.get("heads", {}).get(head[0], {}).get(part, {}).get(figure)
        return None if value is None else float(value)
    if part == "last_epoch":
        part = f"epoch_{len(run.history)}"
    if part.startswith("epoch_"):
        at = int(part.removeprefix("epoch_")) - 1
        if at >= len(run.history):
            return None
        if figure.endswith("_error"):
            accuracy = run.history[at].get(figure.removesuffix("error") + "accuracy")
            return None if accuracy is None else 1 - accuracy
        return run.history[at].get(figure)
    value = run.metrics.get(part, {}).get(figure)
    return None if value is None else float(value)


@dataclass(frozen=True)
class Verdict:
    """How a measured figure stands to the published one, and why."""

    word: str  # agrees, better, worse, not comparable
    reason: str


def verdict(
    values: Sequence[float],
    published: Published,
    name: str,
    obstacles: Sequence[str] = (),
    unit: str = "seed",
) -> Verdict:
    """Return whether one published run could be one more of our seeds.

    It agrees if it lies in the 95 % prediction interval for a further seed (mean plus or minus
    t s sqrt(1 + 1/n)), or for the mean of as many as were published, widened by half a unit of its
    last printed decimal. ``obstacles`` are what makes the figures not comparable at all; ``unit``
    is what ``values`` are of, ``seed`` or ``fold``.
    """
    if obstacles:
        return Verdict("not comparable", "; ".join(obstacles))
    if len(values) < 2:
        return Verdict("not comparable", f"{len(values) or 'no'} {unit}: no spread to judge by")
    n, reach = len(values), prediction_reach(values, published.mean_of)
    several = "" if published.mean_of == 1 else f" for a mean of {published.mean_of}"
    gap = float(np.mean(values)) - published.best_reading
    if abs(gap) <= reach + 0.5 * 10**-published.digits:
        within = f"within the prediction interval of {n} {unit}s{several}, ±{reach:.4f}"
        return Verdict("agrees", within)
    higher_is_better = name.endswith("accuracy")
    word = "better" if (gap > 0) == higher_is_better else "worse"
    outside = f"outside the prediction interval{several} of ±{reach:.4f}"
    return Verdict(word, f"by {abs(gap):.4f}, {outside}")
