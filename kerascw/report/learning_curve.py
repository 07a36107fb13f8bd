"""Figures of learning curves: losses, paired differences, and the fitted power law."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from kerascw.lab.curves import (
    ACCURACY,
    Comparison,
    Curve,
    CurveFigures,
    CurveRuns,
    comparisons,
    curves_of,
    higher_is_better,
)
from kerascw.lab.learning_answers import power_law_cautions
from kerascw.lab.power_law import FARTHEST, PowerLaw, fit_power_law
from kerascw.report import charts
from kerascw.report.charts import Chart, Line
from kerascw.report.page import plainly

LOG_FROM = 4.0
"""A loss whose largest mean is this many times its smallest is drawn on a logarithmic axis."""

IMAGES = "training images"
_ACROSS: dict[str, Any] = {"x": IMAGES, "log_x": True}

LEARNING_CURVE = "learning_curve"
"""The name of the figure that leads a learning curve's page."""


def learning_curve_pictures(
    runs: CurveRuns, figures: CurveFigures | None = None
) -> dict[str, tuple[Chart, str]]:
    """Return the figures by name, each with a sentence that says what it shows."""
    figures = figures or CurveFigures()
    drawn = {}
    panels = {
        "training": curves_of(runs, figures.training),
        "validation": curves_of(runs, figures.validation),
    }
    curves, compared_by = panels["validation"], plainly(figures.validation)
    if any(point.values for curve in curves.values() for point in curve.points):
        drawn[LEARNING_CURVE] = (
            learning_curves(panels),
            f"{plainly(figures.training)} and {compared_by} against the number of training "
            "images; the line is the mean over the seeds, the band their range",
        )
    compared = comparisons(curves) if curves else []
    if any(one.differences for one in compared):
        drawn["paired_difference"] = (
            paired_differences(compared),
            f"{compared_by} minus that of {compared[0].baseline.name}, paired by seed; the band "
            "is the 95 % confidence interval, and where it excludes zero the difference is "
            "significant",
        )
    fitted = (fit_power_law(curve) for curve in curves_of(runs, ACCURACY).values())
    if laws := [law for law in fitted if law is not None]:
        drawn["power_law"] = (
            extrapolation(laws),
            f"{plainly(ACCURACY)} of each seed, the fitted power law and what it expects "
            "of more images, with its 95 % confidence interval; these intervals are rough: on "
            "simulated curves they covered the truth in 72 to 98 of 100 cases",
        )
    return drawn


def learning_curves(panels: Mapping[str, Mapping[str, Curve]]) -> Chart:
    """Draw a panel for each part of the data, such as ``training``: a line an initialisation."""
    keys = charts.series(next(iter(panels.values())))
    drawn = []
    for title, curves in panels.items():
        lines = [_line(curve) for curve in curves.values()]
        means = [mean for line in lines for mean in line.y]
        name = next(iter(curves.values())).figure
        is_log = name.endswith("loss") and min(means) > 0 and max(means) > LOG_FROM * min(means)
        drawn.append((lines, {"y": plainly(name), "title": title, "log_y": is_log}))
    return charts.line_panels(drawn, keys, points=True, **_ACROSS)


def _line(curve: Curve) -> Line:
    """Return the mean over the seeds, with their range as the band."""
    points = [(p.examples, float(np.mean(p.values)), p.values) for p in curve.points if p.values]
    images, means, values = zip(*points, strict=True) if points else ((), (), ())
    return Line(curve.name, images, means, [(min(own), max(own)) for own in values])


def paired_differences(compared: Sequence[Comparison]) -> Chart:
    """Draw the mean differences with their intervals against the number of images."""
    baseline = compared[0].baseline
    # the colours of the curves, where the first is the baseline's
    keys = charts.series([baseline.name, *(one.curve.name for one in compared)])[1:]
    lines = []
    for one in compared:
        spreads = [difference.spread for difference in one.differences]
        band = [spread.interval or (spread.mean, spread.mean) for spread in spreads]
        images = [difference.examples for difference in one.differences]
        lines.append(Line(one.curve.name, images, [spread.mean for spread in spreads], band))
    side = "above" if higher_is_better(baseline.figure) else "below"
    y = f"{plainly(baseline.figure)} minus that of {baseline.name}"
    better = charts.Rule("y", 0.0, f"{side}: better than {baseline.name}")
    panel = charts.line_panel(lines, keys, y=y, rules=[better], points=True, **_ACROSS)
    return Chart((panel,), keys, charts.said_of_lines(lines, IMAGES), file_width=460)


def extrapolation(laws: Sequence[PowerLaw]) -> Chart:
    """Draw the accuracy of each seed, and the fitted laws to beyond what was measured."""
    largest = max(law.largest for law in laws)
    wanted = [law.images_for().images + law.largest for law in laws]
    reach = [1.3 * images for images in wanted if images < FARTHEST * largest]
    end = min(max([4 * largest, *reach]), FARTHEST * largest)
    names = [f"{law.curve.name}{' (poor fit)' if power_law_cautions(law) else ''}" for law in laws]
    measured: list[dict[str, Any]] = [
        {"line": name, "x": images, "y": charts.short(1 - error)}
        for name, law in zip(names, laws, strict=True)
        for images, errors in law.measured
        for error in errors
    ]
    lowest = min(row["y"] for row in measured)
    lines = [_law_line(name, law, end, lowest) for name, law in zip(names, laws, strict=True)]
    keys = charts.series(names)
    y = plainly(ACCURACY)
    end_of_data = charts.Rule("x", largest, f"measured to {largest:,}")
    panel = charts.line_panel(lines, keys, y=y, points=False, rules=[end_of_data], **_ACROSS)
    seeds = alt.Chart(charts.data_of(measured)).mark_point(filled=True, size=32, opacity=0.75)
    told = [alt.Tooltip("line:N"), alt.Tooltip("x:Q", title=IMAGES, format=","),
            alt.Tooltip("y:Q", title=y, format=".4f")]  # fmt: skip
    dots = seeds.encode(x="x:Q", y="y:Q", color=charts.colour_of(keys), tooltip=told)
    numbers = charts.said_of_lines(lines, IMAGES)
    return Chart((alt.layer(panel, dots),), keys, numbers, file_width=460)


def _law_line(name: str, law: PowerLaw, end: float, lowest: float) -> Line:
    """Return the law from the fewest images measured to ``end``; the band is its interval.

    ``lowest`` is the lowest accuracy measured: the band of a poor fit, which may reach far below,
    is cut off a little under it.
    """
    images = np.geomspace(min(n for n, _ in law.measured), end, 60)
    accuracies = [1 - law.error(n) for n in images]
    errors = [law.error_interval(n) or (law.error(n), law.error(n)) for n in images]
    bottom = max(0.0, lowest - 0.1 * (1 - lowest))
    band = np.clip([(1 - high, 1 - low) for low, high in errors], bottom, 1).tolist()
    return Line(name, images.tolist(), accuracies, band)
