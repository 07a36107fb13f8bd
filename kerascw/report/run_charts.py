"""Interactive figures of one run: curves, confusion, calibration, error of each class."""

import numpy as np

from kerascw.report import charts
from kerascw.report.calibration import calibration_chart, trust_of
from kerascw.report.charts import Chart, Dot, Rule
from kerascw.report.curves import loss_label, run_curves
from kerascw.runs.store import Run


def run_charts(run: Run) -> dict[str, tuple[Chart, str]]:
    """Draw the charts of a kept run: by name, with what each shows."""
    metrics, reconstructs = run.metrics, run.experiment.reconstructs
    of = loss_label(reconstructs=True) if reconstructs else "loss and accuracy"
    kept = f"; epoch {metrics['kept_epoch']} is kept" if metrics["kept_epoch"] else ""
    says = f"{of} against epochs, training and validation{kept}"
    drawn = {"curves": (run_curves(run), says)}
    test = metrics.get("test")
    if test is None:
        return drawn
    if reconstructs:
        dots = [Dot(row["class"], row["loss"]) for row in test["per_class"]]
        every = Rule("x", test["loss"], f"all: {test['loss']:.4f}")
        drawn["errors_per_class"] = (
            charts.dots(dots, x=of, value="mean squared error", rule=every),
            "mean squared error per pixel of each class on the test set, "
            f"{test['loss']:.5f} over all",
        )
        return drawn
    drawn["confusion"] = (
        charts.confusion(np.array(test["confusion"]), metrics["class_names"]),
        f"confusion matrix of the test set, {test['correct']} of {test['examples']} on the "
        "diagonal",
    )
    drawn["calibration"] = calibration_chart(trust_of(run))
    return drawn
