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
from kerascw.evaluation.repeats import (
    Repeats,
    paired_values,
    repeat_text,
    repeats_of,
    values_of,
)
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
from kerascw.spec import Autoencoder
from kerascw.views.figures import loss_label, plain
from kerascw.views.folds import every_fold, figures_shown, fold_tables, folds_csv, notes
from kerascw.views.report import page, replace_text

# Okabe and Ito's colours, then the same dashed: lines stay apart for colour-blind readers
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", ":")

LARGEST_LOSS = 10.0
"""Where curves of losses are cut off, in nats; guessing among 100 classes costs 4.6."""

MOST_CURVES = 24
"""How many variants' curves are overlaid; more cannot be told apart."""


@dataclass(frozen=True)
class Cell:
    """One figure of one variant: over seeds or folds, published, and what to think of it."""

    name: str
    values: tuple[float, ...]
    spread: Spread | None  # None: no run has the figure
    published: Published | None
    verdict: Verdict | None
    difference: Spread | None  # to the baseline, paired by seed or fold


@dataclass(frozen=True)
class Row:
    """One variant of a study."""

    variant: str
    repeats: Repeats
    parameters: int
    diverged: tuple[str, ...]  # a line for every run that diverged
    cells: tuple[Cell, ...]
    reconstructs: bool = False  # an autoencoder's


def rows_of(result: StudyResult) -> list[Row]:
    """Return the study's table: every variant with its figures."""
    study, published = result.study, result.study.published()
    baseline = result.runs.get(study.baseline or "")
    rows = []
    for variant, runs in result.runs.items():
        cells, repeats = [], repeats_of(runs)
        for name in figures_shown(result):
            printed = published.get(variant, {}).get(name)
            values = values_of(runs, name)
            cells.append(
                Cell(
                    name,
                    tuple(values),
                    over_seeds(values) if values else None,
                    printed,
                    _verdict(values, printed, name, result.plan.cautions, repeats.unit),
                    _difference(runs, baseline, name) if variant != study.baseline else None,
                )
            )
        diverged = tuple(
            f"{repeat_text(run.experiment)}: {run.metrics['reason']}"
            for run in runs
            if run.metrics["status"] == "diverged"
        )
        first = runs[0]
        rows.append(
            Row(
                variant,
                repeats,
                first.metrics["parameters"],
                diverged,
                tuple(cells),
                first.experiment.reconstructs,
            )
        )
    return rows


def _verdict(
    values: Sequence[float],
    printed: Published | None,
    name: str,
    cautions: Sequence[str],
    unit: str,
) -> Verdict | None:
    if printed is None:
        return None
    own = [printed.not_comparable] if printed.not_comparable else []
    return verdict(values, printed, name, [*cautions, *own], unit)


def _difference(runs: Sequence[Run], baseline: Sequence[Run] | None, name: str) -> Spread | None:
    """Return the paired difference over the seeds or folds that both have; None without any."""
    if not baseline:
        return None
    if name.endswith("loss") and len({_kind_of_loss(run) for run in [*runs, *baseline]}) > 1:
        return None
    pairs = paired_values(runs, baseline, name)
    return paired_difference(*zip(*pairs, strict=True)) if pairs else None


def _kind_of_loss(run: Run) -> str:
    """Return what the run's loss is one of: only losses of one kind are compared."""
    model = run.experiment.model
    return model.kind if isinstance(model, Autoencoder) else model.output


# --- text -----------------------------------------------------------------------------------


def unit_of(rows: Sequence[Row], plural: str = "") -> str:
    """Return what the figures of all rows are over: ``seed``, ``fold`` or ``seed or fold``."""
    return " or ".join(sorted({row.repeats.unit + plural for row in rows}, reverse=True))


def measured_over(rows: Sequence[Row]) -> str | None:
    """Return over what all rows with folds are, for the column's header; None where they differ."""
    over = {str(row.repeats) for row in rows}
    return over.pop() if len(over) == 1 and rows[0].repeats.folds else None


def row_name(row: Row, rows: Sequence[Row]) -> str:
    """Return the variant, with what it is over where some have folds and others not."""
    if measured_over(rows) or not any(each.repeats.folds for each in rows):
        return row.variant
    return f"{row.variant} ({row.repeats})"


def spread_text(spread: Spread | None) -> str:
    """Return ``mean ± half-width of the 95 % interval``, or a single figure."""
    if spread is None:
        return "-"
    if spread.interval is None:
        return f"{spread.mean:.4f}"
    return f"{spread.mean:.4f} ± {(spread.interval[1] - spread.interval[0]) / 2:.4f}"


