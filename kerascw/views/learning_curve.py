"""Figures, table and report of learning curves."""

import base64
import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from kerascw.evaluation.learning_curve import (
    Comparison,
    Curve,
    CurveRuns,
    Difference,
    Point,
    curves_of,
    higher_is_better,
    percent,
)
from kerascw.evaluation.power_law import FARTHEST, PowerLaw, fit_power_law
from kerascw.studies import Answer
from kerascw.views.figures import GREY, plain
from kerascw.views.report import page, replace_text
from kerascw.views.study import _DASHES, COLOURS, difference_text, spread_text

CLOSEST_TICKS = 0.11
"""Of the width: labels of fractions that are closer would run into one another."""

LOG_FROM = 4.0
"""A loss whose largest mean is so many times its smallest is drawn on a logarithmic axis."""


def learning_curve_pictures(
    runs: CurveRuns,
    figure: str = "validation.loss",
    *,
    baseline: str | None = None,
    accuracy: str | None = "test.accuracy",
) -> dict[str, tuple[Figure, str]]:
    """Return the figures by name, each with what it shows.

    Parameters
    ----------
    figure : is drawn for validation and for training, and as differences to the ``baseline``, an
        initialisation, the first if not given.
    accuracy : the figure that the power law is drawn for; None for no power law.
    """
    part, _, name = figure.partition(".")
    drawn = {}
    panels = {shown: curves_of(runs, f"{shown}.{name}") for shown in dict.fromkeys(("train", part))}
    curves = panels[part]
    if any(point.values for curve in curves.values() for point in curve.points):
        drawn[f"learning_curve_{name}"] = (
            learning_curves(panels),
            f"{name} of the kept weights on training and {part} pictures against the share of the "
            "training pictures; the line is the mean over the seeds, the band their range",
        )
    compared = comparisons(curves, baseline)
    if any(comparison.differences for comparison in compared):
        drawn[f"difference_in_{part}_{name}"] = (
            paired_differences(compared),
            f"{part} {name} less that of {compared[0].baseline.name}, paired by seed, with its "
            "95 % t-interval; filled where the interval does not hold zero",
        )
    laws = power_laws(runs, accuracy)
    if laws:
        drawn["power_law"] = (
            extrapolation(laws),
            f"{laws[0].curve.figure.replace('.', ' ')} against the number of training pictures: "
            "each seed, the fitted power law and, dashed, what it expects of more pictures, with "
            "95 % intervals as bands",
        )
    return drawn


def comparisons(curves: Mapping[str, Curve], baseline: str | None = None) -> list[Comparison]:
    """Return the comparison of every other initialisation with the baseline, or with the first."""
    first = baseline or next(iter(curves), None)
    return [Comparison(curve, curves[first])
            for name, curve in curves.items() if first is not None and name != first]  # fmt: skip


def power_laws(runs: CurveRuns, accuracy: str | None) -> list[PowerLaw]:
    """Return the power law of every initialisation that has three fractions or more."""
    if accuracy is None:
        return []
    fitted = (fit_power_law(curve) for curve in curves_of(runs, accuracy).values())
    return [law for law in fitted if law is not None]


# --- figures --------------------------------------------------------------------------------


