"""The figure of an embedding: points in the colours of their classes, with some images."""

from collections.abc import Sequence
from itertools import cycle, islice, product

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patheffects import withStroke

from kerascw.data import Part
from kerascw.errors import printable
from kerascw.evaluation.embedding import SEED
from kerascw.report.figures import write

# told apart by colour-blind readers: Petroff, "Accessible color sequences for data visualization",
# 2021, the ten-colour sequence
_COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70",
            "#717581", "#92dadb")  # fmt: skip
_MARKERS = "osD^v"  # a round of the colours each

PLANE, SIDE = np.array([10.5, 7.5]), 0.4
"""Inches of the plane, and of an image's longer side in it."""

CELL, LINE = PLANE / (7, 5), np.array([1.5, 0.3])
"""Inches of the cells of which each has one image at most, and of those with one name each."""


def scatter(points: np.ndarray, part: Part, guesses: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the points in their classes' colours, the misclassified ringed, with some images.

    ``points`` are float ``[n, 2]``, ``part`` the ``n`` images with their labels, and ``guesses``
    the predicted classes, int ``[n]``.
    """
    labels, wrong = part.labels, part.labels != guesses
    legend = 0.5 + 0.085 * max(len(name) for name in (*names, "misclassified"))  # inches
    width = PLANE[0] + legend
    figure = Figure(figsize=(width, PLANE[1]))
    axes = figure.add_axes((0.0, 0.0, PLANE[0] / width, 1.0))
    axes.axis("off")
    axes.set(xlim=(0, PLANE[0]), ylim=(0, PLANE[1]))
    # each axis of t-SNE has a scale of its own to use the whole panel: neither means anything
    low, span = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-9)
    places = SIDE / 2 + (points - low) / span * (PLANE - SIDE)
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
    for chosen in spread_images(places):
        image = part.images[chosen]
        shown = np.broadcast_to(image, (*image.shape[:2], 3))  # grey in all three colours
        zoom = 72 * SIDE / max(image.shape[:2])  # from pixels to printer's points
        frame = {"edgecolor": styles[labels[chosen]][1], "linewidth": 2,
                 "linestyle": "--" if wrong[chosen] else "-"}  # fmt: skip
        drawn = OffsetImage(shown, zoom=zoom, interpolation="nearest")
        axes.add_artist(AnnotationBbox(drawn, tuple(places[chosen]), pad=0, bboxprops=frame))
    edge = [withStroke(linewidth=3, foreground="white")]
    for label, (x, y) in places_of_names(places, labels).items():
        write(axes, x, y, names[label], fontsize=10, weight="bold", va="center", zorder=5,
              path_effects=edge)  # fmt: skip
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


def spread_images(places: np.ndarray) -> list[int]:
    """Choose the point nearest the middle of each cell, so that no image covers another.

    ``places`` are float ``[n, 2]``, in inches.
    """
    cells = places // CELL
    off = np.abs(places - (cells + 0.5) * CELL).max(axis=1)
    nearest: dict[tuple[float, ...], int] = {}
    for at in np.argsort(off, kind="stable").tolist():
        if off[at] <= (CELL.min() - SIDE) / 2:
            nearest.setdefault(tuple(cells[at]), at)
    return list(nearest.values())


def places_of_names(places: np.ndarray, labels: np.ndarray) -> dict[int, tuple[float, float]]:
    """Return where each class's name goes: to the point of it nearest its median.

    The median itself may lie outside a class that is in two places. Where the cell has a name
    already, it is the nearest point in another.
    """
    found: dict[int, tuple[float, float]] = {}
    taken: set[tuple[float, ...]] = set()
    for label in np.unique(labels).tolist():
        own = places[labels == label]
        order = np.argsort(np.linalg.norm(own - np.median(own, axis=0), axis=1), kind="stable")
        at = next((k for k in order if tuple(own[k] // LINE) not in taken), order[0])
        taken.add(tuple(own[at] // LINE))
        x, y = own[at]
        found[label] = float(np.clip(x, LINE[0] / 2, PLANE[0] - LINE[0] / 2)), float(y)
    return found
