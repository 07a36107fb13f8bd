"""Still pictures of one run, as matplotlib Figures without pyplot's global state.

Colours are Okabe and Ito's, told apart by colour-blind readers.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerascw.data import Part

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#D55E00", "#007A5E", "#B5303C", "#767676"


def predictions(
    part: Part,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    positions: Sequence[int],
    columns: int = 8,
) -> Figure:
    """Return a grid of pictures titled ``prediction (truth)``, green where right, red where not."""
    across, down, side = 1.45, 1.62, 1.2  # inches: a place, and a picture's longer side
    rows = -(-len(positions) // columns)
    size = (across * columns, down * rows)
    figure = Figure(figsize=size)
    # one pair of axes, in inches: a pair a picture takes five times as long
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    height, width = (side * pixels / max(part.shape[:2]) for pixels in part.shape[:2])
    for number, at in enumerate(positions):
        middle, bottom = (number % columns + 0.5) * across, (number // columns + 1) * down - 0.04
        guess, truth = int(probabilities[at].argmax()), int(part.labels[at])
        left = middle - width / 2
        show_picture(axes, part.images[at], (left, left + width, bottom, bottom - height))
        axes.text(
            middle, bottom - height - 0.03,
            f"{class_names[guess]} {probabilities[at, guess]:.0%}\n({class_names[truth]})",
            color=GREEN if guess == truth else RED, fontsize=8, ha="center", va="bottom",
        )  # fmt: skip
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect="auto")
    return figure


def reconstructions(
    originals: np.ndarray, reconstructed: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> Figure:
    """Return a grid: for every class a row of pictures, and below each what became of it.

    Parameters
    ----------
    originals, reconstructed : uint8 ``[n, height, width, 1 or 3]``.
    labels : int ``[n]``; a class that has no picture is left out.
    """
    shown = [label for label in range(len(class_names)) if (labels == label).any()]
    columns = max(int((labels == label).sum()) for label in shown)
    height, width = originals.shape[1:3]
    gap = max(1, round(width / 14))
    between = 2 * gap  # a pair of rows from the next
    pair = 2 * height + gap + between
    canvas = np.full((len(shown) * pair - between, columns * (width + gap) - gap, 3), 255, np.uint8)
    for row, label in enumerate(shown):
        for column, at in enumerate(np.flatnonzero(labels == label)):
            left, top = column * (width + gap), row * pair
            canvas[top : top + height, left : left + width] = originals[at]  # grey: to all three
            top += height + gap
            canvas[top : top + height, left : left + width] = reconstructed[at]
    # inches: each picture 0.75 wide; 9 pt takes about 0.075 a letter
    drawn_width, drawn_height = (0.75 / width * pixels for pixels in canvas.shape[1::-1])
    margin = 0.1
    names = 0.2 + 0.075 * max(len(name) for name in ("reconstructed", *class_names))
    size = (names + drawn_width + margin, drawn_height + 2 * margin)
    figure = Figure(figsize=size)
    axes = figure.add_axes(
        (names / size[0], margin / size[1], drawn_width / size[0], drawn_height / size[1])
    )
    axes.imshow(canvas, interpolation="nearest", aspect="auto")
    axes.axis("off")
    for row, label in enumerate(shown):
        for offset, text, colour in (
            (0.5 * height, class_names[label], "black"),
            (1.5 * height + gap, "reconstructed", GREY),
        ):
            axes.text(-gap, row * pair + offset, text, ha="right", va="center", fontsize=9,
                      color=colour)  # fmt: skip
    return figure


def show_picture(
    axes: Axes, picture: np.ndarray, extent: tuple[float, float, float, float] | None = None
) -> None:
    """Draw one uint8 picture ``[height, width, 1 or 3]`` as it is, without axes.

    ``extent`` is its place, left, right, bottom, top; all of the axes by default.
    """
    grey = picture.shape[-1] == 1
    shown = picture[..., 0] if grey else picture
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, extent=extent)
    axes.axis("off")


def plain(axes: Axes, grid: Literal["x", "y"] = "y") -> None:
    """Take the frame away and draw thin grid lines behind."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
