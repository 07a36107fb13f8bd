"""How sure a study's test accuracies and their differences are, and how many seeds would do.

Noise of seeds and of test images is counted together
(:func:`kerascw.evaluation.significance.joint_spread`), from each run's kept predictions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kerascw.errors import CallError, counted
from kerascw.evaluation.significance import (
    Joint,
    correlation_of,
    holm,
    joint_spread,
    least_sign_flip,
    seeds_needed,
    sign_flip_test,
    smallest_difference,
)
from kerascw.evaluation.statistics import FEWEST
from kerascw.lab.decide import decided_text
from kerascw.lab.effects import answers_to
from kerascw.lab.plan import StudyResult
from kerascw.lab.repeats import scored_of
from kerascw.lab.study import Answer
from kerascw.runs.store import Run

LEVEL = 0.05

SMALL = 0.002
"""The difference in accuracy that the number of seeds is planned for where none is asked for."""


@dataclass(frozen=True)
class Comparison:
    """The test accuracy of a variant minus its baseline's, paired by seed and test image."""

    variant: str
    baseline: str
    difference: Joint
    adjusted: float  # p-value, by Holm's method over all comparisons of the study
    sign_flip: float  # p-value over the seeds alone
    deviation: float  # standard deviation of the differences over the seeds
    correlation: float  # of the two accuracies over the seeds; NaN where one is constant

    @property
    def smallest(self) -> float:
        """The smallest true difference that these seeds find on these images: a power of 80 %."""
        return smallest_difference(self.difference.seeds, self.deviation)

    def seeds(self, difference: float) -> int | None:
        """Return how many seeds show this difference with a power of 80 %; None: over 10,000."""
        return seeds_needed(difference, self.deviation)


def accuracy_of(runs: Sequence[Run]) -> Joint | None:
    """Return a variant's test accuracy with its intervals; None of a single seed, or of folds."""
    right = scored_of(runs)
    if len(right) < 2:
        return None
    return joint_spread(np.stack([each.hits for each in right.values()]), (0.0, 1.0))


def comparisons_of(result: StudyResult) -> list[Comparison]:
    """Compare every variant with its baseline over the seeds that both have, three at least.

    Variants that came out identical, as where only a number of epochs differs that neither reached,
    are no comparison.
    """
    right = {name: scored_of(runs) for name, runs in result.runs.items()}
    found = []
    for name, mine in right.items():
        baseline = result.study.base_of(name)
        theirs = right.get(baseline or "", {})
        seeds = [
            seed
            for seed in mine
            if seed in theirs and np.array_equal(mine[seed].labels, theirs[seed].labels)
        ]
        if baseline is None or len(seeds) < FEWEST:
            continue
        tables = np.stack([[mine[seed].hits, theirs[seed].hits] for seed in seeds]).astype(np.int8)
        apart = tables[:, 0] - tables[:, 1]
        if not apart.any():
            continue
        joint, by_seed = joint_spread(apart, (-1.0, 1.0)), apart.mean(axis=1)
        found.append(
            Comparison(
                name,
                baseline,
                joint,
                joint.p_value,
                sign_flip_test(by_seed.tolist()),
                float(np.std(by_seed, ddof=1)),
                correlation_of(tables.mean(axis=2).tolist()),
            )
        )
    adjusted = holm([each.difference.p_value for each in found])
    return [replace(each, adjusted=p) for each, p in zip(found, adjusted, strict=True)]


# --- in words -------------------------------------------------------------------------------


def certainty_answers(result: StudyResult) -> list[Answer]:
    """Say how sure the chosen variant's test accuracy and the differences are."""
    chosen = result.chosen
    how_sure = _how_sure(result.runs[chosen]) if result.study.alternatives else ""
    comparisons = comparisons_of(result)
    return answers_to(
        {
            f"How sure is the test accuracy of {chosen}?": how_sure,
            "Which differences in test accuracy are significant, over seeds and test images?": (
                _which_are_significant(comparisons)
            ),
            "How many seeds are enough?": _seeds_enough(comparisons),
            "Are the differences in test accuracy decided?": decided_text(result),
        }
    )


def _how_sure(runs: Sequence[Run]) -> str:
    joint = accuracy_of(runs)
    if joint is None or joint.over_seeds is None:
        return ""
    return (
        f"{joint.mean:.4f} (95 % CI {_range(joint.interval)} over seeds and test images together; "
        f"over the {joint.seeds} seeds alone {_range(joint.over_seeds)}, over the "
        f"{joint.images:,} test images alone {_range(joint.over_images)})."
    )


def _which_are_significant(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    n = len(comparisons)
    alone = [each for each in comparisons if each.difference.p_value < LEVEL]
    sure = [each for each in alone if each.adjusted < LEVEL]
    names = "; ".join(
        f"{each.variant} minus {each.baseline} {each.difference.mean:+.4f} "
        f"({_range(each.difference.interval, '+')})"
        for each in sure
    )
    seeds = min(each.difference.seeds for each in comparisons)
    return (
        f"{counted(n, 'comparison')} to a baseline: {len(alone)} significant at 95 % by "
        f"{'itself' if n == 1 else 'themselves'}, {len(sure)} after Holm's adjustment for "
        f"{counted(n, 'comparison')}{': ' + names if names else ''}. A sign-flip test "
        f"over {seeds} seeds alone reaches p = {least_sign_flip(seeds):.3g} at best."
    )


def _seeds_enough(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    middle = sorted(comparisons, key=lambda each: each.deviation)[len(comparisons) // 2]
    needed = middle.seeds(SMALL)
    of_all = "" if len(comparisons) == 1 else ", the median comparison"
    images, least = middle.difference.images, middle.difference.least_on_other_images
    on_others = ""
    if least >= 5e-5:  # else the images' own noise is too small to be seen
        on_others = (
            f" On other images of the same number no count of seeds finds less than {least:.4f}."
        )
    return (
        f"With {middle.difference.seeds} seeds, a paired t-test finds a true difference of "
        f"{middle.smallest:.4f} in accuracy on these {images:,} test images with a power of 80 % "
        f"({middle.variant}{of_all}; standard deviation of the paired differences "
        f"{middle.deviation:.4f}); one of {SMALL} needs "
        f"{'more than 10,000' if needed is None else needed}.{on_others}"
    )


def _range(interval: tuple[float, float], sign: str = "") -> str:
    low, high = interval
    return f"{low:{sign}.4f} to {high:{sign}.4f}"


def check_comparable(result: StudyResult) -> list[Comparison]:
    """Return the comparisons, or raise a :class:`CallError` that says why there are none."""
    comparisons = comparisons_of(result)
    if not comparisons:
        raise CallError(
            f"study {result.plan.label}: no variant has a baseline and {FEWEST} seeds in common "
            "with it, scored on one test set; run it with --seeds 3 or more"
        )
    return comparisons
