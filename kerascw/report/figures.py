"""Grids of images, as matplotlib Figures without pyplot's global state.

Colours are Okabe and Ito's, told apart by colour-blind readers; on a page they follow light and
dark (:func:`kerascw.report.figure_files.inline_svg`).
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerascw.data import Dataset, Part, mean_and_deviation, pixel_histogram
from kerascw.data.cache import replacing
from kerascw.errors import CallError, printable
from kerascw.experiment.spec import AugmentationSpec

BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#d55e00", "#007a5e", "#b5303c", "#767676"

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
    heading: Sequence[str] = (),
) -> Figure:
    """Draw rows of images, each with its text above it and each row with its name at the left.

    An image's longer side takes ``side`` inches; from one image to the next are ``across`` inches,
    where texts need more than the image. ``heading`` is a title and lines below it.
    """
    shape = next(tile for row in rows for tile in row).image.shape[:2]
    height, width = (side * pixels / max(shape) for pixels in shape)
    across = across or width + GAP
    lines = max((1 + t.text.count("\n") for row in rows for t in row if t.text), default=0)
    down = height + GAP + LINE * lines
    # 10 points take about 0.09 inches a letter
    left = 0.25 + 0.09 * max(map(len, names)) if names else 0.0
    top = 0.5 + 0.18 * len(heading[1:]) if heading else 0.0
    size = (left + across * max(map(len, rows)) + (0.24 if names else 0), top + down * len(rows))
    figure = Figure(figsize=size)
    # one pair of axes, in inches: a pair for each image takes five times as long
    axes = figure.add_axes((0, 0, 1, 1))
    for number, row in enumerate(rows):
        bottom = top + (number + 1) * down - GAP / 2
        if names:
            write(axes, left - 0.12, bottom - height / 2, names[number], size=10, ha="right",
                  va="center")  # fmt: skip
        for column, tile in enumerate(row):
            middle = left + (column + 0.5) * across
            _show(axes, tile.image, (middle - width / 2, middle + width / 2, bottom,
                                     bottom - height))  # fmt: skip
            write(axes, middle, bottom - height - 0.02, tile.text, colour=tile.colour)
    for title in heading[:1]:
        write(axes, 0.2, 0.12, title, size=14, weight="bold", ha="left", va="top")
    for number, line in enumerate(heading[1:], 1):
        write(axes, 0.2, 0.26 + 0.18 * number, line, colour=GREY, size=10, ha="left", va="top")
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect="auto")
    axes.axis("off")
    return figure


def write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    colour: str = "black",
    size: float = 8,
    ha: Literal["left", "center", "right"] = "center",
    va: Literal["top", "center", "bottom"] = "bottom",
    weight: str = "normal",
) -> None:
    """Write a text as it is: a class's name may have dollar signs or control characters."""
    shown = "\n".join(printable(line) for line in text.split("\n"))
    axes.text(x, y, shown, color=colour, fontsize=size, ha=ha, va=va, weight=weight,
              parse_math=False)  # fmt: skip


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


@dataclass(frozen=True)
class Summary:
    """Figures over all pixels (0 to 255) and labels of one split."""

    lowest: int
    highest: int
    mean: float
    standard_deviation: float
    class_counts: tuple[int, ...]


def summarize(part: Part, classes: int) -> Summary:
    """Return the figures of a split with ``classes`` classes, exact to double precision."""
    present = np.flatnonzero(pixel_histogram(part.images)).tolist()
    mean, deviation = mean_and_deviation(part.images)
    counts = np.bincount(part.labels, minlength=classes).tolist()
    return Summary(present[0], present[-1], mean, deviation, tuple(counts))


def draw_image(dataset: Dataset, image: int, file: Path) -> None:
    """Write a PNG of one training image with a colour bar of its values, 0 to 255.

    One in colour is drawn as it is, without a bar. Raises OSError where the file cannot be written.
    """
    train = dataset.train
    if not 0 <= image < len(train):
        raise CallError(f"--image: {image}; choose from 0 to {len(train) - 1}")
    pixels = np.asarray(train.images[image])
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    axes = figure.subplots()
    if pixels.shape[-1] == 1:
        drawn = axes.imshow(pixels[..., 0], cmap="viridis", vmin=0, vmax=255)
        figure.colorbar(drawn, ax=axes, label="value")
    else:
        axes.imshow(pixels)
    axes.set_title(f"{dataset.entry.class_names[train.labels[image]]}, training image {image}")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def draw_grid(dataset: Dataset, file: Path, examples: int = 10) -> None:
    """Write a PNG of the first training images of every class: a row for each, with its name.

    Raises OSError where the file cannot be written.
    """
    height, width, _ = dataset.entry.shape
    train = dataset.train
    rows = [train.images[np.flatnonzero(train.labels == label)[:examples]]
            for label in range(len(dataset.entry.class_names))]  # fmt: skip
    line = (
        f"The first {examples} training images of each class"
        f"   ·   {len(train):,} training, {len(dataset.test):,} test"
        f"   ·   {width} x {height} pixels"
    )
    _draw_rows(rows, dataset.entry.class_names, (dataset.title, line), file)


def draw_augmented(
    dataset: Dataset, specs: tuple[AugmentationSpec, ...], file: Path, *, draws: int = 9
) -> None:
    """Write a PNG of one training image of every class, and beside it what training may see.

    The images are one batch, so mixup and cutmix mix the classes; the draws are those of seeds
    (0, 0) to (0, ``draws - 1``). Raises OSError where the file cannot be written.
    """
    from kerascw.data.augmentation import augment
    from kerascw.experiment.settings import augmentation_text

    names, train = dataset.entry.class_names, dataset.train
    shown = [label for label in range(len(names)) if (train.labels == label).any()]
    first = [int((train.labels == label).argmax()) for label in shown]
    originals = np.asarray(train.images[np.array(first)])
    versions = [augment(originals, None, specs, (0, draw))[0].numpy() for draw in range(draws)]
    rows = [np.stack(row) for row in zip(originals, *versions, strict=True)]
    line = f"Left the original, then {draws} draws of: {augmentation_text(specs)}"
    heading = (f"{dataset.title}, augmented", line)
    _draw_rows(rows, [names[label] for label in shown], heading, file)


def _draw_rows(
    rows: Sequence[np.ndarray], names: Sequence[str], heading: tuple[str, str], file: Path
) -> None:
    """Write a PNG of rows of images, each pixel a whole number of the file's pixels large."""
    dpi, pixels = 100, next(row for row in rows if len(row)).shape[1:3]
    scale = max(1, round(84 / pixels[1]))
    wide = scale * pixels[1] * max(map(len, rows)) / dpi
    lines = textwrap.wrap(heading[1], max(40, int(wide * 15)))  # 10 points: 15 letters an inch
    tiles = [[Tile(image.repeat(scale, 0).repeat(scale, 1)) for image in row] for row in rows]
    figure = grid(tiles, names, side=scale * max(pixels) / dpi, heading=(heading[0], *lines))
    with replacing(file) as out:
        figure.savefig(out, format="png", dpi=dpi)
