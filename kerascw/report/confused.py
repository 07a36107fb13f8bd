"""Why two classes are confused: how alike their pixels are, and the confused images."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascw.data import Splits
from kerascw.lab.pictures import PictureSpec, splits_of
from kerascw.report.figure_files import file_name
from kerascw.report.figures import Tile, grid
from kerascw.runs.store import Run

SHOWN = 6
"""Confused images that are drawn."""


@dataclass(frozen=True)
class Likeness:
    """How alike two classes are in their pixels, and those of their images that a run confuses."""

    correlation: float  # of the two mean images
    rank: int  # of this correlation among all pairs of classes, 1 the highest
    pairs: int
    nearest_other: float  # share of both classes' test images with a neighbour in the other class
    nearest_other_confused: float | None  # the same of the images that the run confuses
    confused: np.ndarray  # their positions in the test set
    neighbours: np.ndarray  # positions in the training set of their nearest images


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
        chosen[mistaken],
        near[mistaken],
    )


def _flat(images: Any) -> np.ndarray:
    array = np.asarray(images)
    return array.reshape(len(array), -1).astype(np.float32)


def confused_pictures(
    run: Run, first: int, second: int, options: PictureSpec | None
) -> dict[str, tuple[Any, str]]:
    """Draw both mean images, and some confused test images above their nearest training images."""
    splits = splits_of(run, options)
    found, names = likeness(run, splits, first, second), splits.class_names
    train, test = splits.train, splits.test
    means = {k: train.images[train.labels == k].mean(axis=0) for k in (first, second)}
    rows = [
        [Tile(mean.round().astype(np.uint8), names[k]) for k, mean in means.items()],
        [Tile(test.images[at], names[test.labels[at]]) for at in found.confused[:SHOWN]],
        [Tile(train.images[at], names[train.labels[at]]) for at in found.neighbours[:SHOWN]],
    ]
    figure = grid(rows, ("mean image", "test image", "nearest in training"), across=1.3)
    says = (
        f"mean training images of {names[first]} and {names[second]}; test images of either that "
        f"seed {run.experiment.seed} takes for the other, above the nearest training image of each"
    )
    return {file_name(f"confused, {names[first]} and {names[second]}"): (figure, says)}
