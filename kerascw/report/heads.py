"""Figures of models with several heads, and of LeNet's variants."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerascw.evaluation.metrics import first_of_each_class
from kerascw.lab.pictures import PictureSpec, splits_of
from kerascw.report import charts
from kerascw.runs.store import Run


def heads_side_by_side(run: Run, pictures: PictureSpec | None = None) -> charts.Chart:
    """Draw the probabilities that each head gives the first test image of every class."""
    splits = splits_of(run, pictures)
    names, shown = splits.class_names, first_of_each_class(splits.test.labels, 1)
    truths = [names[label] for label in splits.test.labels[shown]]
    with np.load(run.folder / "predictions.npz") as kept:
        heads = {
            head: kept[f"test_{head}_probabilities"][shown] for head in run.metrics.get("heads", {})
        } | {"main head": kept["test_probabilities"][shown]}
    panels, said = [], []
    for head, probabilities in heads.items():
        texts = np.where(probabilities >= 0.01, np.char.mod("%.2f", probabilities), "")
        panels.append(charts.heat_panel(probabilities, truths, names, texts, row="true class",
                                        column="class", title=head))  # fmt: skip
        guesses = zip(truths, probabilities.argmax(axis=1), strict=True)
        said.append(f"{head}: {', '.join(f'{true} as {names[guess]}' for true, guess in guesses)}")
    return charts.Chart(tuple(panels), numbers="; ".join(said))


def rate_curves(runs: Mapping[str, Sequence[Run]]) -> Any:
    """Draw the learning rate of every epoch, one line for all variants that share it."""
    lines: dict[tuple[float, ...], list[str]] = {}
    for name, several in runs.items():
        rates = tuple(row["learning_rate"] for row in several[0].history)
        lines.setdefault(rates, []).append(name.replace("_", " "))
    drawn = [
        charts.Line(", ".join(names), range(1, len(rates) + 1), rates)
        for rates, names in lines.items()
    ]
    return charts.lines(drawn, y="learning rate", log_y=True)


def confusion_before_and_after(
    before: Sequence[Run], after: Sequence[Run], name: str
) -> dict[str, tuple[Any, str]]:
    """Draw the test confusion of a variant and of it retrained, summed over seeds, and how the
    recalls of the same seeds differ; runs without a test figure are left out.
    """
    tests = [
        {run.experiment.seed: run.metrics["test"] for run in several if "test" in run.metrics}
        for several in (before, after)
    ]
    if not all(tests):
        return {}
    names = before[0].metrics["class_names"]
    drawn: dict[str, tuple[Any, str]] = {}
    for said, own in zip((name, f"{name}, retrained"), tests, strict=True):
        matrix = np.sum([test["confusion"] for test in own.values()], axis=0)
        drawn[f"confusion of {said}"] = (
            charts.confusion(matrix, names),
            f"confusion matrix of {said} on the test set, summed over the seeds",
        )
    recalls = [
        np.array([[row["recall"] for row in own[seed]["per_class"]]
                  for seed in tests[0] if seed in tests[1]])
        for own in tests
    ]  # [seeds, classes] each  # fmt: skip
    differences = recalls[1] - recalls[0]
    return drawn | {
        "difference per class": (
            charts.dots(
                [
                    charts.Dot(name, own.mean(), each=tuple(own))
                    for name, own in zip(names, differences.T, strict=True)
                ],
                x="recall after retraining minus recall before",
                value="mean",
                rule=charts.Rule("x", 0),
            ),
            "what retraining changes in each class's recall on the test set, mean and each seed",
        )
    }
