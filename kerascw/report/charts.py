"""Interactive figures: from plain numbers to Vega-Lite, by Altair.

One :class:`Chart` is one figure: the browser draws it on a page, with lines that are switched on
and off and values on hover; :mod:`kerascw.report.figure_files` saves it as PNG and SVG. A panel is
one Vega-Lite view, so that it fits the width that it is given; panels stand side by side where
there is room. The name that is switched is the field ``line`` of the rows. Colours are told apart
by colour-blind readers, and dashes or shapes repeat them. Text, axes and neutral marks are
``currentColor``: the page's ink, light or dark.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from kerascw.report.chart_parts import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    HEAT,
    HEIGHT,
    INK,
    ORANGE,
    SKY,
    Chart,
    Dot,
    Line,
    Rule,
    Series,
    colour_of,
    data_of,
    legend_of,
    series,
    short,
)

# --- figures --------------------------------------------------------------------------------


def lines(several: Sequence[Line], *, x: str = "epoch", **panel: Any) -> Chart:
    """Draw one panel of lines that can be switched; ``panel`` is as in :func:`line_panel`."""
    keys = series(line.name for line in several)
    return Chart((line_panel(several, keys=keys, x=x, **panel),), keys, said_of_lines(several, x))


def line_panel(
    several: Sequence[Line],
    *,
    y: str,
    x: str = "epoch",
    keys: Sequence[Series] | None = None,
    title: str = "",
    log_x: bool = False,
    log_y: bool = False,
    top: float | None = None,
    rules: Sequence[Rule] = (),
    points: bool | None = None,
) -> Any:
    """Draw a panel of lines with bands along whole numbers; hover shows the nearest value.

    ``keys`` are those of all lines of a figure with more panels than this. ``top`` is where y is
    cut off, if a line goes beyond. ``points`` marks every value; by default if no line has three.
    """
    keys = keys or series(line.name for line in several)
    rows = [row for line in several for row in _rows(line, log_y=log_y)]
    reach = [row["x"] for row in rows]
    kind: dict[str, Any] = {"type": "log"} if log_x else {"zero": False}
    x_scale = alt.Scale(**kind, nice=False, padding=8)  # Vega would round a log axis to decades
    if len(set(reach)) == 1:
        x_scale = alt.Scale(domain=[reach[0] - 1, reach[0] + 1])
    beyond = top is not None and any(row.get("high", row["y"]) > top for row in rows)
    y_kind: dict[str, Any] = {"type": "log", "nice": False} if log_y else {"zero": False}
    y_scale = alt.Scale(**y_kind, **({"domainMax": top} if beyond else {}))
    ticks = alt.Axis(format="~g", **({} if log_x else {"values": _whole(reach)}))
    place = alt.X("x:Q", title=x, scale=x_scale, axis=ticks)
    height = alt.Y("y:Q", title=y, scale=y_scale, axis=alt.Axis(format="~g", tickCount=6))
    colour = colour_of(keys)
    dash_scale = alt.Scale(domain=[k.name for k in keys], range=[list(k.dash) for k in keys])
    dash = alt.StrokeDash("line:N", scale=dash_scale, legend=legend_of("stroke", len(keys)))
    base = alt.Chart(data_of(rows))
    layers = []
    banded = any("low" in row for row in rows)
    if banded:
        low = alt.Y("low:Q", title=y, scale=y_scale)
        band = base.mark_area(opacity=0.16, clip=True)
        layers.append(band.encode(x=place, y=low, y2="high:Q", color=colour))
    apart = {"detail": alt.Detail("own:N")} if any("own" in row for row in rows) else {}
    mark = base.mark_line(strokeWidth=2, clip=True)
    layers.append(mark.encode(x=place, y=height, color=colour, strokeDash=dash, **apart))
    # a name of its own: Altair numbers parameters by what else the process has drawn
    near = alt.selection_point(
        name="near_" + "".join(c if c.isalnum() else "_" for c in title or y), nearest=True,
        on="pointerover", clear="pointerout", encodings=["x", "y"], empty=False,
    )  # fmt: skip
    told = [_word("line", "line"), *([_word("own", "of")] if apart else []),
            alt.Tooltip("x:Q", title=x), _told("y", y),
            *([_told("low", "from"), _told("high", "to")] if banded else [])]  # fmt: skip
    if points is None:  # a line of one point or two is hardly seen
        points = all(len(line.x) < 3 for line in several)
    marks = base.mark_point(filled=True, size=60, clip=True).encode(
        x=place, y=height, color=colour, tooltip=told,
        opacity=alt.when(near).then(alt.value(1)).otherwise(alt.value(0.9 if points else 0)),
    )  # fmt: skip
    layers.append(marks.add_params(near))
    for rule in rules:
        left = rule.axis == "x" and rule.value > (min(reach) + max(reach)) / 2
        layers += _rule(rule, left=left)  # the label goes where there is room
    panel = alt.layer(*layers).properties(height=HEIGHT)
    return panel.properties(title=title) if title else panel


def dots(
    several: Sequence[Dot],
    *,
    x: str,
    value: str = "mean, 95 % CI",
    each: str = "each seed",
    numbers: str | None = None,
    zero: bool = False,
) -> Chart:
    """Draw a row for each name: its values, their mean with its interval, the published figure.

    ``value`` and ``each`` name two of the three kinds of marks, which can be switched.
    """
    published = "published (corrected where needed)"
    names = [dot.name for dot in several]
    rows = []
    for dot in several:
        rows += [{"name": dot.name, "line": each, "value": short(one)} for one in dot.each]
        if dot.value is not None:
            rows.append({
                "name": dot.name, "line": value, "value": short(dot.value),
                "low": short(dot.value if dot.low is None else dot.low),
                "high": short(dot.value if dot.high is None else dot.high),
            })  # fmt: skip
        if dot.published is not None:
            rows.append({"name": dot.name, "line": published, "value": short(dot.published)})
    kinds = (Series(value, BLUE, shape="circle"), Series(each, GREY, shape="tick"),
             Series(published, ORANGE, shape="diamond"))  # fmt: skip
    keys = tuple(key for key in kinds if any(row["line"] == key.name for row in rows))
    row = _down(names)
    place = alt.X("value:Q", title=x, scale=alt.Scale(zero=zero), axis=_numbers(8))
    colour, base = colour_of(keys, symbol="circle"), alt.Chart(data_of(rows))
    told = [alt.Tooltip("name:N", title="of"), alt.Tooltip("line:N", title="what"),
            _told("value", x)]  # fmt: skip
    interval = [*told, _told("low", "from"), _told("high", "to")]
    marks = {
        each: (base.mark_tick(thickness=1.5, size=13), told),
        value: (base.mark_point(filled=True, size=75, opacity=1), interval),
        published: (base.mark_point(filled=True, size=85, shape="diamond", opacity=1), told),
    }
    layers: list[Any] = []
    for kind, (mark, told_of_it) in marks.items():
        if all(key.name != kind for key in keys):
            continue  # a layer without a row would leave the axis without an end
        of_kind = {"x": place, "y": row, "color": colour, "tooltip": told_of_it}
        if kind == value:
            span = base.mark_rule(strokeWidth=2.5).encode(
                **of_kind | {"x": alt.X("low:Q", title=x)}, x2="high:Q"
            )
            layers.append(span.transform_filter(alt.datum.line == kind))
        layers.append(mark.encode(**of_kind).transform_filter(alt.datum.line == kind))
    panel = alt.layer(*layers).properties(height=_tall(several))
    said = said_of_dots(several) if numbers is None else numbers
    return Chart((panel,), keys, said, widest=860, file_width=520)


def bars(
    names: Sequence[str],
    values: Sequence[float | None],
    *,
    x: str,
    each: Sequence[Sequence[float]] | None = None,
    rule: Rule | None = None,
) -> Chart:
    """Draw a bar for each name, and as ticks the seeds' values that it is the mean of, if given."""
    rows: list[dict[str, Any]] = [
        {"name": name, "value": short(value)}
        for name, value in zip(names, values, strict=True)
        if value is not None and np.isfinite(value)
    ]
    row = _down(names)
    told = [alt.Tooltip("name:N", title="of"), _told("value", x)]
    place = alt.X("value:Q", title=x, axis=_numbers(6))
    shade = {"color": BLUE, "opacity": 0.55 if each is not None else 1}
    layers = [alt.Chart(data_of(rows)).mark_bar(**shade).encode(x=place, y=row, tooltip=told)]
    if each is not None:
        ticks = [
            {"name": name, "value": short(one), "what": "each seed"}
            for name, several in zip(names, each, strict=True)
            for one in several
        ]
        mark = alt.Chart(data_of(ticks)).mark_tick(thickness=1.5, size=13, color=INK)
        layers.append(mark.encode(x=place, y=row, tooltip=[*told, alt.Tooltip("what:N")]))
    layers += [] if rule is None else _rule(rule)
    said = ", ".join(f"{row['name']} {row['value']:.4g}" for row in rows)
    panel = alt.layer(*layers).properties(height=_tall(names))
    return Chart((panel,), numbers=said, widest=860, file_width=520)


