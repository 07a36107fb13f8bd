"""Interactive figures of a study, and of any runs side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from kerascw.evaluation.statistics import over_seeds
from kerascw.lab.folds import by_fold_of, figures_shown
from kerascw.lab.plan import StudyResult
from kerascw.lab.published import Published
from kerascw.lab.repeats import numbered, repeat_text, repeats_of, values_of
from kerascw.lab.table import Row, unit_of
from kerascw.lab.verdict import figure_of
from kerascw.report import charts
from kerascw.report.charts import Chart, Dot, Line
from kerascw.report.run_charts import LARGEST_LOSS, TRAINING, loss_label
from kerascw.runs.store import Run

MOST_CURVES = 24
"""How many variants' curves are overlaid; more cannot be told apart."""

MOST_FOLDED = 7
"""How many variants the figure of folds tells apart: one a colour."""


def comparison(rows: Sequence[Row], name: str) -> Chart:
    """Return one figure of all variants: every seed or fold, mean with interval, published."""
    dots = []
    for row in rows:
        for cell in row.cells:
            if cell.name != name:
                continue
            low = high = None
            if cell.spread is not None and cell.spread.interval is not None:
                low, high = cell.spread.interval
                if name.endswith(("accuracy", "error")):  # a t-interval of few knows no bounds
                    low, high = max(low, 0.0), min(high, 1.0)
            mean = None if cell.spread is None else cell.spread.mean
            printed = None if cell.published is None else cell.published.best_reading
            dots.append(Dot(row.variant, mean, low, high, cell.values, printed))
    return charts.dots(dots, x=name.replace(".", " "), each=f"each {unit_of(rows)}")


def every_curve(runs: Mapping[str, Sequence[Run]]) -> dict[str, tuple[Chart, str]]:
    """Return the overlaid curves by name, with what each shows.

    Classifiers have loss and accuracy, unless they are too many to tell apart. Autoencoders have a
    loss of another kind, in a figure of its own: ``reconstruction_loss``.
    """
    classifiers, autoencoders = (
        {
            name: several
            for name, several in runs.items()
            if several[0].experiment.reconstructs == reconstructs
        }
        for reconstructs in (False, True)
    )
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
    """Return a panel for training and one for validation, a line a variant, a band over its runs.

    The band is the range of the runs, seeds or folds, which needs no assumption about two or three
    of them. Runs that diverged are left out, unless all did.
    """
    reconstructs = all(run.experiment.reconstructs for several in runs.values() for run in several)
    is_loss = figure_name == "loss"
    y = loss_label(reconstructs=reconstructs) if is_loss else figure_name
    keys, panels, said = charts.series(runs), [], []
    for part in ("validation", "train"):
        name = f"{part}_{figure_name}"
        bands = (_band(own, name, variant) for variant, own in runs.items())
        several = [line for line in bands if line is not None and np.isfinite(line.y).any()]
        if not several:
            continue
        title = TRAINING if part == "train" else part
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
    epochs = list(range(1, length + 1))
    mean = values.mean(axis=0).tolist()
    if len(values) == 1:
        return Line(label, epochs, mean)
    return Line(label, epochs, mean, values.min(axis=0).tolist(), values.max(axis=0).tolist())


def curves_with_test(runs: Sequence[Run]) -> Chart:
    """Return loss and error against epochs, a line a run, the mean test figure across."""
    keys = charts.series((TRAINING, "validation"))
    panels, said = [], []
    for name, label in (
        ("loss", "negative log-likelihood (nats)"),
        ("error", "classification error"),
    ):
        several = []
        for part, key in zip(("train", "validation"), keys, strict=True):
            for run in runs:
                values = [
                    value
                    for epoch in range(1, len(run.history) + 1)
                    if (value := figure_of(run, f"epoch_{epoch}.{part}_{name}")) is not None
                ]
                epochs = list(range(1, len(values) + 1))
                several.append(Line(key.name, epochs, values, own=repeat_text(run.experiment)))
        test = [value for run in runs if (value := figure_of(run, f"test.{name}")) is not None]
        rules = {}
        if test:
            mean = over_seeds(test).mean
            rules[f"test, {mean:.4f}"] = mean
        panels.append(
            charts.line_panel(several, y=label, keys=keys, log_y=name == "loss", rules_y=rules)
        )
        said.append(f"{name}: {charts.said_of_lines(several)}; {', '.join(rules)}")
    return Chart(tuple(panels), keys, ". ".join(said))


