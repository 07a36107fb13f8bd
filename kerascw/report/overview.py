"""What a dataset looks like: its figures, and a grid of its pictures as a PNG file."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerascw.data import Dataset, Part, mean_and_deviation, pixel_histogram
from kerascw.experiment.spec import AugmentationSpec

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
    height, width, _ = dataset.entry.shape
    train = dataset.train
    rows = {
        name: list(train.images[np.flatnonzero(train.labels == label)[:examples]])
        for label, name in enumerate(dataset.entry.class_names)
    }
    line = (
        f"The first {examples} training pictures of each class"
        f"   ·   {len(train):,} training, {len(dataset.test):,} test"
        f"   ·   {width} x {height} pixels"
    )
    _draw_rows(rows, dataset.title, line, file)


def draw_augmented(
    dataset: Dataset, specs: tuple[AugmentationSpec, ...], file: Path, *, draws: int = 9
) -> None:
    """Write a PNG of one training picture of every class, and beside it what training may see.

    The pictures are one batch, so mixup and cutmix mix the classes; the draws are those of seeds
    (0, 0) to (0, ``draws - 1``). Raises OSError where the file cannot be written.
    """
    from kerascw.data.augmentation import augment
    from kerascw.experiment.settings import augmentation_text

    names, train = dataset.entry.class_names, dataset.train
    shown = [label for label in range(len(names)) if (train.labels == label).any()]
    first = [int((train.labels == label).argmax()) for label in shown]
    originals = np.asarray(train.images[np.array(first)])
    versions = [augment(originals, None, specs, (0, draw))[0].numpy() for draw in range(draws)]
    rows = {
        names[label]: [originals[row], *(version[row] for version in versions)]
        for row, label in enumerate(shown)
    }
    title = f"{dataset.title}, augmented"
    line = f"Left the original, then {draws} draws of: {augmentation_text(specs)}"
    _draw_rows(rows, title, line, file, apart=True)


def _draw_rows(
    rows: Mapping[str, Sequence[np.ndarray]],
    title: str,
    line: str,
    file: Path,
    *,
    apart: bool = False,
) -> None:
    """Write a PNG of rows of pictures, each uint8 ``[height, width, 1 or 3]``, with their names.

    ``apart`` sets the first picture of every row apart from the others. The file appears when it
    is whole.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width, _ = next(picture for row in rows.values() for picture in row).shape
    columns = max(len(row) for row in rows.values())
    scale = max(1, round(_TILE / width))
    tile_height, tile_width, gap = height * scale, width * scale, 6
    extra = 3 * gap if apart else 0
    canvas = np.full(
        (len(rows) * (tile_height + gap) - gap, columns * (tile_width + gap) - gap + extra, 3),
        255,
        np.uint8,
    )
    for number, row in enumerate(rows.values()):
        top = number * (tile_height + gap)
        for column, picture in enumerate(row):
            left = column * (tile_width + gap) + (extra if column else 0)
            tile = picture.repeat(scale, 0).repeat(scale, 1)
            canvas[top : top + tile_height, left : left + tile_width] = tile  # grey: to all three

    dpi, margin = 100, 24
    label_width = 40 + 9 * max(len(name) for name in rows)  # 11 pt: 9 pixels a letter, or fewer
    total_width = label_width + canvas.shape[1] + margin
    lines = textwrap.wrap(line, int((total_width - 2 * margin) / 6.6))  # 10 pt: 6.6 a letter
    header = 67 + 17 * len(lines)
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
    for number, name in enumerate(rows):
        middle = number * (tile_height + gap) + tile_height / 2
        axes.text(-14, middle, name, ha="right", va="center", fontsize=11, color="#222222")
    edge = margin / total_width
    title_at, line_at = 1 - 24 / total_height, 1 - 53 / total_height
    figure.text(edge, title_at, title, fontsize=16, fontweight="bold", color="#222222", va="top")
    figure.text(edge, line_at, "\n".join(lines), fontsize=10, color="#666666", va="top")
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.writing")
    figure.savefig(temporary, format="png", dpi=dpi)
    temporary.replace(file)