def groups(names: Sequence[str], values: Mapping[str, Sequence[float]], *, y: str) -> Chart:
    """Draw bars side by side: for every name one of each group, which can be switched."""
    rows = [
        {"name": name, "line": group, "value": short(value)}
        for group, several in values.items()
        for name, value in zip(names, several, strict=True)
    ]
    keys = series(values, "square")
    across = alt.X("name:N", title=None, sort=list(names), axis=alt.Axis(labelAngle=-30))
    panel = (
        alt.Chart(data_of(rows))
        .mark_bar()
        .encode(
            x=across,
            xOffset=alt.XOffset("line:N", sort=[key.name for key in keys]),
            y=alt.Y("value:Q", title=y, axis=alt.Axis(format="~s", tickCount=6)),
            color=colour_of(keys, "square"),
            tooltip=[alt.Tooltip("name:N", title="of"), alt.Tooltip("line:N", title="in"),
                     alt.Tooltip("value:Q", title=y, format=",")],
        )
    )  # fmt: skip
    said = "; ".join(
        f"{group}: {', '.join(f'{n} {v:,}' for n, v in zip(names, several, strict=True))}"
        for group, several in values.items()
    )
    return Chart((panel.properties(height=200),), keys, said, file_width=max(360, 60 * len(names)))


