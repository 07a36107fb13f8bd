"""Intervals and tests by simulation or by construction, where the right answer is known."""

import math

import numpy as np
import pytest
from scipy import stats

from kerascw.evaluation.significance import (
    correlation_of,
    decision,
    holm,
    interval_at_look,
    joint_spread,
    power_of,
    seeds_needed,
    sign_flip_test,
    smallest_difference,
)


def simulated_scores(
    random: np.random.Generator, seeds: int, images: int, deviation: float
) -> tuple[np.ndarray, float]:
    """Return right (1) or wrong (0) ``[seeds, images]``, and the true accuracy.

    Most images are easy; the others have a chance of their own, which a seed shifts.
    """
    hard = random.random(images) < 0.15
    chance = np.where(hard, random.beta(2, 1.4, images), 0.995)
    shift = random.normal(0, deviation, (seeds, 1)) / 0.15 * hard
    right = random.random((seeds, images)) < np.clip(chance + shift, 0, 1)
    return right.astype(np.float64), 0.85 * 0.995 + 0.15 * 2 / 3.4


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("deviation", [0.001, 0.01])
def test_the_joint_interval_holds_the_true_accuracy_19_times_of_20(
    seeds: int, deviation: float
) -> None:
    random = np.random.default_rng(seeds)
    held = 0
    for _ in range(600):
        scores, true = simulated_scores(random, seeds, 1000, deviation)
        low, high = joint_spread(scores, (0, 1)).interval
        held += low <= true <= high
    assert 0.925 < held / 600 < 0.98


def test_the_joint_interval_is_at_least_either_source_alone() -> None:
    scores, _ = simulated_scores(np.random.default_rng(0), 5, 2000, 0.005)
    joint = joint_spread(scores, (0, 1))
    for part in (joint.over_seeds, joint.over_images):
        assert part is not None
        assert part[1] - part[0] <= joint.interval[1] - joint.interval[0] + 1e-9
    assert joint.mean == pytest.approx(scores.mean())
    ci = stats.ttest_1samp(scores.mean(axis=1), 0).confidence_interval(0.95)
    assert joint.over_seeds == pytest.approx((ci.low, ci.high))


def test_identical_models_leave_the_noise_of_images_and_equal_images_that_of_seeds() -> None:
    right = (np.random.default_rng(0).random(500) < 0.9).astype(float)
    joint = joint_spread(np.stack([right] * 4))
    assert joint.interval == pytest.approx(joint.over_images)
    of_seed = np.repeat([[0.0], [1.0], [1.0], [1.0]], 500, axis=1)
    joint = joint_spread(of_seed)
    assert joint.interval == pytest.approx(joint.over_seeds)
    with pytest.raises(ValueError, match="1 seeds by 500 images"):
        joint_spread(right[None])


def test_the_sign_flip_test_counts_all_signs() -> None:
    assert sign_flip_test([1, 2, 3]) == 2 / 8
    assert sign_flip_test([1, 2, 3, 4, 5, 6]) == 2 / 64
    assert sign_flip_test([1, -1]) == 1
    assert sign_flip_test([0.5]) == 1
    assert sign_flip_test([0.0, 0.0, 0.0]) == 1


def test_holm_is_the_step_down_method() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_power_is_what_simulated_studies_find() -> None:
    random = np.random.default_rng(0)
    draws = random.normal(0.002, 0.003, (4000, 12))
    found = np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05)
    assert power_of(12, 0.002, 0.003) == pytest.approx(found, abs=0.02)
    assert power_of(1, 0.002, 0.003) == 0
    assert (power_of(5, 0.1, 0.0), power_of(5, 0.0, 0.0)) == (1, 0.05)


def test_seeds_and_differences_are_two_sides_of_one_power() -> None:
    n = seeds_needed(0.002, 0.003)
    assert n is not None
    assert power_of(n, 0.002, 0.003) >= 0.8 > power_of(n - 1, 0.002, 0.003)
    assert smallest_difference(n, 0.003) <= 0.002 < smallest_difference(n - 1, 0.003)
    assert seeds_needed(1e-9, 0.003) is None
    assert smallest_difference(1, 0.003) == math.inf


def test_looking_after_every_seed_decides_wrongly_in_at_most_5_of_100_studies() -> None:
    """2,000 studies of three comparisons without any difference, looked at from 3 to 20 seeds."""
    random = np.random.default_rng(0)
    wrong = 0
    for _ in range(2000):
        draws = random.normal(0, 0.003, (3, 20))
        wrong += any(
            decision(interval_at_look(row[:n].tolist(), n - 2, comparisons=3)) == "different"
            for n in range(3, 21)
            for row in draws
        )
    assert wrong / 2000 <= 0.05


def test_a_real_difference_is_decided_and_none_is_found_equivalent() -> None:
    random = np.random.default_rng(1)
    differences = random.normal(0.01, 0.002, 12).tolist()
    decided = [decision(interval_at_look(differences[:n], n - 2)) for n in range(2, 13)]
    assert decided[0] == "undecided"  # two seeds
    assert decided[-1] == "different"
    none = random.normal(0, 0.0005, 12).tolist()
    assert decision(interval_at_look(none, 10), difference=0.002) == "equivalent"


def test_correlation_needs_three_pairs_and_a_spread() -> None:
    assert correlation_of([(1, 2), (2, 4), (3, 6)]) == pytest.approx(1)
    assert math.isnan(correlation_of([(1, 2), (2, 4)]))
    assert math.isnan(correlation_of([(1, 2), (1, 4), (1, 5)]))
