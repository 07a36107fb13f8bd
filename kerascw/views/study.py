"""Tables, figures and the report of a study, and of any runs side by side."""

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerascw.engine.store import Run
from kerascw.engine.study import StudyResult
from kerascw.evaluation.statistics import (
    Spread,
    Verdict,
    figure_of,
    is_shown,
    over_seeds,
    paired_difference,
    verdict,
)
from kerascw.published import Published
from kerascw.views.figures import plain
from kerascw.views.report import page, replace_text

# Okabe and Ito's colours, then the same dashed: lines stay apart for colour-blind readers
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", ":")

LARGEST_LOSS = 10.0
"""Where curves of losses are cut off, in nats; guessing among 100 classes costs 4.6."""


@dataclass(frozen=True)
class Cell:
    """One figure of one variant: measured over seeds, published, and what to think of it."""

    name: str
    values: tuple[float, ...]
    spread: Spread | None  # None: no run has the figure
    published: Published | None
    verdict: Verdict | None
    difference: Spread | None  # to the baseline, paired by seed


@dataclass(frozen=True)
class Row:
    """One variant of a study."""

    variant: str
    seeds: int
    parameters: int
    diverged: tuple[str, ...]  # a line for every seed that diverged
    cells: tuple[Cell, ...]


def rows_of(result: StudyResult) -> list[Row]:
    """Return the study's table: every variant with its figures."""
    study, published = result.study, result.study.published()
    baseline = result.runs.get(study.baseline or "")
    rows = []
    for variant, runs in result.runs.items():
        cells = []
        for name in study.figures:
            printed = published.get(variant, {}).get(name)
            values = [v for run in runs if (v := figure_of(run, name)) is not None]
            cells.append(
                Cell(
                    name,
                    tuple(values),
                    over_seeds(values) if values else None,
                    printed,
                    _verdict(values, printed, name, result.plan.cautions),
                    _difference(runs, baseline, name) if variant != study.baseline else None,
                )
            )
        diverged = tuple(
            f"seed {run.experiment.seed}: {run.metrics['reason']}"
            for run in runs
            if run.metrics["status"] == "diverged"
        )
        rows.append(Row(variant, len(runs), runs[0].metrics["parameters"], diverged, tuple(cells)))
    return rows


def _verdict(
    values: Sequence[float], printed: Published | None, name: str, cautions: Sequence[str]
) -> Verdict | None:
    if printed is None:
        return None
    own = [printed.not_comparable] if printed.not_comparable else []
    return verdict(values, printed, name, [*cautions, *own])


def _difference(runs: Sequence[Run], baseline: Sequence[Run] | None, name: str) -> Spread | None:
    """Return the paired difference over the seeds that both have; None without any."""
    if not baseline:
        return None
    if (
        name.endswith("loss")
        and len({run.experiment.model.output for run in [*runs, *baseline]}) > 1
    ):
        return None  # softmax and sigmoid have different losses
    theirs = {run.experiment.seed: figure_of(run, name) for run in baseline}
    pairs = [
        (mine, other)
        for run in runs
        if (mine := figure_of(run, name)) is not None
        and (other := theirs.get(run.experiment.seed)) is not None
    ]
    return paired_difference(*zip(*pairs, strict=True)) if pairs else None


# --- text -----------------------------------------------------------------------------------


def spread_text(spread: Spread | None) -> str:
    """Return ``mean ± half-width of the 95 % interval``, or the mean of a single seed."""
    if spread is None:
        return "-"
    if spread.interval is None:
        return f"{spread.mean:.4f}"
    return f"{spread.mean:.4f} ± {(spread.interval[1] - spread.interval[0]) / 2:.4f}"


def difference_text(difference: Spread | None) -> str:
    """Return the paired difference with its interval, and whether it is shown."""
    if difference is None:
        return ""
    if difference.interval is None:
        return f"{difference.mean:+.4f} (one seed)"
    low, high = difference.interval
    mark = "" if is_shown(difference) else ", not shown"
    return f"{difference.mean:+.4f} ({low:+.4f} to {high:+.4f}{mark})"


def published_text(published: Published | None) -> str:
    """Return the published figure as reported and, where they differ, as corrected."""
    if published is None:
        return ""
    reported = f"{published.reported:.{published.digits}f}"
    if published.corrected is None:
        return reported
    return f"{reported}, corrected {published.corrected:.4f}"