def difference_text(difference: Spread | None, unit: str = "seed") -> str:
    """Return the paired difference with its interval, and whether it is shown."""
    if difference is None:
        return ""
    if difference.interval is None:
        return f"{difference.mean:+.4f} (one {unit})"
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
    """Return the table in long form: a line for every variant and figure.

    Where any variant has folds, ``folds`` counts the values and ``seeds`` those of each.
    """
    folded = any(row.repeats.folds for row in rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["variant", "parameters", "figure", *(["folds"] if folded else []), "seeds",
         "mean", "deviation", "low_95", "high_95", "values",
         "published_reported", "published_corrected", "verdict", "verdict_reason",
         "difference", "difference_low_95", "difference_high_95", "difference_shown", "diverged"]
    )  # fmt: skip
    for row in rows:
        for cell in row.cells:
            spread, difference, printed = cell.spread, cell.difference, cell.published
            low, high = spread.interval if spread and spread.interval else ("", "")
            d_low, d_high = difference.interval if difference and difference.interval else ("", "")
            of_folds, n = row.repeats.folds is not None, len(cell.values)
            over = [n if of_folds else "", row.repeats.seeds if of_folds else n]
            writer.writerow(
                [row.variant, row.parameters, cell.name, *over[not folded :],
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
    """Return one line a variant for training and validation, with a band over the runs.

    The band is the range of the runs, seeds or folds, which needs no assumption about two or three
    of them. Runs that diverged are left out, unless all did.
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
    reconstructs = all(run.experiment.reconstructs for several in runs.values() for run in several)
    grid[0].set_ylabel(
        loss_label(reconstructs=reconstructs) if figure_name == "loss" else figure_name
    )
    figure.legend(
        *grid[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8
    )
    return figure


def every_curve(runs: Mapping[str, Sequence[Run]]) -> dict[str, tuple[Figure, str]]:
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
            alt = f"{name} of every variant against epochs"
            drawn[name] = (overlaid_curves(classifiers, name), alt)
    if autoencoders:
        drawn["reconstruction_loss"] = (
            overlaid_curves(autoencoders, "loss"),
            "mean squared error per pixel of every autoencoder against epochs",
        )
    return drawn


def _band(axes: Axes, runs: Sequence[Run], name: str, number: int, label: str) -> None:
    finished = [run for run in runs if run.metrics["status"] == "finished"] or runs
    histories = [[row[name] for row in run.history] for run in finished if name in run.history[0]]
    if not histories:
        return
    length = min(len(history) for history in histories)
    values = np.array([history[:length] for history in histories])
    epochs = np.arange(1, length + 1)
    style: dict[str, Any] = {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": _DASHES[number // len(COLOURS) % len(_DASHES)],
    }
    axes.plot(epochs, values.mean(axis=0), label=label, marker="." if length < 3 else None, **style)
    if len(values) > 1:
        axes.fill_between(
            epochs, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.15, lw=0
        )


def curves_with_test(runs: Sequence[Run]) -> Figure:
    """Return loss and error against epochs, a line a run, the mean test figure dashed."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name, label in zip(
        figure.subplots(1, 2),
        ("loss", "error"),
        ("negative log-likelihood (nats)", "classification error"),
        strict=True,
    ):
        for part, colour in (("train", COLOURS[0]), ("validation", COLOURS[1])):
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
    """Return one figure of all variants: every seed or fold, mean with interval, published."""
    shown = [(row.variant, cell) for row in rows for cell in row.cells if cell.name == name]
    figure = Figure(figsize=(8, 1.2 + 0.34 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for at, (_, cell) in enumerate(shown):
        if cell.spread is not None:
            axes.plot(cell.values, [at] * len(cell.values), "|", color="#767676", markersize=9)
            low, high = cell.spread.interval or (cell.spread.mean, cell.spread.mean)
            if name.endswith("accuracy"):  # a t-interval of few seeds knows no bounds
                low, high = max(low, 0.0), min(high, 1.0)
            axes.plot([low, high], [at, at], color=COLOURS[0], linewidth=2)
            axes.plot(cell.spread.mean, at, "o", color=COLOURS[0])
        if cell.published is not None:
            axes.plot(cell.published.best_reading, at, "D", color=COLOURS[1], markersize=5)
    for marker, colour, label in (
        ("o", COLOURS[0], "mean, 95 % t-interval"),
        ("|", "#767676", f"each {unit_of(rows)}"),
        ("D", COLOURS[1], "published (corrected where it needs it)"),
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
    """Write figures, tables and report.html of a study into ``folder``; return the page."""
    rows, study = rows_of(result), result.study
    drawn: dict[str, tuple[Figure, str]] = {}
    # an autoencoder has no place among classifiers
    alike = [row for row in rows if not row.reconstructs] or rows
    compared = "test.error" if "test.error" in study.figures else "test.accuracy"
    if alike[0].reconstructs:
        compared = "test.loss"
    if any(row.repeats.folds for row in alike):  # what is cross-validated is the held-out fold
        compared = compared.replace("test.", "validation.")
    if any(cell.name == compared for row in alike for cell in row.cells):
        drawn["comparison"] = (
            comparison(alike, compared),
            f"{compared.replace('.', ' ')} of every variant over {unit_of(alike, 's')}, with the "
            "published one",
        )
    if (folds := every_fold(result, study.published(), COLOURS)) is not None:
        drawn["folds"] = folds
    drawn |= every_curve(result.runs)
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
    (folder / "folds.csv").unlink(missing_ok=True)
    if any(row.repeats.folds for row in rows):
        (folder / "folds.csv").write_text(folds_csv(result), encoding="utf-8")
    text = page(
        "study.html",
        result=result,
        study=study,
        rows=rows,
        answers=study.answers(result.runs),
        refused=study.refused(),
        cautions=result.plan.cautions,
        over=measured_over(rows),
        repeats=max((row.repeats for row in rows), key=lambda repeats: repeats.count),
        unit=unit_of(rows),
        units=unit_of(rows, "s"),
        folds=fold_tables(result),
        notes=notes(result),
        row_name=row_name,
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