def every_fold(
    result: StudyResult, published: Mapping[str, Mapping[str, Published]]
) -> tuple[Chart, str] | None:
    """Return each fold's validation figures with their mean, and what the figure shows.

    None where more variants have folds than can be told apart. A variant without folds is a dashed
    line, its mean; a published mean is dotted.
    """
    folded = dict(by_fold_of(result.runs))
    names = [name for name in figures_shown(result) if name.startswith("validation.")][:2]
    if not 0 < len(folded) <= MOST_FOLDED or len(result.runs) > len(charts.COLOURS):
        return None
    keys, panels, said = charts.series(result.runs), [], []
    for name in names:
        points: list[dict[str, Any]] = []
        means: list[dict[str, Any]] = []
        for number, (variant, runs) in enumerate(result.runs.items()):
            values = values_of(runs, name)
            if not values:
                continue
            mean, by_fold = over_seeds(values).mean, folded.get(variant)
            over = numbered(len(values), repeats_of(runs).unit)
            means.append({"line": variant, "value": mean, "what": f"mean over {over}",
                          "kind": "measured" if by_fold else "without folds"})  # fmt: skip
            said.append(f"{variant} {name.replace('.', ' ')} {mean:.4f} over {over}")
            # side by side, so that variants do not hide one another
            beside = 0.12 * (number - (len(result.runs) - 1) / 2)
            points += [
                {"line": variant, "fold": fold, "place": fold + beside, "value": value}
                for fold, of_fold in (by_fold or {}).items()
                for value in values_of(of_fold, name)
            ]
            printed = published.get(variant, {}).get(name)
            if printed is not None:
                means.append({"line": variant, "value": printed.best_reading,
                              "what": "published mean", "kind": "published"})  # fmt: skip
        panels.append(_fold_panel(points, means, keys, name.replace(".", " ")))
    shown = " and ".join(name.replace(".", " ") for name in names)
    chart = Chart(tuple(panels), keys, "; ".join(said))
    return chart, f"{shown} of every fold; lines are means, dashed without folds, dotted published"


def _fold_panel(
    points: Sequence[dict[str, Any]],
    means: Sequence[dict[str, Any]],
    keys: Sequence[charts.Series],
    y: str,
) -> Any:
    last = max(point["fold"] for point in points)
    place = alt.X(
        "place:Q", title="fold", scale=alt.Scale(domain=[-0.5, last + 0.5], nice=False),
        axis=alt.Axis(tickMinStep=1, format="d", values=list(range(last + 1))),
    )  # fmt: skip
    height = alt.Y("value:Q", title=y, scale=alt.Scale(zero=False), axis=alt.Axis(format="~g"))
    colour = charts.colour_of(keys, symbol="circle")
    kinds = ["measured", "without folds", "published"]
    dash = alt.StrokeDash(
        "kind:N", scale=alt.Scale(domain=kinds, range=[[1, 0], [6, 3], [2, 2]]), legend=None
    )
    told = [alt.Tooltip("line:N", title="variant"), alt.Tooltip("value:Q", title=y, format=".5~g")]
    across = alt.Chart(charts.data_of(means)).mark_rule(strokeWidth=1.6)
    dots = alt.Chart(charts.data_of(points)).mark_point(filled=True, size=60, opacity=1)
    return alt.layer(
        across.encode(y=height, color=colour, strokeDash=dash,
                      tooltip=[*told, alt.Tooltip("what:N")]),
        dots.encode(x=place, y=height, color=colour, tooltip=[*told, alt.Tooltip("fold:Q")]),
    ).properties(height=260)  # fmt: skip
