"""Interactive figures of one run: curves, confusion, calibration, error of each class."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from kerascw.data import Splits
from kerascw.report import charts
from kerascw.report.charts import BLUE, Chart, Line
from kerascw.runs.store import Run

TRAINING = "training (while it learns)"

LARGEST_LOSS = 10.0
"""Where curves of losses are cut off, in nats; guessing among 100 classes costs 4.6."""


def run_charts(run: Run) -> dict[str, tuple[Chart, str]]:
    """Return the charts of a run by name, with what each shows, from what is kept of it."""
    metrics = run.metrics
    reconstructs = run.experiment.reconstructs
    of = "mean squared error per pixel" if reconstructs else "loss and accuracy"
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
                rule=test["loss"],
                rule_said=f"all: {test['loss']:.4f}",
            ),
            "mean squared error per pixel of each class on the test set, "
            f"{test['loss']:.5f} over all",
        )
        return drawn
    drawn["confusion"] = (
        charts.heat(np.array(test["confusion"]), metrics["class_names"]),
        f"confusion matrix of the test set, {test['correct']} of {test['examples']} on the "
        "diagonal",
    )
    with np.load(run.folder / "predictions.npz") as file:
        probabilities, labels = file["test_probabilities"], file["test_labels"]
    drawn["calibration"] = (
        calibration(probabilities, labels),
        "accuracy against confidence on the test set, and how the confidences are spread; "
        f"expected calibration error {test['calibration_error']:.4f}",
    )
    return drawn


def curves(
    history: Sequence[Mapping[str, float]],
    kept_epoch: int | None,
    untrained: Mapping[str, float] | None = None,
) -> Chart:
    """Return loss and, of a classifier, accuracy against epochs, training and validation.

    ``untrained`` has the validation figures of epoch 0, before any training.
    """
    figures = [name for name in ("loss", "accuracy") if f"train_{name}" in history[0]]
    labels = {"accuracy": "accuracy", "loss": loss_label(reconstructs="accuracy" not in figures)}
    panels, said = [], []
    parts = [
        (label, part)
        for label, part in ((TRAINING, "train"), ("validation", "validation"))
        if f"{part}_loss" in history[0]
    ]
    keys = charts.series(label for label, _ in parts)
    for figure in figures:
        several = []
        for label, part in parts:
            name = f"{part}_{figure}"
            rows = [row for row in (untrained or {}, *history) if name in row]
            several.append(Line(label, [row["epoch"] for row in rows], [row[name] for row in rows]))
        panels.append(
            charts.line_panel(
                several,
                y=labels[figure],
                keys=keys,
                top=LARGEST_LOSS if figure == "loss" else None,
                rules_x={} if kept_epoch is None else {"kept": kept_epoch},
            )
        )
        said.append(f"{figure}: {charts.said_of_lines(several)}")
    return Chart(tuple(panels), keys, "; ".join(said))


def samples_per_class(splits: Splits) -> Chart:
    """Return how many pictures each part has of each class."""
    own = splits.train_labels
    training = f"training ({len(own):,}"
    if splits.also:
        training += f", and {splits.also:,} of other classes"
    parts = {f"{training})": own}
    if splits.validation is not None:
        parts[f"validation ({len(splits.validation):,})"] = splits.validation.labels
    parts[f"test ({len(splits.test):,})"] = splits.test.labels
    names = splits.class_names
    counts = {
        part: np.bincount(labels, minlength=len(names)).tolist() for part, labels in parts.items()
    }
    return charts.groups(names, counts, y="pictures")


def loss_label(*, reconstructs: bool) -> str:
    """Return what stands at an axis of losses."""
    return "mean squared error per pixel" if reconstructs else "loss (nats)"


def calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> Chart:
    """Return accuracy against confidence, and beside it the share of examples in each bin.

    Parameters
    ----------
    probabilities : float ``[n, classes]``.
    labels : int ``[n]``.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, bins - 1)
    rows: list[dict[str, Any]] = [
        {
            "confidence": round(float(confidence[which == b].mean()), 5),
            "accuracy": round(float(right[which == b].mean()), 5),
            "share": round(float((which == b).mean()), 6),
            "pictures": int((which == b).sum()),
            "from": round(float(edges[b]), 5),
            "to": round(float(edges[b + 1]), 5),
        }
        for b in np.unique(which)
    ]
    told = [alt.Tooltip(f"{name}:Q", format=form) for name, form in
            (("from", ".2f"), ("to", ".2f"), ("confidence", ".4f"), ("accuracy", ".4f"),
             ("pictures", ","))]  # fmt: skip
    base = alt.Chart(alt.InlineData(values=rows))
    unit, fifths = alt.Scale(domain=[0, 1]), alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    ends = alt.InlineData(values=[{"at": 0, "same": 0}, {"at": 1, "same": 1}])
    perfect = alt.Chart(ends).mark_line(color="#767676", strokeDash=[3, 3])
    place = alt.X("confidence:Q", title="confidence", scale=unit, axis=fifths)
    height = alt.Y("accuracy:Q", title="accuracy", scale=unit)
    upper = alt.layer(
        perfect.encode(x=alt.X("at:Q", title="confidence", scale=unit, axis=fifths),
                       y=alt.Y("same:Q", title="accuracy", scale=unit)),
        base.mark_line(color=BLUE).encode(x=place, y=height),
        base.mark_point(color=BLUE, filled=True, size=60, opacity=1).encode(
            x=place, y=height, tooltip=told
        ),
    ).properties(title="dotted: perfectly calibrated", height=260)  # fmt: skip
    lower = base.mark_bar(color=BLUE).encode(
        x=alt.X("from:Q", title="confidence", scale=unit, axis=fifths, bin="binned"), x2="to:Q",
        y=alt.Y("share:Q", title="share of the pictures", axis=alt.Axis(format="%")), tooltip=told,
    ).properties(title="where the confidences lie", height=260)  # fmt: skip
    numbers = "; ".join(
        f"confidence {row['confidence']:.2f}, accuracy {row['accuracy']:.2f} "
        f"({row['pictures']} pictures)"
        for row in rows
    )
    return Chart((upper, lower), numbers=numbers)
