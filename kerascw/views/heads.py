"""Figures of models with several heads, and of LeNet's variants."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerascw.engine.store import Run
from kerascw.spec import MAIN_HEAD
from kerascw.views.features import splits_of
from kerascw.views.figures import BLUE, GREEN, GREY, RED, confusion, plain, show_picture
from kerascw.views.study import COLOURS

SHOWN = 8
"""Test pictures in a figure of heads: the first of each class, as many as these."""


def heads_side_by_side(run: Run, options: Any = None) -> Figure:
    """Return a row for each of some test pictures: the picture, and what each head makes of it."""
    splits = splits_of(run, options)
    names, test = splits.class_names, splits.test
    with np.load(run.folder / "predictions.npz") as kept:
        heads = {
            head: kept[f"test_{head}_probabilities"] for head in run.metrics.get("heads", {})
        } | {MAIN_HEAD: kept["test_probabilities"]}
    present = [label for label in range(len(names)) if (test.labels == label).any()]
    shown = [int(np.flatnonzero(test.labels == label)[0]) for label in present][:SHOWN]
    figure = Figure(
        figsize=(1.5 + 2.4 * len(heads), 0.5 + 0.16 * len(names) * len(shown)),
        layout="constrained",
    )
    grid = figure.subplots(
        len(shown), 1 + len(heads), squeeze=False, width_ratios=[1.2, *[2] * len(heads)]
    )
    for number, (row, at) in enumerate(zip(grid, shown, strict=True)):
        truth = int(test.labels[at])
        show_picture(row[0], test.images[at])
        row[0].axis("off")
        row[0].set_title(names[truth], fontsize=9)
        for axes, (head, probabilities) in zip(row[1:], heads.items(), strict=True):
            guess = int(probabilities[at].argmax())
            colours = [GREY] * len(names)
            colours[guess] = GREEN if guess == truth else RED
            axes.barh(range(len(names)), probabilities[at], color=colours)
            axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5))
            axes.set_yticks(
                range(len(names)), names if axes is row[1] else [""] * len(names), fontsize=6.5
            )
            last = number == len(shown) - 1
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"] if last else [""] * 3)
            plain(axes, "x")
            if number == 0:
                axes.set_title("main head" if head == MAIN_HEAD else head, fontsize=10)
    return figure


def rate_curves(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Return the learning rate of every epoch, a line for all variants that share it."""
    lines: dict[tuple[float, ...], list[str]] = {}
    for name, several in runs.items():
        rates = tuple(row["learning_rate"] for row in several[0].history)
        lines.setdefault(rates, []).append(name.replace("_", " "))
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axes = figure.subplots()
    for number, (rates, names) in enumerate(lines.items()):
        axes.step(
            range(1, len(rates) + 1), rates, where="mid", marker=".",
            color=COLOURS[number % len(COLOURS)], label=", ".join(names),
        )  # fmt: skip
    axes.set(xlabel="epoch", ylabel="learning rate", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    plain(axes)
    figure.legend(loc="outside upper left", frameon=False, fontsize=8)
    return figure


def confusion_before_and_after(
    before: Sequence[Run], after: Sequence[Run], name: str
) -> dict[str, tuple[Figure, str]]:
    """Return the test confusion of two variants, summed over seeds, and how their recalls differ.

    Parameters
    ----------
    before, after : runs of the same seeds; those without a test figure are left out.
    name : of the first; the second is it, retrained.
    """
    matrices = {
        said: np.sum([run.metrics["test"]["confusion"] for run in tested], axis=0)
        for said, several in ((name, before), (f"{name}, retrained", after))
        if (tested := [run for run in several if "test" in run.metrics])
    }
    if len(matrices) < 2:
        return {}
    names = before[0].metrics["class_names"]
    pictures = {
        f"confusion of {said}": (
            confusion(matrix, names),
            f"confusion matrix of {said} on the test set, summed over the seeds",
        )
        for said, matrix in matrices.items()
    }
    recalls = [
        {run.experiment.seed: [row["recall"] for row in run.metrics["test"]["per_class"]]
         for run in several if "test" in run.metrics}
        for several in (before, after)
    ]  # fmt: skip
    seeds = [seed for seed in recalls[0] if seed in recalls[1]]
    differences = np.array(
        [np.subtract(recalls[1][seed], recalls[0][seed]) for seed in seeds]
    )  # [seeds, classes]
    figure = Figure(figsize=(7, 1 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(names)), differences.mean(axis=0), color=BLUE, alpha=0.6)
    for own in differences:
        axes.plot(own, range(len(names)), "|", color="black", markersize=9)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(xlabel="recall after retraining minus recall before")
    plain(axes, "x")
    said = ", ".join(
        f"{label} {value:+.3f}"
        for label, value in zip(names, differences.mean(axis=0), strict=True)
    )
    return pictures | {
        "difference per class": (
            figure,
            f"what retraining changes in each class's recall on the test set, mean (bar) and each "
            f"seed (tick): {said}",
        )
    }
