"""Temperature and prediction sets, by construction and by simulation."""

import json

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom

from kerascw.errors import CallError
from kerascw.evaluation.calibration import (
    STEPS,
    Calibration,
    fitted_temperature,
    prediction_sets,
    tempered,
)
from kerascw.evaluation.metrics import calibration_error


def drawn(n: int, seed: int, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels that are drawn from their softmax: calibrated by construction."""
    random = np.random.default_rng(seed)
    logits = spread * random.normal(size=(n, 5))
    up_to = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (random.random((n, 1)) > up_to).sum(axis=1).clip(max=4)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_temperature_is_the_factor_by_which_logits_are_off(factor: float) -> None:
    logits, labels = drawn(20_000, seed=0)
    off = softmax(factor * logits, axis=1).astype(np.float32)
    temperature = fitted_temperature(off, labels)
    assert temperature == pytest.approx(factor, rel=0.05)
    logits, labels = drawn(20_000, seed=1)
    off = softmax(factor * logits, axis=1).astype(np.float32)
    after = tempered(off, temperature)
    np.testing.assert_allclose(after, softmax(factor * logits / temperature, axis=1), atol=1e-5)
    assert calibration_error(off, labels) > 0.1
    assert calibration_error(after, labels) < 0.015
    assert (after.argmax(axis=1) == off.argmax(axis=1)).all()


def test_probabilities_of_zero_and_one_stay_finite() -> None:
    sure = np.eye(3, dtype=np.float32)
    assert np.isfinite(fitted_temperature(sure, np.array([0, 1, 1])))
    assert np.isfinite(tempered(sure, 0.05)).all()
    np.testing.assert_allclose(tempered(sure, 1.0), sure, atol=1e-6)


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_coverage_is_the_one_asked_for(coverage: float) -> None:
    """Over 200 validation sets of 199 images each, with 20 new images for each of them.

    Where (n + 1) times the coverage is whole, a new image is covered with just that probability.
    """
    sets, n, new = 200, 199, 20
    held = 0
    logits, labels = drawn(sets * (n + new), seed=2)
    probabilities = softmax(2 * logits, axis=1)  # over-confident: sets do not mind
    for at in range(0, len(labels), n + new):
        known, unknown = slice(at, at + n), slice(at + n, at + n + new)
        calibration = Calibration.fitted(probabilities[known], labels[known])
        found = prediction_sets(probabilities[unknown], calibration.threshold(coverage))
        assert found.any(axis=1).all()
        held += int(found[np.arange(new), labels[unknown]].sum())
    # images of one set share its threshold, whose coverage is Beta: the deviation is that much more
    total = sets * new
    alpha, beta = coverage * (n + 1), (1 - coverage) * (n + 1)
    shared = alpha * beta / ((alpha + beta) ** 2 * (alpha + beta + 1))
    deviation = np.sqrt(coverage * (1 - coverage) / total + shared / sets)
    assert abs(held / total - coverage) < 3 * deviation


def test_a_large_validation_set_covers_within_binomial_bounds() -> None:
    logits, labels = drawn(120_000, seed=3)
    probabilities = softmax(logits, axis=1).astype(np.float32)
    calibration = Calibration.fitted(probabilities[:100_000], labels[:100_000])
    for coverage in (0.7, 0.9, 0.99):
        sets = prediction_sets(probabilities[100_000:], calibration.threshold(coverage))
        held = int(sets[np.arange(20_000), labels[100_000:]].sum())
        low, high = binom.ppf([0.0005, 0.9995], 20_000, coverage)
        assert low <= held <= high + 0.002 * 20_000  # sets that were empty add a little


def test_the_card_is_small_and_gives_the_same_sets() -> None:
    logits, labels = drawn(5_000, seed=4)
    probabilities = softmax(logits, axis=1).astype(np.float32)
    calibration = Calibration.fitted(probabilities, labels)
    text = json.dumps(calibration.as_card(), allow_nan=False)
    assert len(text) < 15_000
    again = Calibration.of_card(json.loads(text))
    assert again == calibration
    scores = np.sort(1 - probabilities[np.arange(5_000), labels].astype(float))
    # the 4,751st of 5,000 scores, and rounded so that its own image stays in
    assert again.threshold(0.95) == pytest.approx(scores[4_750], abs=2e-7)
    assert again.threshold(0.95) >= scores[4_750]
    assert again.threshold(0.9495) == again.threshold(0.95)


@pytest.mark.parametrize(
    "kept", [None, {}, {"examples": 5, "temperature": 1.0, "quantiles": [0.1]}, "x",
             {"examples": 5, "temperature": "1", "quantiles": [0.1] * (STEPS + 1)}]
)  # fmt: skip
def test_a_card_without_it_gives_none(kept: object) -> None:
    assert Calibration.of_card(kept) is None


def test_a_coverage_that_validation_does_not_allow_is_one_line() -> None:
    logits, labels = drawn(50, seed=5)
    calibration = Calibration.fitted(softmax(logits, axis=1), labels, softmax=False)
    assert calibration.temperature is None
    assert calibration.threshold(0.98) <= 1
    with pytest.raises(CallError, match=r"^coverage=0.99: .* 50 validation images allow 0.98 at"):
        calibration.threshold(0.99)
    with pytest.raises(CallError, match=r"^coverage=1: expected a share between 0 and 1"):
        calibration.threshold(1)
