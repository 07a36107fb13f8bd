"""How sure a measured figure or difference is, over seeds and over test images together.

A model trained from one seed and scored on 10,000 test images has two sources of noise: other seeds
would have given other models, and other images another score. An interval over seeds alone speaks
of this test set only; one over images alone, of these models only (Bouthillier et al. 2021,
arXiv:2103.03098; Jordan 2023, arXiv:2304.01910).
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerascw.evaluation.statistics import FEWEST, over_seeds, quantile

POWER = 0.8
"""The chance of finding a difference that a study is planned for, by convention."""

EXACT, DRAWN = 16, 9999
"""A sign-flip test tries all signs of up to so many pairs; of more it draws so many ways."""

MOST_SEEDS = 10_000
"""More seeds than this are not planned for."""


@dataclass(frozen=True)
class Joint:
    """The mean of a score with 95 % CIs that count other seeds, other images, or both."""

    mean: float
    seeds: int
    images: int
    interval: tuple[float, float]
    over_seeds: tuple[float, float] | None  # None of fewer than three seeds
    over_images: tuple[float, float]
    p_value: float  # two-sided, of a mean of zero, over both
    image_variance: float  # of the mean, from images alone: what no number of seeds takes away

    @property
    def least_on_other_images(self) -> float:
        """The smallest true mean that seeds without end find on as many other images, power 80 %.

        1.96 + 0.84 standard errors.
        """
        from scipy.special import ndtri

        return float(ndtri(0.975) + ndtri(POWER)) * math.sqrt(self.image_variance)


def joint_spread(scores: np.ndarray, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Joint:
    """Return the mean score with its 95 % CI over both seeds and test images.

    Seeds and images are crossed random effects: every model is scored on every image. The variance
    of the grand mean is estimated by ``(MS_seed + MS_image - MS_rest) / (S I)`` from the mean
    squares of a two-way table, never below what seeds or images give alone, with Satterthwaite's
    degrees of freedom (the design: Clark 1973, doi:10.1016/S0022-5371(73)80014-3). Interval and
    p-value are never narrower or smaller than those over the seeds alone: where seeds are the
    larger noise, Satterthwaite's alone would reject a true zero in 6 to 8 of 100 studies of three
    seeds at the level of 5 %, and in 1 to 2.5 at 0.4 %, the level that Holm's method begins with
    for twelve comparisons. With this rule these are 4.6 to 5.1 and at most 0.4 (400,000 studies
    drawn for each of seven ratios of the two noises). An interval over seeds alone held the true
    accuracy in 29 to 95 of 100 simulated studies.

    Parameters
    ----------
    scores : ``[seeds, images]``, two of each at least: such as 1 where the model of a seed is
        right about an image and 0 where it is wrong; of a paired comparison, the difference of two
        such tables.
    bounds : of the score, which cut the intervals off.
    """
    from scipy.stats import t

    table = np.asarray(scores, np.float64)
    seeds, images = table.shape
    mean, of_seed, of_image = float(table.mean()), table.mean(axis=1), table.mean(axis=0)
    parts, freedom = _parts(table)
    variance = max(float(parts.sum()), parts[0], parts[1])
    both = (variance, _freedom(variance, parts, freedom)), (parts[0], freedom[0])

    def reach(variance: float, freedom: float) -> float:
        return quantile(freedom) * math.sqrt(variance) if variance > 0 else 0.0

    def p_value(variance: float, freedom: float) -> float:
        if variance > 0:
            return 2 * float(t.sf(abs(mean) / math.sqrt(variance), freedom))
        return 1.0 if mean == 0 else 0.0

    def around(reach: float) -> tuple[float, float]:
        return max(mean - reach, bounds[0]), min(mean + reach, bounds[1])

    return Joint(
        mean,
        seeds,
        images,
        around(max(reach(*each) for each in both)),
        over_seeds(of_seed.tolist(), bounds).interval,
        around(reach(float(np.var(of_image, ddof=1)) / images, images - 1)),
        max(p_value(*each) for each in both),
        max(0.0, float(parts[1] + parts[2])),
    )


def joint_reach(scores: np.ndarray, mean_of: int = 1) -> float:
    """Return half the 95 % prediction interval for m more seeds on a new test set of this size.

    The mean of our S seeds and that of theirs are on I images each, drawn apart, so the variance of
    their difference is ``(a + e / I) (1/S + 1/m) + 2 b / I``, with the variances a of seeds, b of
    images and e of the rest: the parts of :func:`joint_spread` times ``1 + S/m``, 2 and 2. On the
    same images b cancels, and :func:`kerascw.evaluation.statistics.prediction_reach` is what is
    left; the reach is never less than that one.
    """
    parts, freedom = _parts(np.asarray(scores, np.float64))
    parts *= np.array([1 + len(scores) / mean_of, 2, 2])
    variance = max(float(parts.sum()), parts[0])
    both = quantile(_freedom(variance, parts, freedom)) * math.sqrt(variance)
    return max(both, quantile(freedom[0]) * math.sqrt(parts[0]))


def _parts(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean squares of seeds, images and rest, by S I, the last negative; their freedoms."""
    seeds, images = table.shape
    mean = table.mean()
    squares_seed = images * float(np.square(table.mean(axis=1) - mean).sum())
    squares_image = seeds * float(np.square(table.mean(axis=0) - mean).sum())
    squares_rest = float(np.square(table - mean).sum()) - squares_seed - squares_image
    freedom = np.array([seeds - 1, images - 1, (seeds - 1) * (images - 1)], np.float64)
    parts = np.array([squares_seed, squares_image, -max(squares_rest, 0.0)])
    return parts / (freedom * seeds * images), freedom