def learning_curves(panels: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Return one panel a part of the data, with a line an initialisation and a band of its range.

    Parameters
    ----------
    panels : part, such as ``train``, to the curves of its figure.
    """
    figure = Figure(figsize=(5.2 * len(panels) + 0.6, 4.4), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    means = []
    for axes, (part, curves) in zip(grid, panels.items(), strict=True):
        points = [point for curve in curves.values() for point in curve.points]
        for number, curve in enumerate(curves.values()):
            scored = [point for point in curve.points if point.values]
            fractions = [point.fraction for point in scored]
            values = [float(np.mean(point.values)) for point in scored]
            means += values
            style = _style(number)
            axes.plot(fractions, values, marker="o", markersize=4, label=curve.name, **style)
            axes.fill_between(
                fractions,
                [min(point.values) for point in scored],
                [max(point.values) for point in scored],
                color=style["color"], alpha=0.15, lw=0,
            )  # fmt: skip
        axes.set(title="training" if part == "train" else part)
        _fraction_axis(axes, points)
        plain(axes)
    name = next(iter(next(iter(panels.values())).values())).figure.partition(".")[2]
    grid[0].set_ylabel("loss (nats)" if name == "loss" else name)
    if name == "loss" and min(means) > 0 and max(means) > LOG_FROM * min(means):
        grid[0].set_yscale("log")
        _plain_log_ticks(grid[0])
    _legend(figure, grid[0], len(next(iter(panels.values()))))
    return figure


def paired_differences(compared: Sequence[Comparison]) -> Figure:
    """Return the differences with their intervals against the fraction; filled where shown."""
    figure = Figure(figsize=(7.4, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color="black", linewidth=1)
    every = [difference for one in compared for difference in one.differences]
    _fraction_axis(axes, every)
    is_log = axes.get_xscale() == "log"
    width = _span([d.fraction for d in every], is_log)
    baseline, curve = compared[0].baseline, compared[0].curve
    for number, comparison in enumerate(compared):
        colour = COLOURS[(number + 1) % len(COLOURS)]  # as in the curves, after the baseline
        # side by side, so that the intervals of several do not hide one another
        beside = 0.012 * width * (number - (len(compared) - 1) / 2)
        for difference in comparison.differences:
            at = difference.fraction
            x = at * math.exp(beside) if is_log else at + beside
            if difference.spread.interval is not None:
                axes.plot([x, x], difference.spread.interval, color=colour, linewidth=1.6)
            axes.plot(
                x, difference.spread.mean, "o", color=colour, markersize=7,
                markerfacecolor=colour if difference.is_shown else "white",
            )  # fmt: skip
        axes.plot([], [], "o", color=colour, label=comparison.curve.name)
    axes.plot([], [], "o", color=GREY, label="shown")
    axes.plot([], [], "o", color=GREY, markerfacecolor="white", label="not shown")
    side = "above" if higher_is_better(curve.figure) else "below"
    name = curve.figure.replace(".", " ")
    axes.set(ylabel=f"{name} less that of {baseline.name}",
             title=f"{side} zero: better than {baseline.name}")  # fmt: skip
    plain(axes)
    _legend(figure, axes, len(compared) + 2)
    return figure


def extrapolation(laws: Sequence[PowerLaw]) -> Figure:
    """Return accuracies with their power laws, dashed where these go beyond what was measured."""
    figure = Figure(figsize=(7.4, 4.6), layout="constrained")
    axes = figure.subplots()
    largest = max(law.largest for law in laws)
    wanted = [law.images_for().images + law.largest for law in laws]
    reach = [1.3 * images for images in wanted if images < FARTHEST * largest]
    end = min(max([4 * largest, *reach]), FARTHEST * largest)
    for number, law in enumerate(laws):
        colour = _style(number)["color"]
        name = f"{law.curve.name}{' (poor fit)' if law.cautions else ''}"
        for point in law.curve.points:
            if point.examples:
                values = _accuracies(law.curve, point.values)
                axes.plot([point.examples] * len(values), values, ".", color=colour, alpha=0.6)
        smallest = min(p.examples for p in law.curve.points if p.values and p.examples)
        for dashes, x in (
            ("-", np.geomspace(smallest, law.largest, 60)),
            ("--", np.geomspace(law.largest, end, 60)),
        ):
            axes.plot(x, [1 - law.error(n) for n in x], dashes, color=colour,
                      label=name if dashes == "-" else None)  # fmt: skip
            bands = [law.error_interval(n) for n in x]
            if law.draws:
                low, high = np.array(bands, float).T
                axes.fill_between(x, 1 - high, 1 - low, color=colour, alpha=0.12, lw=0)
    axes.axvline(largest, color=GREY, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    _plain_log_ticks(axes, "x")
    axes.plot([], [], "--", color=GREY, label="expected of more pictures")
    axes.set(xlabel="training pictures", ylabel=_accuracy_name(laws[0].curve.figure))
    # intervals of a poor fit would squeeze the curves into a line
    every = [v for law in laws for p in law.curve.points for v in _accuracies(law.curve, p.values)]
    best = max([*every, *(1 - law.error(end) for law in laws)])
    margin = 0.08 * max(best - min(every), 1e-3)
    axes.set_ylim(max(0.0, min(every) - margin), min(1.0, best + margin))
    plain(axes)
    _legend(figure, axes, len(laws) + 1)
    return figure


def _style(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": _DASHES[number // len(COLOURS) % len(_DASHES)],
    }


def _legend(figure: Figure, axes: Axes, entries: int) -> None:
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside upper center", ncols=min(entries, 4), frameon=False, fontsize=9,
    )  # fmt: skip


def _accuracies(curve: Curve, values: Sequence[float]) -> list[float]:
    return [value if higher_is_better(curve.figure) else 1 - value for value in values]


def _accuracy_name(figure: str) -> str:
    return f"{figure.partition('.')[0]} accuracy"


def _fraction_axis(axes: Axes, points: Sequence[Point | Difference]) -> None:
    """Scale x so that the fractions lie apart, and label them in per cent and in pictures."""
    examples = {point.fraction: point.examples for point in points}
    fractions = sorted(examples)
    gaps = {}
    for is_log in (False, True):
        places = [_place(fraction, is_log) for fraction in fractions]
        span = _span(fractions, is_log)
        gaps[is_log] = min((b - a for a, b in pairwise(places)), default=1)
        gaps[is_log] /= span
    is_log = gaps[True] > gaps[False]
    if is_log:
        axes.set_xscale("log")
    shown = _far_enough(fractions, is_log)
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    labels = [
        percent(fraction) + (f"\n{examples[fraction]:,}" if examples[fraction] else "")
        for fraction in shown
    ]
    axes.set_xticks(shown, labels, fontsize=9)
    axes.set_xlabel("training pictures")


def _place(fraction: float, is_log: bool) -> float:
    return math.log(fraction) if is_log else fraction


def _span(fractions: Sequence[float], is_log: bool) -> float:
    return (_place(max(fractions), is_log) - _place(min(fractions), is_log)) or 1.0


def _far_enough(fractions: Sequence[float], is_log: bool) -> list[float]:
    """Return the fractions that are labelled: the last, and backwards what leaves room."""
    span, shown = _span(fractions, is_log), [fractions[-1]]
    for fraction in reversed(fractions[:-1]):
        if _place(shown[-1], is_log) - _place(fraction, is_log) >= CLOSEST_TICKS * span:
            shown.append(fraction)
    return shown[::-1]


def _plain_log_ticks(axes: Axes, which: str = "y") -> None:
    """Label a logarithmic axis with plain numbers, also within a decade."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


# --- table ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TableRow:
    """One fraction of one figure: a cell and a difference an initialisation."""

    fraction: str
    pictures: str
    cells: tuple[str, ...]
    differences: tuple[str, ...]


def table_rows(curves: Mapping[str, Curve], baseline: str | None = None) -> list[TableRow]:
    """Return the curves as text, a row a fraction."""
    compared = comparisons(curves, baseline)
    gaps = [{d.fraction: d.spread for d in comparison.differences} for comparison in compared]
    points = [{p.fraction: p for p in curve.points} for curve in curves.values()]
    rows = []
    for fraction in sorted({fraction for by_fraction in points for fraction in by_fraction}):
        cells = []
        examples = None
        for by_fraction in points:
            point = by_fraction.get(fraction)
            examples = examples or (point.examples if point else None)
            cells.append("-" if point is None else _cell(point))
        rows.append(
            TableRow(
                percent(fraction),
                f"{examples:,}" if examples else "-",
                tuple(cells),
                tuple(difference_text(gap.get(fraction)) for gap in gaps),
            )
        )
    return rows


def _cell(point: Point) -> str:
    seeds = len(point.seeds) + len(point.diverged)
    of = f" ({len(point.seeds)} of {seeds} seeds)" if point.diverged else ""
    return spread_text(point.spread) + of


def csv_text(tables: Mapping[str, Mapping[str, Curve]], baseline: str | None = None) -> str:
    """Return the curves of several figures as CSV, a row a figure, initialisation and fraction."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["figure", "initialisation", "fraction", "pictures", "seeds", "mean", "deviation",
         "low_95", "high_95", "values", "difference", "difference_low_95", "difference_high_95",
         "difference_shown", "diverged_seeds"]
    )  # fmt: skip
    for figure, curves in tables.items():
        gaps = {
            (comparison.curve.name, difference.fraction): difference
            for comparison in comparisons(curves, baseline)
            for difference in comparison.differences
        }
        for name, curve in curves.items():
            for point in curve.points:
                gap, spread = gaps.get((name, point.fraction)), point.spread
                low, high = (spread and spread.interval) or ("", "")
                gap_low, gap_high = (gap and gap.spread.interval) or ("", "")
                one = spread is None or spread.interval is None
                writer.writerow(
                    [figure, name, point.fraction, point.examples or "", len(point.seeds),
                     spread.mean if spread else "", "" if one or not spread else spread.deviation,
                     low, high, " ".join(repr(value) for value in point.values),
                     gap.spread.mean if gap else "", gap_low, gap_high,
                     gap.is_shown if gap else "", " ".join(map(str, point.diverged))]
                )  # fmt: skip
    return out.getvalue()


# --- report ---------------------------------------------------------------------------------


def write_learning_curve(
    folder: Path,
    *,
    title: str,
    runs: CurveRuns,
    figures: Sequence[str],
    answers: Sequence[Answer],
    cautions: Sequence[str],
    accuracy: str,
    command: str | None,
) -> Path:
    """Write figures, table.csv and report.html into ``folder``; return the page.

    Parameters
    ----------
    figures : of the tables; the first is drawn against the fraction, and as differences.
    """
    tables = {figure: curves_of(runs, figure) for figure in figures}
    drawn = learning_curve_pictures(runs, figures[0], accuracy=accuracy)
    pictures = folder / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    encoded = {}
    for name, (figure, alt) in drawn.items():
        path, temporary = pictures / f"{name}.png", pictures / f".{name}.png.writing"
        figure.savefig(temporary, dpi=110, format="png")
        temporary.replace(path)
        encoded[name] = {"alt": alt, "base64": base64.b64encode(path.read_bytes()).decode()}
    for stale in pictures.glob("*.png"):
        if stale.stem not in drawn:
            stale.unlink()
    replace_text(folder / "table.csv", csv_text(tables))
    every = [run for by_fraction in runs.values() for several in by_fraction.values()
             for run in several]  # fmt: skip
    text = page(
        "learning_curve.html",
        title=title,
        names=list(runs),
        tables={figure: table_rows(curves) for figure, curves in tables.items()},
        answers=answers,
        cautions=cautions,
        figures=encoded,
        command=command,
        seeds=len({run.experiment.seed for run in every}),
        fractions=sorted({percent(f) for by_fraction in runs.values() for f in by_fraction},
                         key=lambda text: float(text.split()[0])),
        runs=runs,
        percent_of=percent,
        data=every[0].environment["data"],
    )  # fmt: skip
    return replace_text(folder / "report.html", text)
