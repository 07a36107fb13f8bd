"""What a dataset looks like: its figures, and a grid of its pictures as a PNG file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerascw.data import Dataset, Part, mean_and_deviation, pixel_histogram

_TILE = 84
"""About how many pixels a picture is drawn wide: 28 times 3, so MNIST's stay sharp."""


@dataclass(frozen=True)
class Summary:
    """Figures over all pixels (0 to 255) and labels of one part."""

    lowest: int
    highest: int
    mean: float
    standard_deviation: float
    class_counts: tuple[int, ...]


def summarize(part: Part, classes: int) -> Summary:
    """Return the figures of a part with ``classes`` classes, exact to double precision."""
    present = np.flatnonzero(pixel_histogram(part.images))
    mean, deviation = mean_and_deviation(part.images)
    counts = np.bincount(part.labels, minlength=classes)
    return Summary(
        int(present[0]), int(present[-1]), mean, deviation, tuple(int(c) for c in counts)
    )


def draw_grid(dataset: Dataset, file: Path, examples: int = 10) -> None:
    """Write a PNG of the first training pictures of every class: a row a class, with its name.

    A class with fewer than ``examples`` pictures leaves its row short. The file's folder is
    made where it is missing. Raises OSError where the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width, _ = dataset.entry.shape
    scale = max(1, round(_TILE / width))
    tile_height, tile_width, gap = height * scale, width * scale, 6
    names = dataset.entry.class_names
    rows = len(names)
    canvas = np.full(
        (rows * (tile_height + gap) - gap, examples * (tile_width + gap) - gap, 3), 255, np.uint8
    )
    for label in range(rows):
        top = label * (tile_height + gap)
        for column, at in enumerate(np.flatnonzero(dataset.train.labels == label)[:examples]):
            left = column * (tile_width + gap)
            tile = dataset.train.images[at].repeat(scale, 0).repeat(scale, 1)
            canvas[top : top + tile_height, left : left + tile_width] = tile  # grey: to all three

    dpi, header, margin = 100, 84, 24
    label_width = 40 + 9 * max(len(name) for name in names)  # 11 pt: 9 pixels a letter, or fewer
    total_width = label_width + canvas.shape[1] + margin
    total_height = header + canvas.shape[0] + margin
    figure = Figure(figsize=(total_width / dpi, total_height / dpi), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes(
        (
            label_width / total_width,
            margin / total_height,
            canvas.shape[1] / total_width,
            canvas.shape[0] / total_height,
        )
    )
    axes.imshow(canvas, interpolation="none", aspect="auto")  # one pixel of canvas to one of file
    axes.axis("off")
    for label, name in enumerate(names):
        middle = label * (tile_height + gap) + tile_height / 2
        axes.text(-14, middle, name, ha="right", va="center", fontsize=11, color="#222222")
    edge = margin / total_width
    title_at, line_at = 1 - 24 / total_height, 1 - 53 / total_height
    figure.text(
        edge, title_at, dataset.title, fontsize=16, fontweight="bold", color="#222222", va="top"
    )
    line = (
        f"The first {examples} training pictures of each class"
        f"   ·   {len(dataset.train):,} training, {len(dataset.test):,} test"
        f"   ·   {width} x {height} pixels"
    )
    figure.text(edge, line_at, line, fontsize=10, color="#666666", va="top")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="png", dpi=dpi)
