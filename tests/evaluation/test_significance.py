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
    joint_reach,
    joint_spread,
    power_of,
    seeds_needed,
    sign_flip_test,
    smallest_difference,
)
from kerascw.evaluation.statistics import prediction_reach
from kerascw.lab.published import Published
from kerascw.lab.verdict import verdict


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


@pytest.mark.parametrize(("mean_of", "deviation"), [(1, 0.001), (1, 0.01), (3, 0.003)])
def test_a_published_run_on_its_own_images_agrees_19_times_of_20(
    mean_of: int, deviation: float
) -> None:
    """Five seeds of ours, and a published mean of other seeds on other images; seeds alone fail."""
    random = np.random.default_rng(0)
    agreed = dict.fromkeys(("joint", "seeds"), 0)
    for _ in range(2000):
        ours, _ = simulated_scores(random, 5, 500, deviation)
        theirs, _ = simulated_scores(random, mean_of, 500, deviation)
        published = Published(float(theirs.mean()), "a report", mean_of=mean_of, digits=9)
        values = ours.mean(axis=1).tolist()
        for name, hits in (("joint", ours), ("seeds", None)):
            said = verdict(values, published, "test.accuracy", hits=hits)
            agreed[name] += said.word == "agrees"
    assert 0.93 < agreed["joint"] / 2000 < 0.97
    assert agreed["seeds"] / 2000 < 0.93


def test_the_joint_reach_on_a_worked_example() -> None:
    """Without a seed-by-image interaction the variances are those of the two margins."""
    of_seed, of_image = np.array([0.0, 0.1, 0.2]), np.array([0.1, 0.3, 0.5, 0.7])
    a, b = of_seed.var(ddof=1), of_image.var(ddof=1)
    for m in (1, 4):
        parts = np.array([a * (1 / 3 + 1 / m), 2 * b / 4])
        freedom = parts.sum() ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 3)
        expected = stats.t.ppf(0.975, freedom) * np.sqrt(parts.sum())
        assert joint_reach(of_seed[:, None] + of_image, m) == pytest.approx(expected)


def test_the_joint_reach_is_at_least_that_of_seeds() -> None:
    """Images that are all alike add nothing, even where more degrees of freedom would shrink it."""
    alike = np.repeat(np.array([[0.90], [0.91], [0.93]]), 50, axis=1)
    for scores in (alike, simulated_scores(np.random.default_rng(1), 3, 400, 0.01)[0]):
        seeds = prediction_reach(scores.mean(axis=1).tolist(), 2)
        assert joint_reach(scores, 2) >= seeds * (1 - 1e-9)
    assert joint_reach(alike) == pytest.approx(prediction_reach([0.90, 0.91, 0.93]))


def test_the_joint_interval_is_at_least_either_source_alone() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        scores, _ = simulated_scores(random, 3, 200, 0.02)
        joint = joint_spread(scores)
        for part in (joint.over_seeds, joint.over_images):
            assert part is not None
            assert part[1] - part[0] <= joint.interval[1] - joint.interval[0] + 1e-9
    assert joint.mean == pytest.approx(scores.mean())
    ci = stats.ttest_1samp(scores.mean(axis=1), 0).confidence_interval(0.95)
    assert joint.over_seeds == pytest.approx((ci.low, ci.high))


@pytest.mark.parametrize("ratio", [0.3, 3.0])
def test_a_true_zero_is_rejected_no_more_often_than_the_level_says(ratio: float) -> None:
    """Three seeds, whose variance is ``ratio`` times that of the images in the mean."""
    random, p_values = np.random.default_rng(1), []
    for _ in range(3000):
        of_seed = random.normal(0, math.sqrt(3 * ratio / 100), (3, 1))
        p_values.append(joint_spread(of_seed + random.normal(0, 1, (1, 100))).p_value)
    assert np.mean(np.array(p_values) < 0.05) < 0.06
    assert np.mean(np.array(p_values) < 0.05 / 12) < 0.008


def test_the_noise_of_images_is_what_no_number_of_seeds_takes_away() -> None:
    random = np.random.default_rng(0)
    of_image = random.normal(0, 1, (1, 10_000))
    joint = joint_spread(of_image + random.normal(0, 2, (20, 10_000)))
    assert joint.image_variance == pytest.approx(1 / 10_000, rel=0.05)
    assert joint.least_on_other_images == pytest.approx(2.8016 / 100, rel=0.03)


def test_identical_models_leave_the_noise_of_images_and_equal_images_that_of_seeds() -> None:
    right = (np.random.default_rng(0).random(500) < 0.9).astype(float)
    joint = joint_spread(np.stack([right] * 4))
    assert joint.interval == pytest.approx(joint.over_images)
    of_seed = np.repeat([[0.0], [1.0], [1.0], [1.0]], 500, axis=1)
    joint = joint_spread(of_seed)
    assert joint.interval == pytest.approx(joint.over_seeds)


def test_the_sign_flip_test_counts_all_signs() -> None:
    assert sign_flip_test([1, 2, 3]) == 2 / 8
    assert sign_flip_test([1, 2, 3, 4, 5, 6]) == 2 / 64
    assert sign_flip_test([1, -1]) == 1
    assert sign_flip_test([1.0] * 15) == 2 / 2**15
    assert sign_flip_test([1.0] * 17) == 2 / 10_000  # drawn at random
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
    assert (power_of(5, 0.1, 0.0), power_of(5, 0.0, 0.0)) == (1, 0.05)


def test_seeds_and_differences_are_two_sides_of_one_power() -> None:
    n = seeds_needed(0.002, 0.003)
    assert n is not None
    assert power_of(n, 0.002, 0.003) >= 0.8 > power_of(n - 1, 0.002, 0.003)
    assert smallest_difference(n, 0.003) <= 0.002 < smallest_difference(n - 1, 0.003)
    assert seeds_needed(1e-9, 0.003) is None


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


def test_correlation_needs_a_spread() -> None:
    assert correlation_of([(1, 2), (2, 4), (3, 6)]) == pytest.approx(1)
    assert math.isnan(correlation_of([(1, 2), (1, 4), (1, 5)]))
