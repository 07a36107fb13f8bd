import numpy as np
import pytest
from sklearn.metrics import log_loss

from kerascw.evaluation.metrics import (
    calibration_error,
    full_report,
    loss_and_accuracy,
    wilson_interval,
)
from kerascw.evaluation.statistics import over_seeds

NAMES = ("a", "b", "c")


@pytest.fixture
def predicted() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 200)
    logits = random.normal(size=(200, 3)) + 1.5 * np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities.astype(np.float32), labels


def test_loss_is_scikit_learns(predicted: tuple[np.ndarray, np.ndarray]) -> None:
    loss, accuracy = loss_and_accuracy(*predicted)
    assert loss == pytest.approx(log_loss(predicted[1], predicted[0].astype(np.float64)), abs=1e-6)
    assert accuracy == (predicted[0].argmax(1) == predicted[1]).mean()


def test_a_certain_mistake_costs_what_keras_says() -> None:
    import keras

    probabilities = np.array([[1.0, 0.0], [0.25, 0.75]], np.float32)
    labels = np.array([1, 1])
    theirs = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    assert loss_and_accuracy(probabilities, labels)[0] == pytest.approx(
        float(np.mean(theirs)), rel=1e-5
    )


def test_nan_probabilities_have_no_good_loss() -> None:
    assert np.isnan(loss_and_accuracy(np.full((2, 2), np.nan), np.array([0, 1]))[0])


def test_wilson_interval_of_the_textbook() -> None:
    # Newcombe (1998), table I, method 3: 81 of 263 and 0 of 20
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_calibration_error_by_hand() -> None:
    # two bins: 0.9 confident and half right, 0.6 confident and all right
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    labels = np.array([0, 1, 0, 0])
    assert calibration_error(probabilities, labels) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_the_report_adds_up(predicted: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = predicted
    report = full_report(probabilities, labels, NAMES)
    confusion = np.array(report["confusion"])
    assert confusion.sum() == report["examples"] == 200
    assert np.trace(confusion) == report["correct"] == round(report["accuracy"] * 200)
    assert report["error"] == pytest.approx(1 - report["accuracy"])
    low, high = report["accuracy_interval_95"]
    assert low < report["accuracy"] < high
    counts = [pair["count"] for pair in report["most_confused"]]
    assert counts == sorted(counts, reverse=True)
    first = report["most_confused"][0]
    truth, guess = NAMES.index(first["truth"]), NAMES.index(first["prediction"])
    assert truth != guess
    assert first["count"] == confusion[truth, guess]
    for row, name in zip(report["per_class"], NAMES, strict=True):
        label = NAMES.index(name)
        assert row["recall"] == pytest.approx(confusion[label, label] / confusion[label].sum())
        assert row["examples"] == confusion[label].sum()
    mistakes = report["most_confident_mistakes"]
    assert len(mistakes) == 20
    assert mistakes == sorted(mistakes, key=lambda m: -m["probability"])
    for mistake in mistakes:
        assert NAMES[labels[mistake["position"]]] == mistake["truth"] != mistake["prediction"]


def test_a_class_without_examples_is_in_the_report() -> None:
    report = full_report(np.eye(3)[[0, 1, 1]], np.array([0, 1, 1]), NAMES)
    assert report["per_class"][2] == {
        "class": "c", "precision": 0.0, "recall": 0.0, "f1": 0.0, "examples": 0,
    }  # fmt: skip
    assert report["most_confused"] == []


def test_spread_over_seeds_is_scipys() -> None:
    from scipy.stats import sem, t

    values = [0.921, 0.925, 0.919, 0.928]
    spread = over_seeds(values)
    expected = t.interval(0.95, 3, loc=np.mean(values), scale=sem(values))
    assert spread.interval == pytest.approx(expected)
    assert spread.deviation == pytest.approx(np.std(values, ddof=1))
    assert over_seeds([0.9]).interval is None
    assert over_seeds([0.5, 0.5, 0.5]).interval == pytest.approx((0.5, 0.5))
