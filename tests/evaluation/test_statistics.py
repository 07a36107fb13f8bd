import math

import numpy as np
import pytest
from scipy import stats

from kerascw.evaluation.statistics import is_shown, over_seeds, paired_difference, prediction_reach
from kerascw.lab.published import Published
from kerascw.lab.table import spread_text
from kerascw.lab.verdict import bounds_of, verdict

# ten speeds of light of Michelson's fifth series (km/s less 299,000), a textbook sample
SPEEDS = [890, 840, 780, 810, 760, 810, 790, 810, 820, 850]


def test_the_spread_over_seeds_on_a_worked_example() -> None:
    """4, 5, 6, 7, 8: mean 6, deviation sqrt(2.5), t(0.975, 4) = 2.7764."""
    spread = over_seeds([4, 5, 6, 7, 8])
    assert (spread.n, spread.mean) == (5, 6)
    assert spread.deviation == pytest.approx(math.sqrt(2.5))
    half = 2.776445 * math.sqrt(2.5 / 5)
    assert spread.interval == pytest.approx((6 - half, 6 + half), rel=1e-6)


@pytest.mark.parametrize("n", [3, 10])
def test_the_interval_is_that_of_scipy(n: int) -> None:
    values = SPEEDS[:n]
    expected = stats.t.interval(0.95, n - 1, np.mean(values), stats.sem(values))
    assert over_seeds(values).interval == pytest.approx(expected)


def test_one_seed_has_no_spread_and_equal_seeds_have_none() -> None:
    one = over_seeds([0.9])
    assert (one.n, one.mean, one.interval) == (1, 0.9, None)
    assert math.isnan(one.deviation)
    equal = over_seeds([0.9, 0.9, 0.9])
    assert equal.deviation == 0
    assert equal.interval == pytest.approx((0.9, 0.9))


def test_two_seeds_have_their_range_and_no_interval() -> None:
    """By Student's t they would have 0.77 ± 0.89."""
    spread = over_seeds([0.70, 0.84], bounds=(0, 1))
    assert (spread.interval, spread.range) == (None, (0.70, 0.84))
    assert spread_text(spread) == "0.7700 (range 0.7000 to 0.8400)"


def test_an_interval_ends_at_the_bounds_of_its_figure() -> None:
    values = [0.99, 0.95, 1.0]
    low, high = over_seeds(values).interval or (0, 0)
    assert high > 1
    cut = over_seeds(values, bounds_of("test.accuracy"))
    assert cut.interval == (low, 1.0)
    assert spread_text(cut) == f"0.9800 ({low:.4f} to 1.0000)"
    assert over_seeds([0.01, 0.05, 0.0], bounds_of("validation.loss")).interval[0] == 0


def test_a_difference_is_paired_by_seed() -> None:
    """SciPy's paired t-test; taken as independent, the same figures would show nothing."""
    ones = [0.912, 0.934, 0.905, 0.921, 0.918]
    others = [0.908, 0.931, 0.900, 0.919, 0.913]
    difference = paired_difference(ones, others)
    expected = stats.ttest_rel(ones, others).confidence_interval(0.95)
    assert difference.interval == pytest.approx((expected.low, expected.high))
    assert difference.mean == pytest.approx(np.mean(ones) - np.mean(others))
    assert is_shown(difference)
    apart = stats.ttest_ind(ones, others).confidence_interval(0.95)
    assert apart.low < 0 < apart.high
    with pytest.raises(ValueError, match="zip"):
        paired_difference(ones, others[:4])


@pytest.mark.parametrize(
    ("differences", "shown"),
    [
        ([0.010, 0.012, 0.011], True),
        ([-0.010, -0.012, -0.011], True),
        ([0.010, -0.012, 0.011], False),
        ([0.010], False),  # one seed shows nothing
        ([0.0, 0.0, 0.0], False),
        ([0.01, 0.01, 0.01], True),
    ],
)
def test_a_difference_whose_interval_holds_zero_is_not_shown(
    differences: list[float], shown: bool
) -> None:
    assert is_shown(over_seeds(differences)) is shown