def confusion(matrix: np.ndarray, names: Sequence[str]) -> Chart:
    """Draw a confusion matrix, int ``[n, n]`` with a row for each true class.

    Cells are shaded by the share of the row; counts and shares are written where there is room.
    """
    n, shares = len(names), matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    texts = np.where(matrix > 0, matrix.astype(str), "")
    panel = heat_panel(shares, names, names, texts, row="truth", column="prediction",
                       shares=shares, title="")  # fmt: skip
    right = ", ".join(f"{names[k]} {matrix[k, k]} of {matrix[k].sum()}" for k in range(n))
    said = f"on the diagonal {right}"
    return Chart((panel,), numbers=said, widest=210 + 66 * n, file_width=min(60 * n, 900))


def heat_panel(
    shades: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    texts: np.ndarray,
    *,
    row: str,
    column: str,
    shares: np.ndarray | None = None,
    title: str = "",
) -> Any:
    """Draw a matrix of shaded cells with a text in each; all arrays are ``[rows, columns]``.

    ``shades`` are from 0, the page's own paper, to 1; NaN is left out. In a large matrix cells
    without a text are left out. ``shares`` are written in per cent below the texts.
    """
    n = len(columns)
    cells = [
        {
            "row": rows[at], "column": columns[to], "text": str(texts[at, to]),
            # the square root lets a share of one per cent be seen beside one of ninety
            "shade": short(float(np.sqrt(max(float(shades[at, to]), 0.0)))),
            **({} if shares is None else {"share": short(float(shares[at, to]))}),
        }
        for at, to in np.ndindex(shades.shape)
        if not np.isnan(shades[at, to]) and (texts[at, to] or n <= 20)
    ]  # fmt: skip
    bare: dict[str, Any] = {"grid": False, "ticks": False, "domain": False}
    slanted = alt.Axis(labelAngle=-45, labelOverlap=n > 20, **bare)
    across = alt.X("column:N", sort=list(columns), title=column, axis=slanted,
                   scale=alt.Scale(domain=list(columns)))  # fmt: skip
    down = alt.Y("row:N", sort=list(rows), title=row, axis=alt.Axis(labelLimit=200, **bare),
                 scale=alt.Scale(domain=list(rows)))  # fmt: skip
    told = [alt.Tooltip("row:N", title=row), alt.Tooltip("column:N", title=column),
            alt.Tooltip("text:N", title="value")]  # fmt: skip
    if shares is not None:
        told.append(alt.Tooltip("share:Q", title="share of the row", format=".2%"))
    base = alt.Chart(data_of(cells)).encode(x=across, y=down, tooltip=told)
    # opacity, not a scale of colours: zero is the page's own paper, light or dark
    opacity = alt.Opacity("shade:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None)
    squares = base.mark_rect(color=HEAT, stroke="#808080", strokeOpacity=0.25)
    ink = alt.when(alt.datum.shade > 0.72).then(alt.value("white")).otherwise(alt.value(INK))
    roomy = "false" if shares is None else f"width / {n} >= 46"
    written = base.transform_filter("datum.text != ''")
    layers = [
        squares.encode(opacity=opacity),
        written.mark_text(
            fontSize=alt.ExprRef(f"max(6, min(12, width / {n} / 2.9))"),
            dy=alt.ExprRef(f"{roomy} ? -6 : 0"),
            opacity=alt.ExprRef(f"width / {n} >= 17 ? 1 : 0"),
        ).encode(text="text:N", color=ink),
    ]
    if shares is not None:
        below = written.mark_text(fontSize=9, dy=8, opacity=alt.ExprRef(f"{roomy} ? 0.9 : 0"))
        layers.append(below.encode(text=alt.Text("share:Q", format=".1%"), color=ink))
    step = 36 if len(rows) <= 20 else max(9, 720 // len(rows))
    panel = alt.layer(*layers).properties(height=step * len(rows))
    return panel.properties(title=title) if title else panel


# --- rows and rules -------------------------------------------------------------------


def _rows(line: Line, *, log_y: bool) -> list[dict[str, Any]]:
    rows = []
    for at, (x, y) in enumerate(zip(line.x, line.y, strict=True)):
        if not np.isfinite(y) or (log_y and y <= 0):
            continue
        row: dict[str, Any] = {"line": line.name, "x": short(x), "y": short(y)}
        if line.own:
            row["own"] = line.own
        if line.low is not None and line.high is not None:
            low, high = line.low[at], line.high[at]
            if np.isfinite(low) and np.isfinite(high) and (low > 0 or not log_y):
                row |= {"low": short(low), "high": short(high)}
        rows.append(row)
    return rows


def _whole(reach: Sequence[float]) -> list[int]:
    """Return about eight whole numbers between the ends: Vega would write 1, 2, 2, 3.

    >>> _whole([1, 3]), _whole([1, 40])
    ([1, 2, 3], [1, 5, 10, 15, 20, 25, 30, 35, 40])
    """
    if not reach:
        return []
    first, last = round(min(reach)), round(max(reach))
    step = next(
        step * power for power in (10**k for k in range(9)) for step in (1, 2, 5)
        if (last - first) / (step * power) <= 8
    )  # fmt: skip
    return sorted({first, *range(first - first % step + step, last + 1, step)})


def _rule(rule: Rule, *, left: bool = False) -> list[Any]:
    """Draw a dotted line across the panel, and its label."""
    data = data_of([{rule.axis: short(rule.value)}])
    mark = alt.Chart(data).mark_rule(color=GREY, strokeDash=[3, 3], strokeWidth=1.3)
    if rule.axis == "x":
        layers = [mark.encode(x=alt.X("x:Q"))]
        place = {"x": alt.X("x:Q"), "y": alt.value(8)}
        align, dx, dy = ("right", -4, 0) if left else ("left", 4, 0)
    else:
        layers = [mark.encode(y=alt.Y("y:Q"))]
        place = {"x": alt.value("width"), "y": alt.Y("y:Q")}
        align, dx, dy = "right", -2, -6
    if rule.text:
        text = alt.Chart(data).mark_text(color=INK, fontSize=11, align=align, dx=dx, dy=dy)
        layers.append(text.encode(text=alt.value(rule.text), **place))
    return layers


def _told(name: str, title: str) -> alt.Tooltip:
    return alt.Tooltip(f"{name}:Q", title=title, format=".5~g")


def _word(name: str, title: str) -> alt.Tooltip:
    """Return the entry of a word beside the nearest point.

    Without a format Vega-Lite 6 looks for it in the wrong place there, and shows "undefined".
    """
    return alt.Tooltip(f"{name}:N", title=title, format="word", formatType="trim")


def _numbers(ticks: int) -> alt.Axis:
    return alt.Axis(format="~g", tickCount=ticks)


def _down(names: Sequence[str]) -> alt.Y:
    """Return an axis down the panel, with a row for each name."""
    axis = alt.Axis(title=None, grid=False, ticks=False, domain=False, labelLimit=260)
    return alt.Y("name:N", sort=list(names), axis=axis, scale=alt.Scale(domain=list(names)))


def _tall(rows: Sequence[Any]) -> int:
    """Return the height in pixels of a panel with a row for each name."""
    # Vega-Lite's own steps would do, but it warns of them where the width is the page's
    return 24 * max(len(rows), 2)


# --- numbers in words -----------------------------------------------------------------------


def said_of_lines(several: Sequence[Line], x: str = "epoch") -> str:
    """Return where every line begins and ends, for readers who cannot see it."""
    said = []
    for line in several:
        there = [(a, b) for a, b in zip(line.x, line.y, strict=True) if np.isfinite(b)]
        if there:
            (first, begin), (last, end) = there[0], there[-1]
            name = f"{line.name}, {line.own}" if line.own else line.name
            word = f"{name} {begin:.4g} at {x} {first:g}"
            said.append(word if last == first else f"{word}, {end:.4g} at {x} {last:g}")
    return "; ".join(said)


def said_of_dots(several: Sequence[Dot]) -> str:
    """Return every figure with its interval and the published one."""
    said = []
    for dot in several:
        words = f"{dot.name} -" if dot.value is None else f"{dot.name} {dot.value:.4f}"
        if dot.low is not None and dot.high is not None:
            words += f" ({dot.low:.4f} to {dot.high:.4f})"
        if dot.published is not None:
            words += f", published {dot.published:.4g}"
        said.append(words)
    return "; ".join(said)


__all__ = [
    "BLUE", "COLOURS", "GREEN", "GREY", "HEIGHT", "INK", "ORANGE", "SKY", "Chart", "Dot", "Line",
    "Rule", "Series", "bars", "colour_of", "confusion", "data_of", "dots", "groups", "heat_panel",
    "line_panel", "lines", "said_of_dots", "said_of_lines", "series", "short",
]  # fmt: skip