def _freedom(variance: float, parts: np.ndarray, freedom: np.ndarray) -> float:
    """Return Satterthwaite's degrees of freedom of a sum of parts; ``images - 1`` of no spread."""
    spread = float(np.square(parts) @ (1 / freedom))
    return variance**2 / spread if spread > 0 else float(freedom[1])


def sign_flip_test(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of paired differences, all signs flipped in every way.

    No distribution is assumed, only that under no difference either sign is as likely. Three pairs
    reach 0.25 at best, six 0.03. Up to :data:`EXACT` pairs it is exact.

    >>> sign_flip_test([0.002, 0.003, 0.001])
    0.25
    """
    from scipy.stats import permutation_test

    result = permutation_test(
        (np.asarray(differences, np.float64),),
        np.mean,
        permutation_type="samples",
        n_resamples=2**EXACT if len(differences) <= EXACT else DRAWN,
        batch=10_000,
        rng=np.random.default_rng(0),
    )
    return min(1.0, float(result.pvalue))


def least_sign_flip(pairs: int) -> float:
    """Return the smallest p-value that so many pairs can reach.

    >>> least_sign_flip(3), least_sign_flip(20)
    (0.25, 0.0002)
    """
    return 2.0 ** (1 - pairs) if pairs <= EXACT else 2 / (DRAWN + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's step-down method (Holm 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    times = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(np.minimum(1, times * np.asarray(p_values)[order]))
    return adjusted.tolist()


# --- how many seeds -------------------------------------------------------------------------


def power_of(seeds: int, difference: float, deviation: float) -> float:
    """Return the chance that a paired t-test at 5 % over two seeds or more finds a true difference.

    ``deviation`` is the standard deviation of the differences paired by seed.

    >>> round(power_of(20, 0.002, 0.003), 2)
    0.81
    """
    if deviation == 0:
        return 1.0 if difference else 0.05
    from scipy.stats import nct

    critical = quantile(seeds - 1)
    shift = abs(difference) / deviation * math.sqrt(seeds)
    return float(nct.sf(critical, seeds - 1, shift) + nct.cdf(-critical, seeds - 1, shift))


def smallest_difference(seeds: int, deviation: float) -> float:
    """Return the smallest true difference that so many seeds find with a power of 80 %."""
    if deviation == 0:
        return 0.0
    from scipy.optimize import brentq

    above = deviation / math.sqrt(seeds)
    while power_of(seeds, above, deviation) < POWER:
        above *= 2
    return float(brentq(lambda d: power_of(seeds, d, deviation) - POWER, 0.0, above))


def seeds_needed(difference: float, deviation: float) -> int | None:
    """Return how many seeds find a true difference with a power of 80 %; None: over 10,000.

    >>> seeds_needed(0.002, 0.003)
    20
    """
    numbers = range(2, MOST_SEEDS + 1)  # power rises with the number of seeds
    at = bisect_left(numbers, POWER, key=lambda seeds: power_of(seeds, difference, deviation))
    return numbers[at] if at < len(numbers) else None


# --- seeds until decided --------------------------------------------------------------------


def interval_at_look(
    differences: Sequence[float], look: int, comparisons: int = 1
) -> tuple[float, float] | None:
    """Return the CI of a mean difference that may be looked at again after every further seed.

    The error of 5 % is spent over the looks, ``0.05 / (k (k + 1))`` at the k-th, which sum to 0.05
    however many there are, and shared equally by the comparisons: all intervals of all looks hold
    their true differences together with 95 % probability (Bonferroni; for normal differences).

    Parameters
    ----------
    differences : paired by seed, all seeds so far; None of fewer than three.
    look : from 1.
    comparisons : how many differences the study looks at.
    """
    n = len(differences)
    if n < FEWEST:
        return None
    mean, deviation = float(np.mean(differences)), float(np.std(differences, ddof=1))
    level = 0.05 / (look * (look + 1)) / comparisons
    reach = quantile(n - 1, level) * deviation / math.sqrt(n)
    return mean - reach, mean + reach


def decision(interval: tuple[float, float] | None, difference: float | None = None) -> str:
    """Return ``different``, ``equivalent`` (within ``difference``) or ``undecided``.

    >>> decision((0.001, 0.004)), decision((-0.001, 0.001), 0.002), decision((-0.001, 0.004))
    ('different', 'equivalent', 'undecided')
    """
    if interval is None:
        return "undecided"
    low, high = interval
    if difference is not None and -difference <= low and high <= difference:
        return "equivalent"
    return "different" if low > 0 or high < 0 else "undecided"


def correlation_of(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the correlation of two variants' figures over their common seeds; NaN of a constant.

    The higher it is, the fewer seeds a paired comparison needs.
    """
    first, second = np.asarray(pairs, np.float64).T
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])
