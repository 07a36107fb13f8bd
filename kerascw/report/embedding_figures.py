"""Figures of an embedding: points with images, and class neighbours beside predictions."""

from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from kerascw.data import Part
from kerascw.errors import printable
from kerascw.evaluation.embedding import SEED
from kerascw.report import charts

THUMBNAILS = 28
"""How many images are placed at their points, at most."""


def neighbour_maps(shares: np.ndarray, confusion: np.ndarray, names: Sequence[str]) -> charts.Chart:
    """Draw neighbour shares beside confusion rates, both by row.

    Parameters
    ----------
    shares : float ``[classes, classes]``; a class without points has a row of NaN.
    confusion : int ``[classes, classes]``, rows are truths.
    """
    rates = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    panels = [
        charts.heat_panel(
            values, names, names,
            np.where(np.nan_to_num(values) >= 0.005,
                     np.char.mod("%.0f", 100 * np.nan_to_num(values)), ""),
            row="true class", column=column, title=title,
        )
        for values, column, title in (
            (shares, "class of the neighbours", "nearest neighbours (%)"),
            (rates, "prediction", "predictions (%)"),
        )
    ]  # fmt: skip
    said = "; ".join(
        f"{name} {shares[k, k]:.0%} neighbours of its own class, {rates[k, k]:.0%} correct"
        for k, name in enumerate(names)
    )
    return charts.Chart(tuple(panels), numbers=said)


# told apart by colour-blind readers: Petroff, "Accessible color sequences for data visualization",
# 2021, the ten-colour sequence
_COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70",
            "#717581", "#92dadb")  # fmt: skip
_MARKERS = "osD^v"  # a round of the colours each

WIDTH, HEIGHT, SIDE = 10.5, 7.5, 0.4
"""Inches of the plane, and of an image's longer side in it."""


def scatter(points: np.ndarray, part: Part, guesses: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the points in their classes' colours, the misclassified ringed, with some images.

    Parameters
    ----------
    points : float ``[n, 2]``.
    part : the ``n`` images with their labels.
    guesses : int ``[n]``, predicted classes.
    """
    labels, wrong = part.labels, part.labels != guesses
    legend = 0.5 + 0.085 * max(len(name) for name in (*names, "misclassified"))  # inches
    figure = Figure(figsize=(WIDTH + legend, HEIGHT))
    axes = figure.add_axes((0.0, 0.0, WIDTH / (WIDTH + legend), 1.0))
    axes.axis("off")
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    # each axis of t-SNE has a scale of its own to use the whole panel: neither means anything
    low, span = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-9)
    places = SIDE / 2 + (points - low) / span * (np.array([WIDTH, HEIGHT]) - SIDE)
    area = float(np.clip(20_000 / len(points), 4, 14))  # of a point, in printer's points squared
    rounds = ((colour, marker) for marker in cycle(_MARKERS) for colour in _COLOURS)
    styles = list(islice(rounds, len(names)))
    # in one shuffled order no class lies over all others
    order = np.random.default_rng(SEED).permutation(len(points))
    for marker in dict.fromkeys(marker for _, marker in styles):
        at = np.array([k for k in order if styles[labels[k]][1] == marker], int)
        axes.scatter(
            places[at, 0], places[at, 1], s=np.where(wrong[at], 3 * area, area), marker=marker,
            c=[styles[labels[k]][0] for k in at], linewidths=0.7,
            edgecolors=["black" if wrong[k] else "none" for k in at],
        )  # fmt: skip
    taken = _write_names(axes, places, labels, names)
    for chosen in spread_images(places, labels, taken):
        colour, _ = styles[labels[chosen]]
        _place(axes, part.images[chosen], places[chosen], colour, dashed=bool(wrong[chosen]))
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=printable(name))
        for (colour, marker), name in zip(styles, names, strict=True)
    ]
    ring = Line2D([], [], marker="o", markeredgecolor="black", markerfacecolor="none", linestyle="")
    ring.set_label("misclassified")
    handles.append(ring)
    for text in figure.legend(handles=handles, loc="center right", frameon=False,
                              fontsize=9).get_texts():  # fmt: skip
        text.set_parse_math(False)
    return figure


Box = tuple[float, float, float, float]
"""Centre and half the width and height, in inches."""


def _free(box: Box, taken: Sequence[Box]) -> bool:
    """Return whether a box covers none of the others."""
    x, y, half_width, half_height = box
    return not any(
        abs(x - other[0]) < half_width + other[2] and abs(y - other[1]) < half_height + other[3]
        for other in taken
    )


def _write_names(
    axes: Axes, places: np.ndarray, labels: np.ndarray, names: Sequence[str]
) -> list[Box]:
    """Write each class's name at the point of it that is nearest its median; return the boxes.

    The median itself may lie outside a class that is in two places.
    """
    taken: list[Box] = []
    for label in np.unique(labels):
        own = places[labels == label]
        half = 0.05 * len(names[label]) + 0.08
        distances = np.linalg.norm(own - np.median(own, axis=0), axis=1)
        boxes = [(float(np.clip(x, half, WIDTH - half)), float(y), half, 0.13)
                 for x, y in own[np.argsort(distances, kind="stable")]]  # fmt: skip
        # the nearest that covers no other name; where there is none, the nearest
        box = next((box for box in boxes if _free(box, taken)), boxes[0])
        taken.append(box)
        axes.text(box[0], box[1], printable(names[label]), ha="center", va="center", fontsize=10,
                  weight="bold", zorder=5, parse_math=False,
                  path_effects=[withStroke(linewidth=3, foreground="white")])  # fmt: skip
    return taken


def spread_images(places: np.ndarray, labels: np.ndarray, taken: Sequence[Box]) -> list[int]:
    """Choose at most :data:`THUMBNAILS` images so that none covers another or a name.

    One image of each class in turn, so that each class has its share.

    Parameters
    ----------
    places : float ``[n, 2]``, in inches.
    labels : int ``[n]``.
    taken : where names stand.
    """
    shuffled = np.random.default_rng(SEED).permutation(len(places))
    turns = np.zeros(len(places), int)  # of each image, how many of its class come before it
    for label in np.unique(labels):
        own = shuffled[labels[shuffled] == label]
        turns[own] = np.arange(len(own))
    half = SIDE / 2 + 0.03
    chosen: list[int] = []
    boxes = list(taken)
    for at in shuffled[np.argsort(turns[shuffled], kind="stable")]:
        x, y = places[at]
        # at a distance from one another, so that they spread
        if (
            len(chosen) < THUMBNAILS
            and _free((x, y, half, half), taken)
            and _free((x, y, 2 * half, 2 * half), boxes[len(taken) :])
        ):
            chosen.append(int(at))
            boxes.append((x, y, half, half))
    return chosen


def _place(axes: Axes, image: np.ndarray, place: np.ndarray, colour: str, *, dashed: bool) -> None:
    """Draw an image centred on its point, in a frame that is dashed where it is misclassified."""
    height, width = (SIDE * pixels / max(image.shape[:2]) for pixels in image.shape[:2])
    left, bottom = place[0] - width / 2, place[1] - height / 2
    shown = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto",
                extent=(left, left + width, bottom, bottom + height), zorder=4)  # fmt: skip
    frame = Rectangle((left, bottom), width, height, fill=False, edgecolor=colour, linewidth=2,
                      linestyle="--" if dashed else "-", zorder=4.5)  # fmt: skip
    axes.add_patch(frame)
