"""Interactive figures of one run: curves, confusion, calibration, error of each class."""

import numpy as np

from kerascw.report import charts
from kerascw.report.charts import Chart, Dot, Line, Rule
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
    with np.load(run.folder / "predictions.npz") as file:
        probabilities, labels = file["test_probabilities"], file["test_labels"]
    drawn["calibration"] = (
        calibration(probabilities, labels),
        "accuracy against confidence on the test set, and the distribution of the confidences; "
        f"expected calibration error {test['calibration_error']:.4f}",
    )
    return drawn


def calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> Chart:
    """Draw accuracy against confidence, and beside it the share of the images in each bin.

    ``probabilities`` are float ``[n, classes]``, ``labels`` int ``[n]``.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    binned = [which == number for number in np.unique(which)]
    x, accuracies, shares = (
        [float(values[own].mean()) if values is not None else float(own.mean()) for own in binned]
        for values in (confidence, right, None)
    )
    name, ideal = "test set", "perfectly calibrated"
    panels = [
        ([Line(name, x, accuracies), Line(ideal, [0, 1], [0, 1])], {"y": "accuracy"}),
        ([Line(name, x, shares)], {"y": "share of the images"}),
    ]
    return charts.line_panels(panels, charts.series((name, ideal)), x="confidence", points=True)
