"""Probable label errors, by confident learning from probabilities out of fold.

Source: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset
Labels", JAIR 70 (2021), equations 1 and 2: their "confident joint" in its few lines. On three times
2,000 simulated labels it chose the same images as ``cleanlab`` 2.9.0 does
(``filter_by="confident_learning"``), whose dependencies it spares.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from kerascw.data.rows import Rows

FOLDS = 5
COMPONENTS = 64
"""Principal components of the pixels that the classifier learns from."""

FITTED = 10_000
"""Images, at most, that the components are computed from."""

LEAST_STEPS = 1000
"""Training steps of the classifier, however few images there are."""


@dataclass(frozen=True)
class LabelErrors:
    """Images whose label is probably wrong, the most doubtful first.

    ``rows`` are their positions, int64 ``[m]``, ``suggested`` the class that they probably have,
    ``margin`` that class's probability minus the label's, float ``[m]``. ``accuracy`` is the share
    of all images whose most probable class is their label: where it is low, so is the trust that
    these deserve.
    """

    rows: np.ndarray
    suggested: np.ndarray
    margin: np.ndarray
    accuracy: float


def confident_errors(probabilities: np.ndarray, labels: np.ndarray) -> LabelErrors:
    """Choose the images that another class than their label's is confidently predicted for.

    A class is confident of an image where its probability is at least the mean that it has over
    the images with its label. Of several the most probable counts. ``probabilities`` are float
    ``[n, classes]``, each row by a model that has not seen the image, and ``labels`` int ``[n]``.
    """
    every = np.arange(len(labels))
    given = probabilities[every, labels].astype(np.float64)
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    sums = np.bincount(labels, given, minlength=probabilities.shape[1])
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)  # a class without images
    sure = np.where(probabilities >= mean, probabilities, -1.0)
    suggested = sure.argmax(axis=1)
    rows = np.flatnonzero((sure.max(axis=1) >= 0) & (suggested != labels))
    margin = probabilities[rows, suggested[rows]] - given[rows]
    order = np.argsort(-margin, kind="stable")
    rows = rows[order]
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    return LabelErrors(rows, suggested[rows], margin[order], accuracy)


def out_of_fold(
    images: np.ndarray | Rows, labels: np.ndarray, others: np.ndarray | Rows, classes: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Predict images by a model that has not seen them, and others by the same models.

    The model is scikit-learn's perceptron of 128 hidden units (Adam at 3e-3, ten epochs or 1,000
    steps) on 64 principal components of at most 32 x 32 pixels, one for each of five stratified
    folds. It takes seconds where a convnet takes minutes, and is worse.

    Images are uint8 ``[n, h, w, c]`` with labels int ``[n]``, others ``[m, h, w, c]``; these get
    the mean over the folds' models. Returns float32 ``[n, classes]`` and ``[m, classes]``; None
    where a class has one image only.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedKFold, cross_validate
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    known, counts = np.unique(labels, return_counts=True)
    if len(known) < 2 or counts.min() < 2:
        return None
    batch = min(256, max(16, len(labels) // 100), len(labels) // 2)
    epochs = max(10, -(-LEAST_STEPS * batch // len(labels)))
    model = MLPClassifier(
        (128,), max_iter=epochs, batch_size=batch, learning_rate_init=3e-3, random_state=0
    )
    folds = StratifiedKFold(int(min(FOLDS, counts.min())), shuffle=True, random_state=0)
    inside, outside = (np.zeros((len(part), classes), np.float32) for part in (images, others))
    # one thread, for so small products take longest where threads wait for each other; the warning
    # is that ten epochs are not the end, but they are what is wanted
    with (
        threadpool_limits(1),
        warnings.catch_warnings(category=ConvergenceWarning, action="ignore"),
    ):
        some = np.random.default_rng(0).permutation(len(images))[:FITTED]
        sample = _pixels(images[np.sort(some)])
        reduced = PCA(min(COMPONENTS, *sample.shape), svd_solver="covariance_eigh").fit(sample)
        # halfway to whitening: the first components keep some of their lead
        variance = reduced.explained_variance_
        deviation = np.maximum(variance, 1e-6 * variance[0] + 1e-12) ** 0.5
        scale = np.sqrt(deviation * deviation[0])
        seen, unseen = (
            np.concatenate([
                reduced.transform(_pixels(part[start : start + 1000])) / scale
                for start in range(0, len(part), 1000)
            ])
            for part in (images, others)
        )  # fmt: skip
        fitted = cross_validate(
            model, seen, labels, cv=folds, error_score="raise", return_estimator=True,
            return_indices=True,
        )  # fmt: skip
        for each, held in zip(fitted["estimator"], fitted["indices"]["test"], strict=True):
            inside[np.ix_(held, known)] = each.predict_proba(seen[held])
            outside[:, known] += each.predict_proba(unseen) / folds.n_splits
    return inside, outside


def _pixels(images: np.ndarray) -> np.ndarray:
    """Return float32 ``[n, values]`` in 0 to 1, of larger images every second or third pixel."""
    step = -(-max(images.shape[1:3]) // 32)
    return images[:, ::step, ::step].reshape(len(images), -1).astype(np.float32) / 255
