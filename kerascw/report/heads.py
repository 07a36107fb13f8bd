"""Figures of models with several heads, and of LeNet's variants."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerascw.experiment.spec import MAIN_HEAD
from kerascw.lab.pictures import splits_of
from kerascw.report.figures import GREEN, GREY, RED, plain, show_picture
from kerascw.runs.store import Run

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


def rate_curves(runs: Mapping[str, Sequence[Run]]) -> Any:
    """Return the learning rate of every epoch, a line for all variants that share it."""
    from kerascw.report import charts

    lines: dict[tuple[float, ...], list[str]] = {}
    for name, several in runs.items():
        rates = tuple(row["learning_rate"] for row in several[0].history)
        lines.setdefault(rates, []).append(name.replace("_", " "))
    several_ = [
        charts.Line(", ".join(names), list(range(1, len(rates) + 1)), rates)
        for rates, names in lines.items()
    ]
    return charts.lines(several_, y="learning rate", log_y=True, points=True, stepped=True)


def confusion_before_and_after(
    before: Sequence[Run], after: Sequence[Run], name: str
) -> dict[str, tuple[Any, str]]:
    """Return the test confusion of two variants, summed over seeds, and how their recalls differ.

    Parameters
    ----------
    before, after : runs of the same seeds; those without a test figure are left out.
    name : of the first; the second is it, retrained.
    """
    from kerascw.report import charts

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
            charts.heat(matrix, names),
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
    return pictures | {
        "difference per class": (
            charts.bars(
                names,
                differences.mean(axis=0).tolist(),
                x="recall after retraining minus recall before",
                each=differences.T.tolist(),
                rule=0,
            ),
            "what retraining changes in each class's recall on the test set, mean (bar) and each "
            "seed (tick)",
        )
    }
