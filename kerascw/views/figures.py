"""Figures of one run, as matplotlib Figures without pyplot's global state.

Colours are Okabe and Ito's, told apart by colour-blind readers.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerascw.data import Part, Splits

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#D55E00", "#007A5E", "#B5303C", "#767676"


def curves(history: list[dict[str, float]], kept_epoch: int | None) -> Figure:
    """Return loss and, of a classifier, accuracy against epochs, training and validation apart."""
    names = [name for name in ("loss", "accuracy") if f"train_{name}" in history[0]]
    labels = {"accuracy": "accuracy", "loss": loss_label(reconstructs="accuracy" not in names)}
    figure = Figure(figsize=(1.8 + 3.6 * len(names), 3.6), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, figure_name in zip(
        figure.subplots(1, len(names), squeeze=False)[0], names, strict=True
    ):
        for part, colour in (("train", BLUE), ("validation", ORANGE)):
            if f"{part}_{figure_name}" in history[0]:
                values = [row[f"{part}_{figure_name}"] for row in history]
                label = "training (while it learns)" if part == "train" else part
                axes.plot(epochs, values, color=colour, marker=".", label=label)
        if kept_epoch is not None:
            axes.axvline(kept_epoch, color=GREY, linestyle=":", label=f"kept: epoch {kept_epoch}")
        axes.set(xlabel="epoch", ylabel=labels[figure_name])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        plain(axes)
        axes.legend(frameon=False)
    return figure


def loss_label(*, reconstructs: bool) -> str:
    """Return what stands at an axis of losses."""
    return "mean squared error per pixel" if reconstructs else "loss (nats)"


def confusion(matrix: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return the confusion matrix: counts written, shades by share of the true class.

    Parameters
    ----------
    matrix : int ``[classes, classes]``, rows are truths.
    """
    n = len(class_names)
    figure = Figure(figsize=(1.8 + 0.62 * n, 1.4 + 0.55 * n), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # the square root lets a share of one per cent be seen beside one of ninety
    image = axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    for truth, guess in np.ndindex(matrix.shape):
        if matrix[truth, guess]:
            ink = "white" if np.sqrt(shares[truth, guess]) > 0.55 else "black"
            axes.text(guess, truth, f"{matrix[truth, guess]:,}", ha="center", va="center",
                      color=ink, fontsize=9)  # fmt: skip
    axes.set_xticks(range(n), class_names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), class_names)
    axes.set(xlabel="prediction", ylabel="truth")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    ticks = np.array([0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.set_ticks(np.sqrt(ticks), labels=[f"{tick:.0%}" for tick in ticks])
    return figure


def predictions(
    part: Part,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    positions: Sequence[int],
    columns: int = 8,
) -> Figure:
    """Return a grid of pictures titled ``prediction (truth)``, green where right, red where not."""
    rows = -(-len(positions) // columns)
    figure = Figure(figsize=(1.45 * columns, 1.62 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, at in zip(grid.flat, positions, strict=False):
        guess, truth = int(probabilities[at].argmax()), int(part.labels[at])
        show_picture(axes, part.images[at])
        axes.set_title(
            f"{class_names[guess]} {probabilities[at, guess]:.0%}\n({class_names[truth]})",
            color=GREEN if guess == truth else RED,
            fontsize=8,
        )
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


def errors_per_class(rows: Sequence[dict[str, Any]], overall: float) -> Figure:
    """Return the mean squared error of every class, as ``metrics["test"]["per_class"]`` has it."""
    figure = Figure(figsize=(6.5, 1.2 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    losses = [np.nan if row["loss"] is None else row["loss"] for row in rows]
    axes.barh(range(len(rows)), losses, color=BLUE)
    axes.axvline(overall, color=ORANGE, linestyle="--", label=f"all test pictures: {overall:.4f}")
    axes.set_yticks(range(len(rows)), [row["class"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the first on top
    axes.set(xlabel=loss_label(reconstructs=True))
    plain(axes, "x")
    figure.legend(loc="outside upper right", frameon=False)
    return figure


def show_picture(axes: Axes, picture: np.ndarray) -> None:
    """Draw one uint8 picture ``[height, width, 1 or 3]`` as it is, without axes."""
    grey = picture.shape[-1] == 1
    axes.imshow(picture[..., 0] if grey else picture, cmap="gray", vmin=0, vmax=255)
    axes.axis("off")


def samples_per_class(splits: Splits) -> Figure:
    """Return how many examples each part has of each class."""
    names = splits.class_names
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    own = splits.train_labels
    training = f"training ({len(own):,}"
    if splits.also:
        training += f", and {splits.also:,} of other classes"
    parts: list[tuple[str, np.ndarray, Any]] = [(f"{training})", own, BLUE)]
    if splits.validation is not None:
        parts.append((f"validation ({len(splits.validation):,})", splits.validation.labels, ORANGE))
    parts.append((f"test ({len(splits.test):,})", splits.test.labels, GREY))
    width = 0.8 / len(parts)
    for number, (label, labels, colour) in enumerate(parts):
        counts = np.bincount(labels, minlength=len(names))
        centres = np.arange(len(names)) + (number - (len(parts) - 1) / 2) * width
        bars = axes.bar(centres, counts, width * 0.95, color=colour, label=label)
        axes.bar_label(bars, fontsize=7, rotation=90, padding=2)
    axes.margins(y=0.2)
    axes.set_xticks(range(len(names)), names, rotation=20)
    axes.set(ylabel="examples")
    plain(axes)
    axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.16))
    return figure


def calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> Figure:
    """Return accuracy against confidence, with the share of examples in each bin below."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, bins - 1)
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    filled = np.unique(which)
    upper.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfectly calibrated")
    upper.plot(
        [confidence[which == b].mean() for b in filled],
        [right[which == b].mean() for b in filled],
        color=BLUE, marker="o", label="this model",
    )  # fmt: skip
    upper.set(ylabel="accuracy", ylim=(0, 1.02))
    upper.legend(frameon=False)
    lower.hist(confidence, edges, weights=np.full(len(labels), 1 / len(labels)), color=BLUE)
    lower.set(xlabel="confidence", ylabel="share", xlim=(0, 1))
    for axes in (upper, lower):
        plain(axes)
    return figure


def plain(axes: Axes, grid: Literal["x", "y"] = "y") -> None:
    """Take the frame away and draw thin grid lines behind."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
