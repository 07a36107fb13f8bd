"""Interactive figures of one run: curves, confusion, calibration, error of each class."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from kerascw.data import Splits
from kerascw.report import charts
from kerascw.report.charts import BLUE, GREY, HEIGHT, Chart, Line, Rule
from kerascw.runs.store import Run

TRAINING = "training (during the epoch)"

LARGEST_LOSS = 10.0
"""Where curves of losses are cut off, in nats; guessing among 100 classes costs 4.6."""


def run_charts(run: Run) -> dict[str, tuple[Chart, str]]:
    """Draw the charts of a kept run: by name, with what each shows."""
    metrics = run.metrics
    reconstructs = run.experiment.reconstructs
    of = loss_label(reconstructs=True) if reconstructs else "loss and accuracy"
    kept = f"; epoch {metrics['kept_epoch']} is kept" if metrics["kept_epoch"] else ""
    drawn = {
        "curves": (
            curves(run.history, metrics["kept_epoch"], run.untrained),
            f"{of} against epochs, training and validation{kept}",
        )
    }
    if "test" not in metrics:
        return drawn
    test = metrics["test"]
    if reconstructs:
        drawn["errors_per_class"] = (
            charts.bars(
                [row["class"] for row in test["per_class"]],
                [row["loss"] for row in test["per_class"]],
                x=loss_label(reconstructs=True),
                rule=Rule("x", test["loss"], f"all: {test['loss']:.4f}"),
            ),
            "mean squared error per pixel of each class on the test set, "
            f"{test['loss']:.5f} over all",
        )
        return drawn
    drawn["confusion"] = (
        charts.confusion(np.array(test["confusion"]), metrics["class_names"]),
        f"confusion matrix of the test set, {test['correct']} of {test['examples']} on the "
        "diagonal",
    )
    with np.load(run.folder / "predictions.npz") as file:
        probabilities, labels = file["test_probabilities"], file["test_labels"]
    drawn["calibration"] = (
        calibration(probabilities, labels),
        "accuracy against confidence on the test set, and the distribution of the confidences; "
        f"expected calibration error {test['calibration_error']:.4f}",
    )
    return drawn


def curves(
    history: Sequence[Mapping[str, float]],
    kept_epoch: int | None,
    untrained: Mapping[str, float] | None = None,
) -> Chart:
    """Draw loss and, of a classifier, accuracy against epochs, training and validation.

    ``untrained`` has the validation figures of epoch 0, before any training.
    """
    figures = [name for name in ("loss", "accuracy") if f"train_{name}" in history[0]]
    labels = {"accuracy": "accuracy", "loss": loss_label(reconstructs="accuracy" not in figures)}
    splits = {
        label: split
        for label, split in ((TRAINING, "train"), ("validation", "validation"))
        if f"{split}_loss" in history[0]
    }
    keys, panels, said = charts.series(splits), [], []
    for figure in figures:
        several = []
        for label, split in splits.items():
            name = f"{split}_{figure}"
            rows = [row for row in (untrained or {}, *history) if name in row]
            several.append(Line(label, [row["epoch"] for row in rows], [row[name] for row in rows]))
        panels.append(
            charts.line_panel(
                several,
                y=labels[figure],
                keys=keys,
                top=LARGEST_LOSS if figure == "loss" else None,
                rules=() if kept_epoch is None else (Rule("x", kept_epoch, "kept"),),
            )
        )
        said.append(f"{figure}: {charts.said_of_lines(several)}")
    return Chart(tuple(panels), keys, "; ".join(said))


def samples_per_class(splits: Splits) -> Chart:
    """Draw how many images of each class each split has."""
    own = splits.train_labels
    also = f", and {splits.also:,} of other classes" if splits.also else ""
    labels = {f"training ({len(own):,}{also})": own}
    if splits.validation is not None:
        labels[f"validation ({len(splits.validation):,})"] = splits.validation.labels
    labels[f"test ({len(splits.test):,})"] = splits.test.labels
    names = splits.class_names
    counts = {
        split: np.bincount(own, minlength=len(names)).tolist() for split, own in labels.items()
    }
    return charts.groups(names, counts, y="images")


def loss_label(*, reconstructs: bool) -> str:
    """Return the title of an axis of losses."""
    return "mean squared error per pixel" if reconstructs else "loss (nats)"


def calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> Chart:
    """Draw accuracy against confidence, and beside it the share of the images in each bin.

    ``probabilities`` are float ``[n, classes]``, ``labels`` int ``[n]``.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, bins - 1)
    rows: list[dict[str, Any]] = []
    for number in np.unique(which):
        own = which == number
        values = {"confidence": confidence[own].mean(), "accuracy": right[own].mean(),
                  "share": own.mean(), "from": edges[number], "to": edges[number + 1]}  # fmt: skip
        rows.append({name: charts.short(value) for name, value in values.items()})
        rows[-1]["images"] = int(own.sum())
    told = [alt.Tooltip(f"{name}:Q", format=form) for name, form in
            (("from", ".2f"), ("to", ".2f"), ("confidence", ".4f"), ("accuracy", ".4f"),
             ("images", ","))]  # fmt: skip
    base = alt.Chart(charts.data_of(rows))
    unit, fifths = alt.Scale(domain=[0, 1]), alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    ends = charts.data_of([{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}])
    place = alt.X("confidence:Q", title="confidence", scale=unit, axis=fifths)
    height = alt.Y("accuracy:Q", title="accuracy", scale=unit)
    points = base.mark_point(color=BLUE, filled=True, size=60, opacity=1)
    left = alt.layer(
        alt.Chart(ends).mark_line(color=GREY, strokeDash=[3, 3]).encode(x=place, y=height),
        base.mark_line(color=BLUE).encode(x=place, y=height),
        points.encode(x=place, y=height, tooltip=told),
    ).properties(title="dotted: perfectly calibrated", height=HEIGHT)
    right_panel = base.mark_bar(color=BLUE).encode(
        x=alt.X("from:Q", title="confidence", scale=unit, axis=fifths, bin="binned"), x2="to:Q",
        y=alt.Y("share:Q", title="share of the images", axis=alt.Axis(format="%")), tooltip=told,
    ).properties(title="distribution of the confidences", height=HEIGHT)  # fmt: skip
    numbers = "; ".join(
        f"confidence {row['confidence']:.2f}, accuracy {row['accuracy']:.2f} "
        f"({row['images']} images)"
        for row in rows
    )
    return Chart((left, right_panel), numbers=numbers)
