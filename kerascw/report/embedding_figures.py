"""Figures of an embedding: points with images, and class neighbours beside predictions."""

from collections.abc import Sequence
from itertools import cycle, islice, product, zip_longest

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patheffects import withStroke

from kerascw.data import Part
from kerascw.errors import printable
from kerascw.evaluation.embedding import SEED
from kerascw.report import charts

THUMBNAILS = 28
"""How many images are placed at their points, at most."""

# told apart by colour-blind readers: Petroff, "Accessible color sequences for data visualization",
# 2021, the ten-colour sequence
_COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70",
            "#717581", "#92dadb")  # fmt: skip
_MARKERS = "osD^v"  # a round of the colours each

WIDTH, HEIGHT, SIDE = 10.5, 7.5, 0.4
"""Inches of the plane, and of an image's longer side in it."""

Box = tuple[float, float, float, float]
"""Centre and half the width and height, in inches."""


def neighbour_maps(shares: np.ndarray, confusion: np.ndarray, names: Sequence[str]) -> charts.Chart:
    """Draw neighbour shares beside confusion rates, both ``[classes, classes]`` and by row."""
    rates = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    panels = []
    for values, column, title in (
        (shares, "class of the neighbours", "nearest neighbours (%)"),
        (rates, "prediction", "predictions (%)"),
    ):
        per_cent = 100 * np.nan_to_num(values)
        texts = np.where(per_cent >= 0.5, np.char.mod("%.0f", per_cent), "")
        panels.append(
            charts.heat_panel(
                values, names, names, texts, row="true class", column=column, title=title
            )
        )
    said = "; ".join(
        f"{name} {shares[k, k]:.0%} neighbours of its own class, {rates[k, k]:.0%} correct"
        for k, name in enumerate(names)
    )
    return charts.Chart(tuple(panels), numbers=said)


def scatter(points: np.ndarray, part: Part, guesses: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the points in their classes' colours, the misclassified ringed, with some images.

    ``points`` are float ``[n, 2]``, ``part`` the ``n`` images with their labels, and ``guesses``
    the predicted classes, int ``[n]``.
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
    styles = list(islice(cycle(product(_MARKERS, _COLOURS)), len(names)))
    # in one shuffled order no class lies over all others
    order = np.random.default_rng(SEED).permutation(len(points))
    for marker in {marker: None for marker, _ in styles}:
        at = np.array([k for k in order if styles[labels[k]][0] == marker], int)
        axes.scatter(
            places[at, 0], places[at, 1], s=np.where(wrong[at], 3 * area, area), marker=marker,
            c=[styles[labels[k]][1] for k in at], linewidths=0.7,
            edgecolors=["black" if wrong[k] else "none" for k in at],
        )  # fmt: skip
    for chosen in spread_images(places, labels, _write_names(axes, places, labels, names)):
        image = part.images[chosen]
        shown = np.broadcast_to(image, (*image.shape[:2], 3))  # grey in all three colours
        zoom = 72 * SIDE / max(image.shape[:2])  # from pixels to printer's points
        frame = {"edgecolor": styles[labels[chosen]][1], "linewidth": 2,
                 "linestyle": "--" if wrong[chosen] else "-"}  # fmt: skip
        drawn = OffsetImage(shown, zoom=zoom, interpolation="nearest")
        axes.add_artist(
            AnnotationBbox(drawn, tuple(places[chosen]), pad=0, bboxprops=frame, zorder=4)
        )
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=printable(name))
        for (marker, colour), name in zip(styles, names, strict=True)
    ]
    handles.append(Line2D([], [], marker="o", markeredgecolor="black", markerfacecolor="none",
                          linestyle="", label="misclassified"))  # fmt: skip
    key = figure.legend(handles=handles, loc="center right", frameon=False, fontsize=9)
    for text in key.get_texts():
        text.set_parse_math(False)
    return figure


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


def spread_images(places: np.ndarray, labels: np.ndarray, names: Sequence[Box]) -> list[int]:
    """Choose at most :data:`THUMBNAILS` images so that none covers another or a name.

    ``places`` are float ``[n, 2]``, in inches. The classes take turns, so that each has its share.
    """
    shuffled = np.random.default_rng(SEED).permutation(len(places))
    of_classes = [shuffled[labels[shuffled] == label] for label in np.unique(labels)]
    half = SIDE / 2 + 0.03
    chosen: list[int] = []
    taken = list(names)
    for turn in zip_longest(*of_classes):
        for at in turn:
            if at is None or len(chosen) == THUMBNAILS:
                continue
            x, y = places[at]
            if _free((x, y, half, half), taken):
                chosen.append(int(at))
                taken.append((x, y, 2 * half, 2 * half))  # at a distance, so that they spread
    return chosen
