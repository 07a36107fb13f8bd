"""Why two classes are confused: how alike their pixels are."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascw.data import Splits
from kerascw.runs.store import Run


@dataclass(frozen=True)
class Likeness:
    """How alike two classes are in their pixels, and those of their images that a run confuses."""

    correlation: float  # of the two mean images
    rank: int  # of this correlation among all pairs of classes, 1 the highest
    pairs: int
    nearest_other: float  # share of both classes' test images with a neighbour in the other class
    nearest_other_confused: float | None  # the same of the images that the run confuses


def likeness(run: Run, splits: Splits, first: int, second: int) -> Likeness:
    """Measure two classes, by their numbers; neighbours are the nearest training images of any."""
    from sklearn.metrics import pairwise_distances_argmin

    train, test = splits.train, splits.test
    pixels = _flat(train.images)
    means = np.array([pixels[train.labels == k].mean(axis=0)
                      for k in range(len(splits.class_names))])  # fmt: skip
    correlations = np.corrcoef(means)
    every = correlations[np.triu_indices(len(means), 1)]
    own = correlations[min(first, second), max(first, second)]  # the other half may differ a bit
    chosen = np.flatnonzero(np.isin(test.labels, (first, second)))
    near = pairwise_distances_argmin(_flat(test.images[chosen]), pixels)
    other = np.where(test.labels[chosen] == first, second, first)
    in_other = train.labels[near] == other
    with np.load(run.folder / "predictions.npz") as file:
        mistaken = file["test_probabilities"].argmax(axis=1)[chosen] == other
    return Likeness(
        float(own),
        int((every > own).sum()) + 1,
        len(every),
        float(in_other.mean()),
        float(in_other[mistaken].mean()) if mistaken.any() else None,
    )


def _flat(images: Any) -> np.ndarray:
    array = np.asarray(images)
    return array.reshape(len(array), -1).astype(np.float32)
