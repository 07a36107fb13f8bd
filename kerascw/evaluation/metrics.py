"""Metrics of a classifier from its probabilities, and of an autoencoder from its reconstructions.

All are over examples, never over batches.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerascw.data.rows import Rows
from kerascw.experiment.spec import Output

SMALLEST_PROBABILITY = 1e-7
"""Probabilities are clipped here before the logarithm, as Keras does."""

CALIBRATION_BINS = 15


def loss_and_accuracy(
    probabilities: np.ndarray, labels: np.ndarray, output: Output = "softmax"
) -> tuple[float, float]:
    """Return the mean loss in nats, and the accuracy.

    ``probabilities`` are float ``[n, classes]``, ``labels`` int ``[n]``. The loss of ``softmax`` is
    the cross-entropy, of ``sigmoid`` the mean over the classes of their binary cross-entropies.
    """
    truth = np.arange(len(labels)), labels
    of_what_is = probabilities[truth].astype(np.float64)
    if output == "sigmoid":
        of_what_is = 1 - probabilities.astype(np.float64)
        of_what_is[truth] = probabilities[truth]
    # np.clip lets NaN through, so a diverged model has a loss of NaN and not a good one
    loss = float(-np.log(np.clip(of_what_is, SMALLEST_PROBABILITY, 1)).mean())
    return loss, float((probabilities.argmax(axis=1) == labels).mean())


def wilson_interval(correct: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a proportion (Wilson, 1927), at 95 % or another level.

    >>> low, high = wilson_interval(927, 1000)
    >>> round(low, 4), round(high, 4)
    (0.9092, 0.9415)
    """
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def confidence_bins(confidence: np.ndarray) -> np.ndarray:
    """Return the bin of each confidence, int from 1 to 15; an edge belongs to the bin below it."""
    bins = np.ceil(confidence.astype(np.float64) * CALIBRATION_BINS).astype(int)
    return bins.clip(1, CALIBRATION_BINS)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error over 15 equal-width bins of confidence.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 3.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    bins = confidence_bins(confidence)
    gaps = [
        abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


def agreement(probabilities: Sequence[np.ndarray]) -> float:
    """Return the share of examples for which all predict the same class: float ``[n, classes]``.

    >>> agreement([np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[0.8, 0.2], [0.7, 0.3]])])
    0.5
    """
    classes = [each.argmax(axis=1) for each in probabilities]
    return float(np.all([each == classes[0] for each in classes], axis=0).mean())


def summary(
    probabilities: np.ndarray, labels: np.ndarray, output: Output = "softmax"
) -> dict[str, Any]:
    """Return the metrics of one split: number of examples, loss, accuracy, error."""
    loss, accuracy = loss_and_accuracy(probabilities, labels, output)
    return {"examples": len(labels), "loss": loss, "accuracy": accuracy, "error": 1 - accuracy}


def full_report(
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    output: Output = "softmax",
    most: int = 20,
) -> dict[str, Any]:
    """Return all metrics of the test set, ready for JSON.

    ``most_confused`` counts ordered pairs (true class, prediction); positions in
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


# --- autoencoders ---------------------------------------------------------------------------


def reconstruction_errors(
    predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray | Rows, batch_size: int = 1000
) -> np.ndarray:
    """Return the mean squared error of every image over its pixels in [0, 1]: float64 ``[n]``.

    ``predict`` is from ``images``, uint8 ``[n, height, width, channels]``, to reconstructions of
    the same shape, where 1 is white. Only one batch of these is in memory at a time.
    """
    errors = np.empty(len(images))
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        gaps = predict(batch).astype(np.float64) - batch / 255
        errors[start : start + batch_size] = (gaps**2).mean(axis=(1, 2, 3))
    return errors


def reconstruction_summary(errors: np.ndarray) -> dict[str, Any]:
    """Return the metrics of one split from its images' errors: number of examples and loss."""
    return {"examples": len(errors), "loss": float(errors.mean())}


def reconstruction_report(
    errors: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]
) -> dict[str, Any]:
    """Return all metrics of the test set, ready for JSON; a class without images has no loss."""
    by_class = [errors[labels == label] for label in range(len(class_names))]
    return {
        **reconstruction_summary(errors),
        "per_class": [
            {
                "class": name,
                "loss": float(own.mean()) if len(own) else None,
                "examples": len(own),
            }
            for name, own in zip(class_names, by_class, strict=True)
        ],
    }


def first_of_each_class(labels: np.ndarray, most: int) -> np.ndarray:
    """Return the positions of the first images of every class, class by class, ascending.

    >>> first_of_each_class(np.array([1, 0, 1, 1, 0]), most=2)
    array([1, 4, 0, 2])
    """
    return np.concatenate([np.flatnonzero(labels == label)[:most] for label in np.unique(labels)])


def as_pixels(images: np.ndarray) -> np.ndarray:
    """Return images on a scale where 1 is white as uint8; values outside [0, 1] are clipped."""
    return np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
