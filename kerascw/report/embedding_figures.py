"""Figures of an embedding: points with pictures, and near classes beside confused ones."""

from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patheffects import withStroke

from kerascw.data import Part
from kerascw.evaluation.embedding import SEED, Pair, most_confused, nearest
from kerascw.report.figures import BLUE

PICTURES = 28
"""How many pictures are placed at their points, at most."""

MOST_WRITTEN = 20
"""Up to so many classes the heat maps' figures are written into them."""

PAIRS = 5
"""How many pairs of classes are named."""

# told apart by colour-blind readers: Petroff, "Accessible color sequences for data visualization",
# 2021, the ten-colour sequence
_COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70",
            "#717581", "#92dadb")  # fmt: skip
_MARKERS = "osD^v"  # a round of the colours each


def scatter(points: np.ndarray, part: Part, guesses: np.ndarray, names: Sequence[str]) -> Figure:
    """Return the points in their classes' colours, the misclassified ringed, with some pictures.

    Parameters
    ----------
    points : float ``[n, 2]``.
    part : the ``n`` pictures with their labels.
    guesses : int ``[n]``, predicted classes.
    """
    labels, wrong = part.labels, part.labels != guesses
    # the same scale both ways, with room for a picture at the edge, and not too flat for the legend
    span = np.ptp(points, axis=0)
    extent = 1.08 * np.maximum(span, 0.5 * span.max())
    inches = 8.8 / float(extent.max())  # for every unit of the plane
    width, height = (float(value) for value in inches * extent)
    longest = max(len(name) for name in (*names, "misclassified"))
    across = width + 0.5 + 0.085 * longest  # 9 pt takes about 0.085 a letter
    figure = Figure(figsize=(across, height))
    axes = figure.add_axes((0.0, 0.0, width / across, 1.0))
    axes.axis("off")
    low = (points.max(axis=0) + points.min(axis=0) - extent) / 2
    axes.set(xlim=(low[0], low[0] + extent[0]), ylim=(low[1], low[1] + extent[1]))
    area = float(np.clip(20_000 / len(points), 4, 14))  # of a point, in printer's points squared
    styles = _styles(len(names))
    # in one shuffled order no class lies over all others
    order = np.random.default_rng(SEED).permutation(len(points))
    for marker in dict.fromkeys(marker for _, marker in styles):
        at = [k for k in order if styles[labels[k]][1] == marker]
        axes.scatter(
            points[at, 0],
            points[at, 1],
            s=np.where(wrong[at], 3 * area, area),
            c=[styles[labels[k]][0] for k in at],
            marker=marker,
            edgecolors=["black" if wrong[k] else "none" for k in at],
            linewidths=0.7,
        )
    taken = _label_medians(axes, points, labels, names, inches)
    rows, columns = part.images.shape[1:3]
    side = 0.38  # inches of a picture's longer side, with its frame
    half = side / 2 / inches / max(rows, columns)
    chosen = spread_pictures(points, labels, (half * columns, half * rows), taken)
    zoom = 72 * (side - 0.05) / max(rows, columns)  # printer's points a pixel
    _place(axes, part, chosen, points, wrong, styles, zoom)
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=name)
        for (colour, marker), name in zip(styles, names, strict=True)
    ]
    ring = Line2D([], [], color="white", marker="o", markeredgecolor="black", linestyle="")
    ring.set_label("misclassified")
    handles.append(ring)
    figure.legend(handles=handles, loc="center right", frameon=False, fontsize=9)
    return figure


def _styles(classes: int) -> list[tuple[str, str]]:
    """Return colour and marker of every class; no two are the same up to fifty classes."""
    rounds = ((colour, marker) for marker in cycle(_MARKERS) for colour in _COLOURS)
    return list(islice(rounds, classes))


Box = tuple[float, float, float, float]
"""Centre and half the width and height, in the plane's units."""


def _overlap(one: Box, other: Box) -> bool:
    return abs(one[0] - other[0]) < one[2] + other[2] and abs(one[1] - other[1]) < (
        one[3] + other[3]
    )


def _label_medians(
    axes: Axes, points: np.ndarray, labels: np.ndarray, names: Sequence[str], inches: float
) -> list[Box]:
    """Write each class's name at the point of it that is nearest its median; return the boxes.

    The median itself may lie outside a class that is in two places.
    """
    taken: list[Box] = []
    for label in np.unique(labels):
        own = points[labels == label]
        distances = np.linalg.norm(own - np.median(own, axis=0), axis=1)
        half_width = 0.05 * len(names[label]) + 0.06
        boxes: list[Box] = [
            (float(own[k][0]), float(own[k][1]), half_width / inches, 0.11 / inches)
            for k in np.argsort(distances, kind="stable")
        ]
        # the nearest that covers no other name; where there is none, the nearest
        free = (box for box in boxes if not any(_overlap(box, other) for other in taken))
        box = next(free, boxes[0])
        taken.append(box)
        axes.text(box[0], box[1], names[label], ha="center", va="center", fontsize=10,
                  weight="bold", zorder=5,
                  path_effects=[withStroke(linewidth=3, foreground="white")])  # fmt: skip
    return taken


