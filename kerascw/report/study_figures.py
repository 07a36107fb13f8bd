"""Interactive figures of a study, and of any runs side by side."""

from collections.abc import Mapping, Sequence

import numpy as np

from kerascw.evaluation.statistics import over_seeds
from kerascw.lab.repeats import repeat_text
from kerascw.lab.table import Row, unit_of
from kerascw.lab.verdict import figure_of
from kerascw.report import charts
from kerascw.report.charts import Chart, Dot, Line, Rule
from kerascw.report.run_charts import LARGEST_LOSS, TRAINING, loss_label
from kerascw.runs.store import Run

MOST_CURVES = 24
"""How many variants' curves are overlaid; more cannot be told apart."""


def comparison(rows: Sequence[Row], name: str) -> Chart:
    """Draw one figure of all variants: every seed or fold, mean with interval, published."""
    dots = []
    for row in rows:
        for cell in row.cells:
            if cell.name != name:
                continue
            mean = low = high = None
            if cell.spread is not None:
                mean = cell.spread.mean
                low, high = cell.spread.interval or (None, None)
            printed = None if cell.published is None else cell.published.best_reading
            dots.append(Dot(row.variant, mean, low, high, cell.values, printed))
    return charts.dots(dots, x=name.replace(".", " "), each=f"each {unit_of(rows)}")


def every_curve(runs: Mapping[str, Sequence[Run]]) -> dict[str, tuple[Chart, str]]:
    """Draw the overlaid curves: by name, with what each shows.

    Classifiers have loss and accuracy, unless they are too many to tell apart. Autoencoders have a
    loss of another kind, in a figure of its own: ``reconstruction_loss``.
    """
    autoencoders = {name: own for name, own in runs.items() if own[0].experiment.reconstructs}
    classifiers = {name: own for name, own in runs.items() if name not in autoencoders}
    drawn = {}
    if 0 < len(classifiers) <= MOST_CURVES:
        for name in ("loss", "accuracy"):
            says = f"{name} of every variant against epochs"
            drawn[name] = (overlaid_curves(classifiers, name), says)
    if autoencoders:
        drawn["reconstruction_loss"] = (
            overlaid_curves(autoencoders, "loss"),
            "mean squared error per pixel of every autoencoder against epochs",
        )
    # where everything diverged at once there is nothing to draw
    return {name: (chart, says) for name, (chart, says) in drawn.items() if chart.panels}


def overlaid_curves(runs: Mapping[str, Sequence[Run]], figure_name: str = "loss") -> Chart:
    """Draw a panel for training and one for validation, with a line and a band for each variant.

    The band is the range of the runs, seeds or folds, which needs no assumption about two or three
    of them. Runs that diverged are left out, unless all did.
    """
    is_loss = figure_name == "loss"
    reconstructs = all(own[0].experiment.reconstructs for own in runs.values())
    y = loss_label(reconstructs=reconstructs) if is_loss else figure_name
    keys, panels, said = charts.series(runs), [], []
    for split in ("validation", "train"):
        bands = (_band(own, f"{split}_{figure_name}", variant) for variant, own in runs.items())
        several = [line for line in bands if line is not None and np.isfinite(line.y).any()]
        if not several:
            continue
        title = TRAINING if split == "train" else split
        top = LARGEST_LOSS if is_loss else None  # one diverging run would flatten all others
        panels.append(
            charts.line_panel(several, y=y, keys=keys, title=title, log_y=is_loss, top=top)
        )
        said.append(f"{title}: {charts.said_of_lines(several)}")
    return Chart(tuple(panels), keys, ". ".join(said))


def _band(runs: Sequence[Run], name: str, label: str) -> Line | None:
    """Return the mean over the runs with their range, for the epochs that all have."""
    finished = [run for run in runs if run.metrics["status"] == "finished"] or runs
    histories = [[row[name] for row in run.history] for run in finished if name in run.history[0]]
    if not histories:
        return None
    length = min(len(history) for history in histories)
    values = np.array([history[:length] for history in histories])
    epochs = [row["epoch"] for row in finished[0].history[:length]]
    mean = values.mean(axis=0).tolist()
    if len(values) == 1:
        return Line(label, epochs, mean)
    return Line(label, epochs, mean, values.min(axis=0).tolist(), values.max(axis=0).tolist())


def curves_with_test(runs: Sequence[Run]) -> Chart:
    """Draw loss and error against epochs, a line for each run, the mean test figure across."""
    keys = charts.series((TRAINING, "validation"))
    panels, said = [], []
    for name, label in (
        ("loss", "negative log-likelihood (nats)"),
        ("error", "classification error"),
    ):
        several = []
        for split, key in zip(("train", "validation"), keys, strict=True):
            for run in runs:
                epochs = range(len(run.history) + 1)  # epoch 0 too, where it was scored
                values = [figure_of(run, f"epoch_{epoch}.{split}_{name}") for epoch in epochs]
                given = [(e, v) for e, v in zip(epochs, values, strict=True) if v is not None]
                x, y = zip(*given, strict=True) if given else ((), ())
                several.append(Line(key.name, x, y, own=repeat_text(run.experiment)))
        test = [value for run in runs if (value := figure_of(run, f"test.{name}")) is not None]
        mean = over_seeds(test).mean if test else None
        rules = () if mean is None else (Rule("y", mean, f"test, {mean:.4f}"),)
        panels.append(
            charts.line_panel(several, y=label, keys=keys, log_y=name == "loss", rules=rules)
        )
        at_test = "" if mean is None else f"; test {mean:.4f}"
        said.append(f"{name}: {charts.said_of_lines(several)}{at_test}")
    return Chart(tuple(panels), keys, ". ".join(said))
