"""Why two classes are confused: their mean images, and each image's nearest neighbour in pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascw.data import Splits
from kerascw.lab.pictures import PictureSpec, splits_of
from kerascw.report.figures import Tile, grid
from kerascw.runs.store import Run

SHOWN = 6
"""Confused images that are drawn."""


@dataclass(frozen=True)
class Likeness:
    """How alike two classes are in their pixels, and their images that a run confuses."""

    correlation: float  # of the two mean images
    rank: int  # of this correlation among all pairs of classes, 1 the highest
    pairs: int
    nearest_other: float  # share of both classes' test images with a neighbour in the other class
    nearest_other_confused: float | None  # the same of the images that the run confuses
    confused: np.ndarray  # their positions in the test set
    neighbours: np.ndarray  # positions in the training set of their nearest images


def likeness(run: Run, splits: Splits, first: int, second: int) -> Likeness:
    """Measure two classes, by their numbers; neighbours are the nearest training images of any."""
    train, test, both = splits.train, splits.test, (first, second)
    means = [
        flat(train.take(train.labels == k).images).mean(axis=0)
        for k in range(len(splits.class_names))
    ]
    correlations = np.corrcoef(means)
    every = correlations[np.triu_indices(len(means), 1)]
    own = correlations[first, second]
    chosen = np.flatnonzero(np.isin(test.labels, both))
    near = nearest(flat(test.images[chosen]), flat(train.images))
    other = np.where(test.labels[chosen] == first, second, first)
    in_other = train.labels[near] == other
    with np.load(run.folder / "predictions.npz") as file:
        guesses = file["test_probabilities"].argmax(axis=1)[chosen]
    mistaken = guesses == other
    return Likeness(
        float(own),
        int((every > own).sum()) + 1,
        len(every),
        float(in_other.mean()),
        float(in_other[mistaken].mean()) if mistaken.any() else None,
        chosen[mistaken],
        near[mistaken],
    )


def flat(images: Any) -> np.ndarray:
    """Return images as float32 rows ``[n, pixels]`` in [0, 1]."""
    array = np.asarray(images)
    return array.reshape(len(array), -1).astype(np.float32) / 255


def nearest(rows: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the position of the nearest of ``among`` (Euclidean) for each row.

    >>> nearest(np.array([[0.0], [9.0]]), np.array([[8.0], [1.0]])).tolist()
    [1, 0]
    """
    squares = (among**2).sum(axis=1)
    found = [
        (squares - 2 * rows[at : at + 200] @ among.T).argmin(axis=1)
        for at in range(0, len(rows), 200)
    ]
    return np.concatenate(found)


def confused_pictures(
    run: Run, first: int, second: int, options: PictureSpec | None
) -> dict[str, tuple[Any, str]]:
    """Return both mean images, and some confused test images above their nearest training image."""
    splits = splits_of(run, options)
    found, names = likeness(run, splits, first, second), splits.class_names
    train, test = splits.train, splits.test
    means = [np.asarray(train.take(train.labels == k).images).mean(axis=0) for k in (first, second)]
    confused, neighbours = found.confused[:SHOWN], found.neighbours[:SHOWN]
    rows = [
        [
            Tile(mean.round().astype(np.uint8), names[k])
            for k, mean in zip((first, second), means, strict=True)
        ],
        [Tile(test.images[at], names[test.labels[at]]) for at in confused],
        [Tile(train.images[at], names[train.labels[at]]) for at in neighbours],
    ]
    figure = grid(rows, ("mean image", "test image", "nearest in training"), across=1.3)
    return {
        f"confused, {names[first]} and {names[second]}".replace("/", " or "): (
            figure,
            f"mean training images of {names[first]} and {names[second]}; test images of either "
            f"that seed {run.experiment.seed} takes for the other, above the nearest training "
            "image of each",
        )
    }
