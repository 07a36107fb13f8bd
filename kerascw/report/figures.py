"""Grids of images, as matplotlib Figures without pyplot's global state.

Colours are Okabe and Ito's, told apart by colour-blind readers; on a page they follow light and
dark (:func:`kerascw.report.figure_files.inline_svg`).
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerascw.data import Dataset, Part
from kerascw.errors import CallError, printable
from kerascw.experiment.spec import AugmentationSpec

GREEN, RED = "#007a5e", "#b5303c"

GAP = 0.06
"""Inches between two images."""

LINE = 0.145
"""Inches of a line of text of 8 points."""


@dataclass(frozen=True)
class Tile:
    """One image of a grid: uint8 ``[height, width, 1 or 3]``, or a feature map; and a text above.

    A feature map is float ``[height, width]``. One without negative values is drawn from 0 up; one
    with them is signed: zero is white, negative values are orange, positive ones purple.
    """

    image: np.ndarray
    text: str = ""
    colour: str = "black"


def grid(
    rows: Sequence[Sequence[Tile]],
    names: Sequence[str] = (),
    *,
    side: float = 1.2,
    across: float | None = None,
) -> Figure:
    """Draw rows of images, each with its text above it and each row with its name at the left.

    An image's longer side takes ``side`` inches; from one image to the next are ``across`` inches,
    where texts need more than the image.
    """
    shape = next(tile for row in rows for tile in row).image.shape[:2]
    height, width = (side * pixels / max(shape) for pixels in shape)
    across = across or width + GAP
    lines = max((1 + t.text.count("\n") for row in rows for t in row if t.text), default=0)
    down = height + GAP + LINE * lines
    # 10 points take about 0.09 inches a letter
    left = 0.25 + 0.09 * max(map(len, names)) if names else 0.0
    size = left + across * max(map(len, rows)) + (0.24 if names else 0), down * len(rows)
    figure = Figure(figsize=size)
    # one pair of axes, in inches: a pair for each image takes five times as long
    axes = figure.add_axes((0, 0, 1, 1))
    for number, row in enumerate(rows, 1):
        bottom = number * down - GAP / 2
        if names:
            write(axes, left - 0.12, bottom - height / 2, names[number - 1], fontsize=10,
                  ha="right", va="center")  # fmt: skip
        for column, tile in enumerate(row):
            middle = left + (column + 0.5) * across
            place = (middle - width / 2, middle + width / 2, bottom, bottom - height)
            _show(axes, tile.image, place)
            write(axes, middle, bottom - height - 0.02, tile.text, color=tile.colour)
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect="auto")
    axes.axis("off")
    return figure


def write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Write a text as it is: a class's name may have dollar signs or control characters."""
    shown = "\n".join(printable(line) for line in text.split("\n"))
    usual = {"fontsize": 8, "ha": "center", "va": "bottom", "parse_math": False}
    axes.text(x, y, shown, **{**usual, **style})


def _show(axes: Axes, image: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    """Draw one image at its place: left, right, bottom, top."""
    if image.dtype == np.uint8:
        # grey in all three colours, as it is: a colour map would round
        shown = np.broadcast_to(image, (*image.shape[:2], 3))
        axes.imshow(shown, extent=extent, interpolation="nearest")
        return
    largest = float(np.abs(image).max()) or 1.0  # a map may be dead
    signed = bool((image < 0).any())
    axes.imshow(image, cmap="PuOr" if signed else "viridis", vmin=-largest if signed else 0,
                vmax=largest, extent=extent, interpolation="nearest")  # fmt: skip


def predictions(
    part: Part,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    positions: Sequence[int] | np.ndarray,
    columns: int = 8,
) -> Figure:
    """Draw images titled with the prediction, and the truth in brackets; green right, red wrong.

    ``probabilities`` are float ``[n, classes]`` of all images of the split, ``positions`` say
    which of them are drawn.
    """
    tiles = []
    for at in positions:
        guess, truth = int(probabilities[at].argmax()), int(part.labels[at])
        guessed, true = (textwrap.shorten(printable(class_names[k]), 18, placeholder="…")
                         for k in (guess, truth))  # fmt: skip
        text = f"{guessed} {probabilities[at, guess]:.0%}\n({true})"
        tiles.append(Tile(part.images[at], text, GREEN if guess == truth else RED))
    rows = [tiles[at : at + columns] for at in range(0, len(tiles), columns)]
    return grid(rows, across=1.45)


def overlaid(image: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """Return an image, darker, with the evidence for its class in orange: uint8 ``[h, w, 3]``.

    ``evidence`` is float ``[h, w]``; its largest value is the strongest orange, and what is not
    above zero is left out.
    """
    largest = float(evidence.max())
    share = np.clip(evidence / largest, 0, 1) if largest > 0 else np.zeros_like(evidence)
    pixels = np.broadcast_to(image, (*image.shape[:2], 3)) * (1 - 0.75 * share[..., None])
    orange = np.array([230, 120, 0]) * 0.75 * share[..., None]
    mixed: np.ndarray = (0.85 * pixels + orange).round().clip(0, 255).astype(np.uint8)
    return mixed


def reconstructions(
    originals: np.ndarray, reconstructed: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> Figure:
    """Draw for every class a row of images, and below it a row of their reconstructions.

    Both are uint8 ``[n, height, width, 1 or 3]``; a class without an image is left out.
    """
    rows, names = [], []
    for label in np.unique(labels):
        own = labels == label
        rows += [[Tile(image) for image in images[own]] for images in (originals, reconstructed)]
        names += [class_names[label], "reconstructed"]
    return grid(rows, names, side=0.75)


# --- datasets -------------------------------------------------------------------------------


def image_with_bar(dataset: Dataset, image: int) -> Figure:
    """Draw one training image with a colour bar of its values, 0 to 255; one in colour as it is."""
    train = dataset.train
    if not 0 <= image < len(train):
        raise CallError(f"--image: {image}; choose from 0 to {len(train) - 1}")
    pixels = np.asarray(train.images[image])
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(pixels, cmap="viridis", vmin=0, vmax=255)
    if pixels.shape[-1] == 1:
        figure.colorbar(drawn, ax=axes, label="value")
    title = f"{dataset.entry.class_names[train.labels[image]]}, training image {image}"
    axes.set_title(printable(title), parse_math=False)
    return figure


def first_images(dataset: Dataset) -> Figure:
    """Draw the first ten training images of every class: a row for each, with its name."""
    train, names = dataset.train, dataset.entry.class_names
    first = [np.flatnonzero(train.labels == label)[:10] for label in range(len(names))]
    rows = [[Tile(image) for image in train.images[own]] for own in first]
    return grid(rows, names, side=0.84)


def augmented(dataset: Dataset, specs: tuple[AugmentationSpec, ...]) -> Figure:
    """Draw one training image of every class, and beside it what training may see.

    The images are one batch, so mixup and cutmix mix the classes; the draws are those of seeds
    (0, 0) to (0, 8).
    """
    from kerascw.data.augmentation import augment

    train = dataset.train
    labels, first = np.unique(train.labels, return_index=True)
    originals = np.asarray(train.images[first])
    versions = [augment(originals, None, specs, (0, draw))[0].numpy() for draw in range(9)]
    rows = [[Tile(image) for image in row] for row in zip(originals, *versions, strict=True)]
    return grid(rows, [dataset.entry.class_names[label] for label in labels], side=0.84)


def save_png(figure: Figure, file: Path) -> None:
    """Write a figure as a PNG file; raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="png", dpi=100)
