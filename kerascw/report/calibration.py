"""How far a run's probabilities can be trusted, before and after scaling; prediction sets."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascw.errors import CallError
from kerascw.evaluation.calibration import Calibration, prediction_sets, tempered
from kerascw.evaluation.metrics import (
    calibration_error,
    confidence_bins,
    loss_and_accuracy,
    wilson_interval,
)
from kerascw.export.card import calibration_of
from kerascw.report.tables import Cell, Table, number, percent
from kerascw.runs.store import Run

COVERAGES = (0.9, 0.95, 0.99)
"""Those that a run's page checks on the test set."""


@dataclass(frozen=True)
class Trust:
    """A run's test probabilities, and what its validation set makes of them."""

    labels: np.ndarray  # int [n]
    before: np.ndarray  # float [n, classes]
    after: np.ndarray | None  # the same at the fitted temperature; None where none was fitted
    calibration: Calibration | None  # None without a validation set

    @property
    def errors(self) -> tuple[float, float | None]:
        """Return the expected calibration error before and after."""
        before = calibration_error(self.before, self.labels)
        return before, None if self.after is None else calibration_error(self.after, self.labels)


def trust_of(run: Run) -> Trust:
    """Read a classifier's test probabilities and scale them."""
    with np.load(run.folder / "predictions.npz") as kept:
        before, labels = kept["test_probabilities"], kept["test_labels"]
    found = calibration_of(run)
    temperature = None if found is None else found.temperature
    after = None if temperature is None else tempered(before, temperature)
    return Trust(labels, before, after, found)


def calibration_chart(trust: Trust) -> tuple[Any, str]:
    """Draw accuracy against confidence, and beside it the share of the images in each bin."""
    from kerascw.report import charts
    from kerascw.report.charts import Line

    ideal, reliability, shares = "perfectly calibrated", [], []
    versions = {"as trained": trust.before, "after temperature scaling": trust.after}
    drawn = {name: values for name, values in versions.items() if values is not None}
    for name, probabilities in drawn.items():
        confidence = probabilities.max(axis=1)
        right = probabilities.argmax(axis=1) == trust.labels
        which = confidence_bins(confidence)
        binned = [which == number for number in np.unique(which)]
        x = [float(confidence[own].mean()) for own in binned]
        reliability.append(Line(name, x, [float(right[own].mean()) for own in binned]))
        shares.append(Line(name, x, [float(own.mean()) for own in binned]))
    panels = [
        ([*reliability, Line(ideal, [0, 1], [0, 1])], {"y": "accuracy"}),
        (shares, {"y": "share of the images"}),
    ]
    keys = charts.series((*drawn, ideal))
    before, after = trust.errors
    says = (
        "accuracy against confidence on the test set (reliability diagram), and the distribution "
        f"of the confidences; expected calibration error {before:.4f}"
    )
    if after is not None:
        says += f", after temperature scaling {after:.4f}"
    return charts.line_panels(panels, keys, x="confidence", points=True), says


def calibration_tables(trust: Trust) -> list[Table]:
    """Return the figures before and after scaling, and how prediction sets do on the test set."""
    found, labels = trust.calibration, trust.labels
    if found is None:
        return []
    tables = []
    if trust.after is not None:
        scaling = [
            (name, number(temperature), number(calibration_error(probabilities, labels)),
             number(loss_and_accuracy(probabilities, labels)[0]))
            for name, temperature, probabilities in (
                ("as trained", 1.0, trust.before),
                ("after temperature scaling", found.temperature, trust.after),
            )
        ]  # fmt: skip
        names = ("probabilities", "temperature", "calibration error", "test loss, nats")
        tables.append(Table("calibration", names, scaling))
    rows = []
    for coverage in COVERAGES:
        try:
            sets = prediction_sets(trust.before, found.threshold(coverage))
        except CallError:  # too few validation images
            continue
        held, sizes = sets[np.arange(len(labels)), labels], sets.sum(axis=1)
        low, high = wilson_interval(int(held.sum()), len(held))
        rows.append((
            Cell(f"{100 * coverage:.0f} %", coverage), percent(float(held.mean())),
            f"{100 * low:.2f} % to {100 * high:.2f} %", number(float(sizes.mean()), ".2f"),
            percent(float((sizes == 1).mean())), number(int(sizes.max()), "d"),
        ))  # fmt: skip
    columns = ("coverage asked for", "on the test set", "95 % CI", "classes in a set, mean",
               "sets of one class", "classes, at most")  # fmt: skip
    return [*tables, Table("prediction_sets", columns, rows, text=(0, 2))]