def csv_text(rows: Sequence[Row]) -> str:
    """Return the table in long form: a line for every variant and figure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["variant", "parameters", "figure", "seeds", "mean", "deviation", "low_95", "high_95",
         "values", "published_reported", "published_corrected", "verdict", "verdict_reason",
         "difference", "difference_low_95", "difference_high_95", "difference_shown", "diverged"]
    )  # fmt: skip
    for row in rows:
        for cell in row.cells:
            spread, difference, printed = cell.spread, cell.difference, cell.published
            low, high = spread.interval if spread and spread.interval else ("", "")
            d_low, d_high = difference.interval if difference and difference.interval else ("", "")
            writer.writerow(
                [row.variant, row.parameters, cell.name, len(cell.values),
                 spread.mean if spread else "",
                 spread.deviation if spread and spread.n > 1 else "", low, high,
                 " ".join(str(value) for value in cell.values),
                 printed.reported if printed else "",
                 "" if printed is None or printed.corrected is None else printed.corrected,
                 cell.verdict.word if cell.verdict else "",
                 cell.verdict.reason if cell.verdict else "",
                 difference.mean if difference else "", d_low, d_high,
                 is_shown(difference) if difference else "", "; ".join(row.diverged)]
            )  # fmt: skip
    return out.getvalue()


# --- figures --------------------------------------------------------------------------------


def overlaid_curves(runs: Mapping[str, Sequence[Run]], figure_name: str = "loss") -> Figure:
    """Return one line a variant for training and validation, with a band over the seeds.

    The band is the range of the seeds, which needs no assumption about two or three of them. Seeds
    that diverged are left out, unless all did.
    """
    parts = [
        part
        for part in ("train", "validation")
        if any(
            f"{part}_{figure_name}" in run.history[0]
            for several in runs.values()
            for run in several
        )
    ]  # fmt: skip
    figure = Figure(figsize=(5.2 * len(parts) + 2.2, 4.2), layout="constrained")
    grid = figure.subplots(1, len(parts), squeeze=False, sharey=True)[0]
    for axes, part in zip(grid, parts, strict=True):
        for number, (variant, several) in enumerate(runs.items()):
            _band(axes, several, f"{part}_{figure_name}", number, variant)
        label = "training (while it learns)" if part == "train" else part
        axes.set(xlabel="epoch", title=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        # what diverged at once has no value that a logarithm could show
        if figure_name == "loss" and any(
            (np.isfinite(y := np.asarray(line.get_ydata())) & (y > 0)).any()
            for line in axes.get_lines()
        ):
            axes.set_yscale("log")
            if axes.get_ylim()[1] > LARGEST_LOSS:  # one diverging run would flatten all others
                axes.set_ylim(top=LARGEST_LOSS)
        plain(axes)
    grid[0].set_ylabel("loss (nats)" if figure_name == "loss" else figure_name)
    figure.legend(
        *grid[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8
    )
    return figure


def _band(axes: Axes, runs: Sequence[Run], name: str, number: int, label: str) -> None:
    finished = [run for run in runs if run.metrics["status"] == "finished"] or runs
    histories = [[row[name] for row in run.history] for run in finished if name in run.history[0]]
    if not histories:
        return
    length = min(len(history) for history in histories)
    values = np.array([history[:length] for history in histories])
    epochs = np.arange(1, length + 1)
    style: dict[str, Any] = {
        "color": _COLOURS[number % len(_COLOURS)],
        "linestyle": _DASHES[number // len(_COLOURS) % len(_DASHES)],
    }
    axes.plot(epochs, values.mean(axis=0), label=label, marker="." if length < 3 else None, **style)
    if len(values) > 1:
        axes.fill_between(
            epochs, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.15, lw=0
        )


def curves_with_test(runs: Sequence[Run]) -> Figure:
    """Return loss and error against epochs, a line a seed, the mean test figure dashed."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name, label in zip(
        figure.subplots(1, 2),
        ("loss", "error"),
        ("negative log-likelihood (nats)", "classification error"),
        strict=True,
    ):
        for part, colour in (("train", _COLOURS[0]), ("validation", _COLOURS[1])):
            for number, run in enumerate(runs):
                values = [
                    value
                    for epoch in range(1, len(run.history) + 1)
                    if (value := figure_of(run, f"epoch_{epoch}.{part}_{name}")) is not None
                ]
                axes.plot(
                    range(1, len(values) + 1), values, color=colour, linewidth=1, alpha=0.7,
                    label=("training" if part == "train" else part) if number == 0 else None,
                )  # fmt: skip
        test = [value for run in runs if (value := figure_of(run, f"test.{name}")) is not None]
        if test:
            mean = over_seeds(test).mean
            axes.axhline(
                mean, color="black", linestyle="--", linewidth=1, label=f"test, {mean:.4f}"
            )
        axes.set(xlabel="epoch", ylabel=label)
        if name == "loss":
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        plain(axes)
        axes.legend(frameon=False)
    return figure


