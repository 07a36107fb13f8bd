"""Figures of a classifier from its probabilities. Every one is of examples, never of batches."""

from typing import Any

import numpy as np

from kerascw.spec import Output

SMALLEST_PROBABILITY = 1e-7
"""Probabilities are clipped here before the logarithm, as Keras does."""

CALIBRATION_BINS = 15


def loss_and_accuracy(
    probabilities: np.ndarray, labels: np.ndarray, output: Output = "softmax"
) -> tuple[float, float]:
    """Return the mean loss in nats, and the share of right answers.

    Parameters
    ----------
    probabilities : float ``[n, classes]``.
    labels : int ``[n]``.
    output : of the model; ``softmax`` has the cross-entropy for a loss, ``sigmoid`` the mean over
        the classes of each one's binary cross-entropy.
    """
    truth = np.arange(len(labels)), labels
    # np.clip lets NaN through, so a diverged model has a loss of NaN and not a good one
    if output == "sigmoid":
        of_what_is = 1 - probabilities.astype(np.float64)
        of_what_is[truth] = probabilities[truth]
        loss = float(-np.log(np.clip(of_what_is, SMALLEST_PROBABILITY, 1)).mean())
    else:
        of_truth = probabilities[truth].astype(np.float64)
        loss = float(-np.log(np.clip(of_truth, SMALLEST_PROBABILITY, 1)).mean())
    return loss, float((probabilities.argmax(axis=1) == labels).mean())


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion (Wilson, 1927).

    >>> low, high = wilson_interval(927, 1000)
    >>> round(low, 4), round(high, 4)
    (0.9092, 0.9415)
    """
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error over 15 equal-width bins of confidence.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 3.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    # the right edge belongs to the bin, so a confidence of 1.0 is in the last one
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    gaps = [
        abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


def summary(
    probabilities: np.ndarray, labels: np.ndarray, output: Output = "softmax"
) -> dict[str, Any]:
    """Return the short figures of one part of the data: count, loss, accuracy, error."""
    loss, accuracy = loss_and_accuracy(probabilities, labels, output)
    return {"examples": len(labels), "loss": loss, "accuracy": accuracy, "error": 1 - accuracy}


def full_report(
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    output: Output = "softmax",
    most: int = 20,
) -> dict[str, Any]:
    """Return all figures of the test set, ready for JSON.

    ``most_confused`` counts ordered pairs (truth taken for prediction); positions in
    ``most_confident_mistakes`` are those in the test set as the experiment sees it.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted = probabilities.argmax(axis=1)
    every = np.arange(len(class_names))
    confusion = confusion_matrix(labels, predicted, labels=every)
    per_class = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    correct = int(np.trace(confusion))
    off_diagonal = confusion * (1 - np.eye(len(every), dtype=int))
    pairs = np.dstack(np.unravel_index(np.argsort(-off_diagonal, axis=None), confusion.shape))[0]
    wrong = np.flatnonzero(predicted != labels)
    confidence = probabilities.max(axis=1)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    return {
        **summary(probabilities, labels, output),
        "correct": correct,
        "accuracy_interval_95": wilson_interval(correct, len(labels)),
        "calibration_error": calibration_error(probabilities, labels),
        "per_class": [
            {
                "class": name,
                "precision": float(precision),
                "recall": float(recall),
                "f1": float(f1),
                "examples": int(support),
            }
            for name, precision, recall, f1, support in zip(class_names, *per_class, strict=True)
        ],
        "confusion": confusion.tolist(),
        "most_confused": [
            {
                "truth": class_names[truth],
                "prediction": class_names[guess],
                "count": int(confusion[truth, guess]),
                "share_of_truth": float(confusion[truth, guess] / confusion[truth].sum()),
            }
            for truth, guess in pairs[:10]
            if off_diagonal[truth, guess]
        ],
        "most_confident_mistakes": [
            {
                "position": int(at),
                "truth": class_names[labels[at]],
                "prediction": class_names[predicted[at]],
                "probability": float(confidence[at]),
            }
            for at in worst
        ],
    }
