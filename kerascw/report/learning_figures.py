"""Interactive figures of learning curves: lines with bands, paired differences, power laws."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import altair as alt
import numpy as np

from kerascw.lab.curves import (
    Comparison,
    Curve,
    Difference,
    Point,
    higher_is_better,
    percent,
)
from kerascw.lab.power_law import FARTHEST, PowerLaw
from kerascw.report import charts
from kerascw.report.chart_parts import GREY, INK, Chart, Series, short

CLOSEST_TICKS = 0.13
"""Of the width: labels of fractions that are closer would run into one another."""

LOG_FROM = 4.0
"""A loss whose largest mean is so many times its smallest is drawn on a logarithmic axis."""

SHOWN, NOT_SHOWN = "shown", "not shown"
EXPECTED = "expected of more pictures"


def learning_curves(panels: Mapping[str, Mapping[str, Curve]]) -> Chart:
    """Return one panel a part of the data, with a line an initialisation and a band of its range.

    Parameters
    ----------
    panels : part, such as ``train``, to the curves of its figure.
    """
    first = next(iter(panels.values()))
    name = next(iter(first.values())).figure.partition(".")[2]
    keys = charts.series(first)
    every = [point for curves in panels.values() for c in curves.values() for point in c.points]
    means = [point.spread.mean for point in every if point.spread is not None]
    ends = [end for point in every if point.values for end in (min(point.values),
                                                               max(point.values))]  # fmt: skip
    is_log = name == "loss" and min(means) > 0 and max(means) > LOG_FROM * min(means)
    # one scale for both, so that training and validation are seen beside each other
    scale = _scale_of(ends, is_log=is_log and min(ends) > 0)
    drawn, said = [], []
    for part, curves in panels.items():
        title = "training" if part == "train" else part
        rows = [row for curve in curves.values() for row in _curve_rows(curve)]
        place = _along([point for curve in curves.values() for point in curve.points])
        heights = {
            field: _height(field, "loss (nats)" if name == "loss" else name, scale)
            for field in ("value", "low")
        }
        drawn.append(_curve_panel(rows, place, heights, keys, title))
        said.append(f"{title}: {_said_of_curves(curves)}")
    return Chart(tuple(drawn), keys, ". ".join(said))


def _curve_rows(curve: Curve) -> list[dict[str, Any]]:
    return [
        {"line": curve.name, "fraction": point.fraction, "pictures": point.examples,
         "value": short(point.spread.mean), "low": short(min(point.values)),
         "high": short(max(point.values)), "seeds": len(point.values)}
        for point in curve.points if point.spread is not None
    ]  # fmt: skip


def _curve_panel(
    rows: Sequence[dict[str, Any]],
    place: alt.X,
    heights: Mapping[str, alt.Y],
    keys: Sequence[Series],
    title: str,
) -> Any:
    base, colour = alt.Chart(charts.data_of(rows)), charts.colour_of(keys)
    near = alt.selection_point(
        name=f"near_{title}", nearest=True, on="pointerover", clear="pointerout",
        encodings=["x", "y"], empty=False,
    )  # fmt: skip
    told = [
        alt.Tooltip("line:N", title="initial weights"),
        alt.Tooltip("fraction:Q", title="of the pictures", format=".3~%"),
        alt.Tooltip("pictures:Q", format=","), alt.Tooltip("value:Q", title="mean", format=".5~g"),
        alt.Tooltip("low:Q", title="from", format=".5~g"),
        alt.Tooltip("high:Q", title="to", format=".5~g"), alt.Tooltip("seeds:Q"),
    ]  # fmt: skip
    dash = alt.StrokeDash("line:N", scale=alt.Scale(domain=[key.name for key in keys],
                          range=[list(key.dash) for key in keys]), legend=None)  # fmt: skip
    size = alt.when(near).then(alt.value(110)).otherwise(alt.value(45))
    return alt.layer(
        base.mark_area(opacity=0.16).encode(x=place, y=heights["low"], y2="high:Q", color=colour),
        base.mark_line(strokeWidth=2).encode(
            x=place, y=heights["value"], color=colour, strokeDash=dash
        ),
        base.mark_point(filled=True, opacity=1)
        .encode(x=place, y=heights["value"], color=colour, size=size, tooltip=told)
        .add_params(near),
    ).properties(height=charts.HEIGHT, title=title)


def _said_of_curves(curves: Mapping[str, Curve]) -> str:
    said = []
    for curve in curves.values():
        points = [point for point in curve.points if point.spread is not None]
        said += [f"{curve.name} " + ", ".join(
            f"{point.spread.mean:.4g} at {percent(point.fraction)}"
            for point in (points[0], points[-1])[: len(points)] if point.spread
        )] if points else []  # fmt: skip
    return "; ".join(said)


def paired_differences(compared: Sequence[Comparison]) -> Chart:
    """Return the differences with their intervals against the fraction; filled where shown."""
    every = [difference for one in compared for difference in one.differences]
    baseline, figure = compared[0].baseline, compared[0].curve.figure
    # the colours of the curves, where the first is the baseline's
    keys = [Series(one.curve.name, key.colour, shape="circle")
            for one, key in zip(compared, charts.series([baseline.name, *(
                one.curve.name for one in compared)])[1:], strict=True)]  # fmt: skip
    is_log = _is_log(every)
    width = _span([d.fraction for d in every], is_log)
    rows, said = [], []
    for number, comparison in enumerate(compared):
        # side by side, so that the intervals of several do not hide one another
        beside = 0.012 * width * (number - (len(compared) - 1) / 2)
        for difference in comparison.differences:
            at, spread = difference.fraction, difference.spread
            low, high = spread.interval or (spread.mean, spread.mean)
            is_shown = SHOWN if difference.is_shown else NOT_SHOWN
            rows.append({
                "line": comparison.curve.name, "fraction": at, "pictures": difference.examples,
                "place": short(at * math.exp(beside) if is_log else at + beside),
                "value": short(spread.mean), "low": short(low), "high": short(high),
                "is": is_shown,
            })  # fmt: skip
            said.append(f"{comparison.curve.name} {spread.mean:+.4g} ({low:+.4g} to {high:+.4g}, "
                        f"{is_shown}) at {percent(at)}")  # fmt: skip
    side = "above" if higher_is_better(figure) else "below"
    title = f"{figure.replace('.', ' ')} less that of {baseline.name}"
    told = [
        alt.Tooltip("line:N", title="initial weights"),
        alt.Tooltip("fraction:Q", title="of the pictures", format=".3~%"),
        alt.Tooltip("pictures:Q", format=","),
        alt.Tooltip("value:Q", title="difference", format="+.4~g"),
        alt.Tooltip("low:Q", title="from", format="+.4~g"),
        alt.Tooltip("high:Q", title="to", format="+.4~g"),
        alt.Tooltip("is:N", title="difference is"),
    ]  # fmt: skip
    place = _along(every, "place")
    low_end, height = (_height(field, title, form="+~g") for field in ("low", "value"))
    base, colour = alt.Chart(charts.data_of(rows)), charts.colour_of(keys, symbol="circle")
    points = base.mark_point(size=75, opacity=1, strokeWidth=2)
    filled = alt.when(alt.datum["is"] == SHOWN).then(alt.value(1)).otherwise(alt.value(0))
    panel = alt.layer(
        alt.Chart(charts.data_of([{"zero": 0}])).mark_rule(color=INK).encode(y="zero:Q"),
        base.mark_rule(strokeWidth=2).encode(
            x=place, y=low_end, y2="high:Q", color=colour, tooltip=told
        ),
        points.encode(
            x=place, y=height, color=colour, tooltip=told, fillOpacity=filled,
            fill=alt.Fill("line:N", legend=None, scale=alt.Scale(
                domain=[key.name for key in keys], range=[key.colour for key in keys])),
        ),
    ).properties(height=300)  # fmt: skip
    panel = panel.properties(title=f"{side} zero: better than {baseline.name}; filled: shown")
    return Chart((panel,), tuple(keys), "; ".join(said), file_width=460)


def extrapolation(laws: Sequence[PowerLaw]) -> Chart:
    """Return accuracies with their power laws, dashed where these go beyond what was measured."""
    largest = max(law.largest for law in laws)
    wanted = [law.images_for().images + law.largest for law in laws]
    reach = [1.3 * images for images in wanted if images < FARTHEST * largest]
    end = min(max([4 * largest, *reach]), FARTHEST * largest)
    keys, said = [], []
    measured: list[dict[str, Any]] = []
    fitted: list[dict[str, Any]] = []
    for law, key in zip(laws, charts.series(law.curve.name for law in laws), strict=True):
        name = f"{law.curve.name}{' (poor fit)' if law.cautions else ''}"
        keys.append(Series(name, key.colour, key.dash))
        measured += [
            {"line": name, "pictures": point.examples, "accuracy": short(value), "seed": seed}
            for point in law.curve.points if point.examples
            for seed, value in zip(point.seeds, _accuracies(law.curve, point.values), strict=True)
        ]  # fmt: skip
        smallest = min(p.examples for p in law.curve.points if p.values and p.examples)
        for kind, x in (("fitted", np.geomspace(smallest, law.largest, 40)),
                        (EXPECTED, np.geomspace(law.largest, end, 40))):  # fmt: skip
            for n in x:
                row = {"line": name, "kind": kind, "pictures": short(n),
                       "accuracy": short(1 - law.error(n))}  # fmt: skip
                if (band := law.error_interval(n)) is not None:
                    row |= {"low": short(1 - band[1]), "high": short(1 - band[0])}
                fitted.append(row)
        said.append(f"{name} {1 - law.error(law.largest):.4f} fitted at {law.largest:,} pictures, "
                    f"{1 - law.error(end):.4f} expected at {round(end):,}")  # fmt: skip
    # intervals of a poor fit would squeeze the curves into a line
    every = [row["accuracy"] for row in measured]
    best = max([*every, *(1 - law.error(end) for law in laws)])
    margin = 0.08 * max(best - min(every), 1e-3)
    bounds = [short(max(0.0, min(every) - margin)), short(min(1.0, best + margin))]
    layers = _law_layers(measured, fitted, keys, _accuracy_name(laws[0].curve.figure), bounds)
    rule = alt.Chart(charts.data_of([{"pictures": largest, "text": f"measured to {largest:,}"}]))
    panel = alt.layer(
        *layers,
        rule.mark_rule(color=GREY, strokeDash=[3, 3]).encode(x="pictures:Q"),
        rule.mark_text(color=INK, fontSize=11, align="left", dx=5).encode(
            x="pictures:Q", y=alt.value(charts.HEIGHT + 30), text="text:N"
        ),
    ).properties(height=charts.HEIGHT + 40)
    return Chart((panel,), tuple(keys), "; ".join(said), file_width=460)


def _law_layers(
    measured: Sequence[dict[str, Any]],
    fitted: Sequence[dict[str, Any]],
    keys: Sequence[Series],
    title: str,
    bounds: Sequence[float],
) -> list[Any]:
    """Return the measured accuracies, the laws, and their bands."""
    place = alt.X(
        "pictures:Q", title="training pictures", scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(format=",~r", labelOverlap=True, grid=False),
    )  # fmt: skip
    scale = alt.Scale(domain=list(bounds), nice=False)
    height = _height("accuracy", title, scale)
    colour = charts.colour_of(keys)
    base = alt.Chart(charts.data_of(fitted))
    told = [alt.Tooltip("line:N", title="initial weights"),
            alt.Tooltip("pictures:Q", format=",.0f"),
            alt.Tooltip("accuracy:Q", title=title, format=".4f")]  # fmt: skip
    interval = [alt.Tooltip("low:Q", title="from", format=".4f"),
                alt.Tooltip("high:Q", title="to", format=".4f")]  # fmt: skip
    near = alt.selection_point(
        name="near", nearest=True, on="pointerover", clear="pointerout", encodings=["x", "y"],
        empty=False,
    )  # fmt: skip
    dash = alt.StrokeDash(
        "kind:N", legend=alt.Legend(title=None),
        scale=alt.Scale(domain=["fitted", EXPECTED], range=[[1, 0], [6, 3]]),
    )  # fmt: skip
    layers = [
        base.mark_line(strokeWidth=2, clip=True).encode(
            x=place, y=height, color=colour, strokeDash=dash
        ),
        base.mark_point(filled=True, size=60, clip=True)
        .encode(
            x=place, y=height, color=colour,
            opacity=alt.when(near).then(alt.value(1)).otherwise(alt.value(0)),
            tooltip=[*told, alt.Tooltip("kind:N"), *interval],
        )
        .add_params(near),
        alt.Chart(charts.data_of(measured)).mark_point(filled=True, size=32, opacity=0.75).encode(
            x=place, y=height, color=colour, tooltip=[*told, alt.Tooltip("seed:N")]
        ),
    ]  # fmt: skip
    if any("low" in row for row in fitted):
        # whole curves as one band, or there would be a gap between the fitted and the expected
        band = base.mark_area(opacity=0.13, clip=True)
        layers.insert(
            0, band.encode(x=place, y=_height("low", title, scale), y2="high:Q", color=colour)
        )
    return layers


# --- parts ----------------------------------------------------------------------------------


def _height(name: str, title: str, scale: alt.Scale | None = None, form: str = "~g") -> alt.Y:
    """Return a field along y; those of one panel share the title and the scale."""
    given = {} if scale is None else {"scale": scale}
    return alt.Y(f"{name}:Q", title=title, axis=alt.Axis(format=form, tickCount=6), **given)


def _accuracies(curve: Curve, values: Sequence[float]) -> list[float]:
    return [value if higher_is_better(curve.figure) else 1 - value for value in values]


def _accuracy_name(figure: str) -> str:
    return f"{figure.partition('.')[0]} accuracy"


def _scale_of(seen: Sequence[float], *, is_log: bool) -> alt.Scale:
    """Return a scale that holds what is seen, with a margin."""
    low, high = min(seen), max(seen)
    if is_log:
        margin = (high / low) ** 0.05
        return alt.Scale(type="log", domain=[short(low / margin), short(high * margin)],
                         nice=False)  # fmt: skip
    margin = 0.05 * ((high - low) or 0.1)
    return alt.Scale(domain=[short(low - margin), short(high + margin)], nice=False)


def _along(points: Sequence[Point | Difference], name: str = "fraction") -> alt.X:
    """Return x with the fractions apart, labelled in per cent and in pictures."""
    examples = {point.fraction: point.examples for point in points}
    fractions, is_log = sorted(examples), _is_log(points)
    shown = _far_enough(fractions, is_log)
    texts = {f: [percent(f), *([f"{examples[f]:,}"] if examples[f] else [])] for f in shown}
    # a tick's own value may differ from ours in the last bit
    chosen = "".join(
        f"abs(datum.value - {fraction!r}) < 1e-9 ? {_vega(text)} : "
        for fraction, text in texts.items()
    )
    if len(fractions) == 1:
        domain = [0.9 * fractions[0], 1.1 * fractions[0]]
    elif is_log:
        margin = (fractions[-1] / fractions[0]) ** 0.04
        domain = [fractions[0] / margin, fractions[-1] * margin]
    else:
        margin = 0.04 * (fractions[-1] - fractions[0])
        domain = [fractions[0] - margin, fractions[-1] + margin]
    return alt.X(
        f"{name}:Q", title="training pictures",
        scale=alt.Scale(type="log" if is_log else "linear", domain=domain, nice=False),
        axis=alt.Axis(values=shown, labelExpr=f"{chosen}''", labelOverlap=False, grid=False,
                      labelFontSize=11),
    )  # fmt: skip


def _vega(lines: Sequence[str]) -> str:
    """Return lines of text as Vega's expressions have them."""
    return "[" + ", ".join(f"'{line}'" for line in lines) + "]"


def _is_log(points: Sequence[Point | Difference]) -> bool:
    """Return whether a logarithmic axis sets the fractions farther apart."""
    fractions = sorted({point.fraction for point in points})
    gaps = {}
    for is_log in (False, True):
        places = [_place(fraction, is_log) for fraction in fractions]
        nearest = min((b - a for a, b in pairwise(places)), default=1)
        gaps[is_log] = nearest / _span(fractions, is_log)
    return gaps[True] > gaps[False]


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
