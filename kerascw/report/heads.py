"""Figures of models with several heads, and of LeNet's variants."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerascw.evaluation.metrics import first_of_each_class
from kerascw.experiment.spec import MAIN_HEAD
from kerascw.lab.pictures import PictureSpec, splits_of
from kerascw.report import charts
from kerascw.report.figures import GREEN, GREY, RED
from kerascw.report.page import readable
from kerascw.runs.store import Run

SHOWN = 8
"""Test images in a figure of heads: the first of each class, at most so many."""


def heads_side_by_side(run: Run, pictures: PictureSpec | None = None) -> Figure:
    """Draw a row for each of some test images: the image, and each head's probabilities."""
    splits = splits_of(run, pictures)
    names, test = splits.class_names, splits.test
    with np.load(run.folder / "predictions.npz") as kept:
        heads = {
            head: kept[f"test_{head}_probabilities"] for head in run.metrics.get("heads", {})
        } | {MAIN_HEAD: kept["test_probabilities"]}
    shown = first_of_each_class(test.labels, 1)[:SHOWN]
    figure = Figure(
        figsize=(2.5 + 2.2 * len(heads), 0.5 + 0.16 * len(names) * len(shown)),
        layout="constrained",
    )
    axes = figure.subplots(
        len(shown), 1 + len(heads), squeeze=False, width_ratios=[1.2, *[2] * len(heads)]
    )
    for row, at in zip(axes, shown, strict=True):
        truth = int(test.labels[at])
        image = test.images[at]
        row[0].imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0,
                      vmax=255, interpolation="nearest")  # fmt: skip
        row[0].axis("off")
        row[0].set_title(readable(names[truth]), fontsize=9, parse_math=False)
        for plot, (head, probabilities) in zip(row[1:], heads.items(), strict=True):
            guess = int(probabilities[at].argmax())
            colours = [GREY] * len(names)
            colours[guess] = GREEN if guess == truth else RED
            plot.barh(range(len(names)), probabilities[at], color=colours)
            plot.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5), xticks=[0, 0.5, 1])
            plot.set_yticks(range(len(names)), [readable(name) for name in names], fontsize=6.5,
                            parse_math=False)  # fmt: skip
            plot.label_outer(remove_inner_ticks=True)
            if plot is row[1]:
                plot.tick_params(labelleft=True)
            plot.spines[["top", "right"]].set_visible(False)
            plot.patch.set_alpha(0)
            if row is axes[0]:
                plot.set_title("main head" if head == MAIN_HEAD else head, fontsize=10)
    return figure


def rate_curves(runs: Mapping[str, Sequence[Run]]) -> Any:
    """Draw the learning rate of every epoch, one line for all variants that share it."""
    lines: dict[tuple[float, ...], list[str]] = {}
    for name, several in runs.items():
        rates = tuple(row["learning_rate"] for row in several[0].history)
        lines.setdefault(rates, []).append(name.replace("_", " "))
    several_ = [
        charts.Line(", ".join(names), list(range(1, len(rates) + 1)), rates)
        for rates, names in lines.items()
    ]
    return charts.lines(several_, y="learning rate", log_y=True)


def confusion_before_and_after(
    before: Sequence[Run], after: Sequence[Run], name: str
) -> dict[str, tuple[Any, str]]:
    """Draw the test confusion of two variants, summed over seeds, and how their recalls differ.

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
            charts.confusion(matrix, names),
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
                rule=charts.Rule("x", 0),
            ),
            "what retraining changes in each class's recall on the test set, mean (bar) and each "
            "seed (tick)",
        )
    }