def test_the_prediction_interval_is_that_of_one_more_seed() -> None:
    """A worked example, and the promise itself: it holds the next value 19 times of 20."""
    # 4, 5, 6, 7, 8: t(0.975, 4) s sqrt(1 + 1/5)
    assert prediction_reach([4, 5, 6, 7, 8]) == pytest.approx(2.776445 * math.sqrt(2.5 * 1.2))
    random = np.random.default_rng(0)
    draws = random.normal(0.92, 0.002, (2000, 6))
    held = [
        abs(next_one - np.mean(seeds)) <= prediction_reach(seeds)
        for *seeds, next_one in draws.tolist()
    ]
    assert 0.93 < np.mean(held) < 0.97


ACCURACIES = [0.9100, 0.9120, 0.9110]  # mean 0.9110, reach 4.3027 x 0.001 x sqrt(4/3) = 0.00497
LOSSES = [0.2400, 0.2420, 0.2410]


@pytest.mark.parametrize(
    ("values", "published", "name", "word"),
    [
        (ACCURACIES, 0.9110, "test.accuracy", "agrees"),
        (ACCURACIES, 0.9150, "test.accuracy", "agrees"),
        (ACCURACIES, 0.9200, "test.accuracy", "worse"),
        (ACCURACIES, 0.9000, "test.accuracy", "better"),
        (ACCURACIES, 0.9200, "epoch_5.train_accuracy", "worse"),
        (LOSSES, 0.2450, "test.loss", "agrees"),
        (LOSSES, 0.2500, "test.loss", "better"),
        (LOSSES, 0.2300, "test.loss", "worse"),
        (LOSSES, 0.2300, "epoch_1.train_loss", "worse"),
    ],
)
def test_higher_accuracies_and_lower_losses_are_better(
    values: list[float], published: float, name: str, word: str
) -> None:
    said = verdict(values, Published(published, "a report"), name)
    assert said.word == word
    assert "0.0050" in said.reason  # the reach, whatever the word


def test_a_published_figure_is_as_exact_as_it_is_printed() -> None:
    """0.917 may have been anything from 0.9165 to 0.9175; the reach ends at 0.91597."""
    exact = Published(0.9164, "a report", digits=4)
    assert verdict(ACCURACIES, exact, "test.accuracy").word == "worse"
    rounded = Published(0.916, "a report", digits=2)
    assert verdict(ACCURACIES, rounded, "test.accuracy").word == "agrees"
    for digits, word in ((3, "agrees"), (4, "worse")):
        edge = Published(0.9164, "a report", digits=digits)
        assert verdict(ACCURACIES, edge, "test.accuracy").word == word


def test_a_corrected_figure_is_compared_in_place_of_the_reported() -> None:
    published = Published(0.8900, "a report", corrected=0.9110, why="its batches")
    assert verdict(ACCURACIES, published, "test.accuracy").word == "agrees"


def test_what_cannot_be_compared_says_why() -> None:
    published = Published(0.9110, "a report")
    obstacles = ["on the bundled sample, not the dataset", "changed: training.epochs=1"]
    said = verdict(ACCURACIES, published, "test.accuracy", obstacles)
    assert said.word == "not comparable"
    assert said.reason == "; ".join(obstacles)
    for values, reason in (
        ([], "no seed: too few"),
        ([0.91], "1 seed: too few"),
        ([0.91, 0.92], "2 seeds: too few"),
    ):
        said = verdict(values, published, "test.accuracy")
        assert said.word == "not comparable"
        assert said.reason.startswith(reason)


def test_equal_seeds_leave_the_printed_digits_alone_to_agree_by() -> None:
    said = verdict([0.91, 0.91, 0.91], Published(0.91, "a report"), "test.accuracy")
    assert said.word == "agrees"
    said = verdict([0.91, 0.91, 0.91], Published(0.9102, "a report"), "test.accuracy")
    assert said.word == "worse"