def spread_pictures(
    points: np.ndarray, labels: np.ndarray, half: tuple[float, float], taken: Sequence[Box]
) -> list[int]:
    """Return which pictures to place at their points, so that none covers another or a name.

    Class by class in turn, in a shuffled order, so that each class has its share; at a distance
    from one another first, so that they spread, then nearer until there are :data:`PICTURES`.

    Parameters
    ----------
    points : float ``[n, 2]``.
    labels : int ``[n]``.
    half : half the width and height of a picture, in the plane's units.
    taken : where names stand.
    """
    random = np.random.default_rng(SEED)
    by_class = [random.permutation(np.flatnonzero(labels == k)) for k in np.unique(labels)]
    turns = [
        int(own[turn])
        for turn in range(max(len(own) for own in by_class))
        for own in by_class
        if turn < len(own)
    ]
    chosen: list[int] = []
    boxes: list[Box] = []
    for apart in (3.0, 2.0, 1.4, 1.0):  # 1: they may touch
        for at in turns:
            if len(chosen) == PICTURES:
                return chosen
            x, y = (float(value) for value in points[at])
            around = (x, y, (2 * apart - 1) * half[0], (2 * apart - 1) * half[1])
            here = (x, y, *half)
            if any(_overlap(around, box) for box in boxes):
                continue
            if not any(_overlap(here, name) for name in taken):
                chosen.append(at)
                boxes.append(here)
    return chosen


def _place(
    axes: Axes,
    part: Part,
    chosen: Sequence[int],
    points: np.ndarray,
    wrong: np.ndarray,
    styles: Sequence[tuple[str, str]],
    zoom: float,
) -> None:
    """Draw the chosen pictures centred on their points; a misclassified one's frame is dashed."""
    for at in chosen:
        picture = part.images[at]
        grey = picture.shape[-1] == 1
        shown = OffsetImage(
            picture[..., 0] if grey else picture,
            zoom=zoom,
            cmap="gray",
            norm=Normalize(0, 255),
            interpolation="nearest",
        )
        frame = {
            "edgecolor": styles[part.labels[at]][0],
            "linewidth": 2,
            "linestyle": "--" if wrong[at] else "-",
        }
        box = AnnotationBbox(shown, tuple(points[at]), pad=0.1, bboxprops=frame)
        box.set_zorder(4)
        axes.add_artist(box)


def heat_maps(shares: np.ndarray, confusion: np.ndarray, names: Sequence[str]) -> Figure:
    """Return neighbour shares beside confusion rates, both by row, in per cent.

    Parameters
    ----------
    shares : float ``[classes, classes]``; a class without points has a row of NaN.
    confusion : int ``[classes, classes]``, rows are truths.
    """
    n = len(names)
    rates = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(2.4 + 0.8 * n, 1.6 + 0.42 * n), layout="constrained")
    grid = figure.subplots(1, 2, sharey=True)
    for axes, values, title, across in zip(
        grid,
        (shares, rates),
        ("nearest neighbours in the plane", "predictions"),
        ("class of the neighbours", "prediction"),
        strict=True,
    ):
        # the square root lets one per cent be seen beside ninety
        axes.imshow(np.sqrt(values), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if n <= MOST_WRITTEN and value >= 0.005:
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8,
                          color="white" if np.sqrt(value) > 0.55 else "black")  # fmt: skip
        axes.set_xticks(range(n), names, rotation=45, ha="right", rotation_mode="anchor",
                        fontsize=8)  # fmt: skip
        axes.set_yticks(range(n), names, fontsize=8)
        axes.set_title(f"{title} (% of the row)", fontsize=10)
        axes.set_xlabel(across, fontsize=9)
    grid[0].set_ylabel("true class", fontsize=9)
    return figure


def ranked_pairs(several: Sequence[Pair], names: Sequence[str]) -> Figure:
    """Return the nearest pairs of classes beside those confused most, joined where they are one."""
    lists = nearest(several, PAIRS), most_confused(several, PAIRS)
    figure = Figure(figsize=(9, 0.9 + 0.36 * PAIRS), layout="constrained")
    axes = figure.subplots()
    for side, chosen, figure_name, heading in (
        (0, lists[0], "nearness", "nearest (mean neighbour share)"),
        (1, lists[1], "mistakes", "confused most (mistakes)"),
    ):
        align = "right" if side == 0 else "left"
        beside = -0.08 if side == 0 else 1.08
        axes.text(beside, -0.9, heading, ha=align, va="center", fontsize=10, weight="bold")
        for rank, pair in enumerate(chosen):
            said = f"{pair_name(pair, names)}, {figure_of_pair(pair, figure_name)}"
            axes.text(beside, rank, said, ha=align, va="center", fontsize=10)
            axes.plot(side, rank, "o", color=BLUE)
    there = {pair.classes: rank for rank, pair in enumerate(lists[1])}
    for rank, pair in enumerate(lists[0]):
        if pair.classes in there:
            axes.plot([0, 1], [rank, there[pair.classes]], color=BLUE, linewidth=1.5)
    axes.set(xlim=(-2.2, 3.2), ylim=(PAIRS - 0.5, -1.3))
    axes.axis("off")
    return figure


def pair_name(pair: Pair, names: Sequence[str]) -> str:
    """Return ``a and b``."""
    return " and ".join(names[label] for label in pair.classes)


def figure_of_pair(pair: Pair, figure: str) -> str:
    """Return a pair's ``nearness`` in per cent or its ``mistakes``."""
    return f"{pair.nearness:.1%}" if figure == "nearness" else f"{pair.mistakes:,}"
