"""Why two classes are confused: their mean images, and each image's nearest neighbour in pixels."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerascw.data import Splits
from kerascw.lab.pictures import PictureSpec, splits_of
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
    train, test = splits.train, splits.test
    means = [_mean(splits, label).ravel() for label in range(len(splits.class_names))]
    correlations = np.corrcoef(means)
    all_pairs = [correlations[i, j] for i, j in combinations(range(len(means)), 2)]
    own = correlations[min(first, second), max(first, second)]
    chosen = np.flatnonzero(np.isin(test.labels, (first, second)))
    near = nearest(flat(test.images[chosen]), flat(train.images))
    other = np.where(test.labels[chosen] == first, second, first)
    in_other = train.labels[near] == other
    with np.load(run.folder / "predictions.npz") as file:
        mistaken = file["test_probabilities"].argmax(axis=1)[chosen] == other
    return Likeness(
        correlation=float(own),
        rank=1 + sum(correlation > own for correlation in all_pairs),
        pairs=len(all_pairs),
        nearest_other=float(in_other.mean()),
        nearest_other_confused=float(in_other[mistaken].mean()) if mistaken.any() else None,
        confused=chosen[mistaken],
        neighbours=near[mistaken],
    )


def _mean(splits: Splits, label: int) -> np.ndarray:
    """Return the mean training image of a class."""
    train = splits.train
    mean: np.ndarray = np.asarray(train.take(train.labels == label).images).mean(axis=0)
    return mean


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
    """Draw both mean images, and confused test images above their nearest training images."""
    splits = splits_of(run, options)
    found, names = likeness(run, splits, first, second), splits.class_names
    train, test = splits.train, splits.test
    shown = list(zip(found.confused[:SHOWN], found.neighbours[:SHOWN], strict=True))
    figure = Figure(figsize=(1.3 * (2 + len(shown)), 3.1), layout="constrained")
    grid = figure.subplots(2, 2 + len(shown))
    for axes in grid.flat:
        axes.axis("off")
    for axes, label in zip(grid[0], (first, second), strict=False):
        _show(axes, f"mean {names[label]}", _mean(splits, label))
    for column, (at, near) in enumerate(shown, start=2):
        _show(grid[0, column], names[test.labels[at]], test.images[at])
        _show(grid[1, column], names[train.labels[near]], train.images[near])
    return {
        f"confused, {names[first]} and {names[second]}".replace("/", " or "): (
            figure,
            f"mean training images of {names[first]} and {names[second]}; test images of either "
            f"that the network of seed {run.experiment.seed} takes for the other, above the "
            "nearest training image of each",
        )
    }


def _show(axes: Any, title: str, image: np.ndarray) -> None:
    axes.set_title(title, fontsize=8)
    pixels = image[..., 0] if image.shape[-1] == 1 else image.astype(np.uint8)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
