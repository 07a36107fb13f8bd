"""Losses and accuracies against epochs: of one run, of a study's variants, of any runs."""

from collections.abc import Mapping, Sequence

import numpy as np

from kerascw.evaluation.statistics import over_seeds
from kerascw.lab.verdict import figure_in, figure_of
from kerascw.report import charts
from kerascw.report.charts import Chart, Line, Rule
from kerascw.runs.store import Run

TRAINING = "training (during the epoch)"
SPLITS = {TRAINING: "train", "validation": "validation"}

PIXEL_ERROR = "mean squared error per pixel"
OF_CLASSIFIERS = {"loss": "loss (nats)", "accuracy": "accuracy"}
OF_AUTOENCODERS = {"loss": PIXEL_ERROR}
"""Figures that are drawn of every epoch, with the titles of their axes."""

LARGEST_LOSS = 10.0
"""Where curves of losses are cut off, in nats; guessing among 100 classes costs 4.6."""

MOST_CURVES = 24
"""How many variants' curves are overlaid; more cannot be told apart."""


def curve(runs: Sequence[Run], figure: str, name: str) -> Line | None:
    """Return a figure's mean over the runs, their range as the band, for epochs that all have.

    The range needs no assumption about two or three runs. Runs that diverged are left out, unless
    all did. Epoch 0, before any training, is there where it was scored.
    """
    finished = [run for run in runs if run.metrics["status"] == "finished"] or runs
    histories = [
        {int(row["epoch"]): value for row in (run.untrained or {}, *run.history)
         if (value := figure_in(row, figure)) is not None}
        for run in finished
    ]  # fmt: skip
    epochs = sorted(set.intersection(*map(set, histories)))
    values = np.array([[history[epoch] for epoch in epochs] for history in histories])
    if not np.isfinite(values).any():
        return None
    mean = values.mean(axis=0).tolist()
    if len(values) == 1:
        return Line(name, epochs, mean)
    return Line(name, epochs, mean, np.stack([values.min(axis=0), values.max(axis=0)], 1).tolist())


def run_curves(run: Run) -> Chart:
    """Draw loss and, of a classifier, accuracy of a run, training and validation."""
    kept, panels = run.metrics["kept_epoch"], []
    for figure, y in (OF_AUTOENCODERS if run.experiment.reconstructs else OF_CLASSIFIERS).items():
        drawn = (curve([run], f"{split}_{figure}", label) for label, split in SPLITS.items())
        top = LARGEST_LOSS if figure == "loss" else None
        panels.append(([line for line in drawn if line is not None], {"y": y, "top": top}))
    rules = [] if kept is None else [Rule("x", kept, "kept")]
    there = [label for label, split in SPLITS.items() if f"{split}_loss" in run.history[0]]
    return charts.line_panels(panels, charts.series(there), rules=rules)


def every_curve(runs: Mapping[str, Sequence[Run]]) -> dict[str, tuple[Chart, str]]:
    """Draw the overlaid curves: by name, with what each shows.

    Classifiers have loss and accuracy, unless they are too many to tell apart. Autoencoders have a
    loss of another kind, in a figure of its own: ``reconstruction_loss``.
    """
    autoencoders = {name: own for name, own in runs.items() if own[0].experiment.reconstructs}
    classifiers = {name: own for name, own in runs.items() if name not in autoencoders}
    drawn = {}
    if 0 < len(classifiers) <= MOST_CURVES:
        for name, y in OF_CLASSIFIERS.items():
            says = f"{name} of every variant against epochs"
            drawn[name] = (_overlaid(classifiers, name, y), says)
    if autoencoders:
        says = f"{PIXEL_ERROR} of every autoencoder against epochs"
        drawn["reconstruction_loss"] = (_overlaid(autoencoders, "loss", PIXEL_ERROR), says)
    # where everything diverged at once there is nothing to draw
    return {name: (chart, says) for name, (chart, says) in drawn.items() if chart.panels}


def _overlaid(runs: Mapping[str, Sequence[Run]], figure: str, y: str) -> Chart:
    """Draw a panel for validation and one for training, with a line and a band for each variant."""
    is_loss = figure == "loss"
    panels = []
    for title in ("validation", TRAINING):
        drawn = (curve(own, f"{SPLITS[title]}_{figure}", name) for name, own in runs.items())
        if lines := [line for line in drawn if line is not None]:
            panels.append((lines, {"title": title}))
    return charts.line_panels(
        panels,
        charts.series(runs),
        y=y,
        log_y=is_loss,
        top=LARGEST_LOSS if is_loss else None,  # one diverging run would flatten all others
    )


def curves_with_test(runs: Sequence[Run]) -> Chart:
    """Draw loss and error against epochs, and across the mean test figure of the kept weights."""
    panels = []
    for figure, y in (("loss", "negative log-likelihood (nats)"),
                      ("error", "classification error")):  # fmt: skip
        drawn = (curve(runs, f"{split}_{figure}", label) for label, split in SPLITS.items())
        lines = [line for line in drawn if line is not None]
        test = [value for run in runs if (value := figure_of(run, f"test.{figure}")) is not None]
        mean = over_seeds(test).mean if test else None
        rules = [] if mean is None else [Rule("y", mean, f"test, {mean:.4f}")]
        panels.append((lines, {"y": y, "log_y": figure == "loss", "rules": rules}))
    return charts.line_panels(panels, charts.series(SPLITS))