def comparison(rows: Sequence[Row], name: str) -> Figure:
    """Return one figure of all variants: every seed, mean with interval, published beside."""
    shown = [(row.variant, cell) for row in rows for cell in row.cells if cell.name == name]
    figure = Figure(figsize=(8, 1.2 + 0.34 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for at, (_, cell) in enumerate(shown):
        if cell.spread is not None:
            axes.plot(cell.values, [at] * len(cell.values), "|", color="#767676", markersize=9)
            low, high = cell.spread.interval or (cell.spread.mean, cell.spread.mean)
            if name.endswith("accuracy"):  # a t-interval of few seeds knows no bounds
                low, high = max(low, 0.0), min(high, 1.0)
            axes.plot([low, high], [at, at], color=_COLOURS[0], linewidth=2)
            axes.plot(cell.spread.mean, at, "o", color=_COLOURS[0])
        if cell.published is not None:
            axes.plot(cell.published.best_reading, at, "D", color=_COLOURS[1], markersize=5)
    for marker, colour, label in (
        ("o", _COLOURS[0], "mean, 95 % t-interval"),
        ("|", "#767676", "each seed"),
        ("D", _COLOURS[1], "published (corrected where it needs it)"),
    ):
        axes.plot([], [], marker, color=colour, label=label)
    axes.set_yticks(range(len(shown)), [variant for variant, _ in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)  # the first on top
    axes.set(xlabel=name.replace(".", " "))
    plain(axes, "x")
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return figure


# --- report ---------------------------------------------------------------------------------


def write_study(
    result: StudyResult, folder: Path, command: str | None, options: Any = None
) -> Path:
    """Write figures, table.csv and report.html of a study into ``folder``; return the page."""
    rows, study = rows_of(result), result.study
    compared = "test.error" if "test.error" in study.figures else "test.accuracy"
    drawn: dict[str, tuple[Figure, str]] = {
        "comparison": (
            comparison(rows, compared),
            f"{compared.replace('.', ' ')} of every variant over the seeds, with the published one",
        ),
        "loss": (overlaid_curves(result.runs, "loss"), "loss of every variant against epochs"),
        "accuracy": (
            overlaid_curves(result.runs, "accuracy"),
            "accuracy of every variant against epochs",
        ),
    }
    if study.pictures is not None:
        drawn |= study.pictures(result.runs, options)
    pictures = folder / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    for stale in pictures.glob("*.png"):
        stale.unlink()
    encoded = {}
    for name, (figure, alt) in drawn.items():
        path = pictures / f"{name}.png"
        figure.savefig(path, dpi=110)
        encoded[name] = {"alt": alt, "base64": base64.b64encode(path.read_bytes()).decode()}
    (folder / "table.csv").write_text(csv_text(rows), encoding="utf-8")
    text = page(
        "study.html",
        result=result,
        study=study,
        rows=rows,
        answers=study.answers(result.runs),
        refused=study.refused(),
        cautions=result.plan.cautions,
        seeds=max(row.seeds for row in rows),
        figures=encoded,
        command=command or result.plan.command,
        wheres=sorted({c.published.where for row in rows for c in row.cells if c.published}),
        whys=sorted({c.published.why for row in rows for c in row.cells if c.published} - {""}),
        data=result.every_run[0].environment["data"],
        spread_text=spread_text,
        difference_text=difference_text,
        published_text=published_text,
    )
    return replace_text(folder / "report.html", text)
