"""Interactive figures: from plain numbers to Vega-Lite, by Altair.

One :class:`Chart` is one figure. On a page (:mod:`kerascw.report.page`) it is drawn by the browser:
its lines are switched on and off, and pointing reads a value off. The same chart is saved as PNG
and SVG (:mod:`kerascw.report.figure_files`).

How to use it::

    from kerascw.report import charts

    chart = charts.Chart(
        panels=(charts.line_panel([charts.Line("first", x=[1, 2, 3], y=[0.9, 0.5, 0.4])],
                                  x="epoch", y="loss (nats)", log_y=True),),
        series=charts.series(["first"]),
        numbers="first 0.9 at epoch 1, 0.4 at epoch 3",
    )
    drawn = {"loss": (chart, "loss against epochs")}   # name: figure and what it shows
    figures = figure_files.write_figures(drawn, folder / "figures")   # PNG, SVG, and for the page

or, in one step, :func:`lines`, :func:`dots`, :func:`bars`, :func:`heat`, :func:`scatter`.

A panel is one Vega-Lite view, so that it can fit the width that it is given; panels stand beside
one another where there is room. Data is a list of rows; the name that is switched is its field
``line``. Colours are Okabe and Ito's, told apart by colour-blind readers, and dashes or shapes say
the same again. Text, axes and neutral marks are ``currentColor``: the page's ink, light or dark.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np

from kerascw.report.chart_parts import (
    AMBER,
    BLUE,
    COLOURS,
    DASHES,
    DIGITS,
    GREEN,
    GREY,
    HEAT,
    HEIGHT,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    Chart,
    Dot,
    Line,
    Series,
    colour_of,
    dash_of,
    data_of,
    said_of_dots,
    said_of_lines,
    series,
    short,
)


def lines(
    several: Sequence[Line], *, numbers: str | None = None, x: str = "epoch", **panel: Any
) -> Chart:
    """Return one panel of lines that can be switched; ``panel`` is as in :func:`line_panel`."""
    keys = series(line.name for line in several)
    return Chart(
        (line_panel(several, keys=keys, x=x, **panel),),
        keys,
        said_of_lines(several, x) if numbers is None else numbers,
    )


def line_panel(
    several: Sequence[Line],
    *,
    x: str = "epoch",
    y: str,
    keys: Sequence[Series] | None = None,
    title: str = "",
    log_x: bool = False,
    log_y: bool = False,
    whole_x: bool = True,
    top: float | None = None,
    points: bool | None = None,
    rules_x: Mapping[str, float] | None = None,
    rules_y: Mapping[str, float] | None = None,
    stepped: bool = False,
) -> Any:
    """Return a panel of lines with bands; pointing reads the nearest value off.

    Parameters
    ----------
    keys : of all lines of the figure, where they are more than this panel's.
    whole_x : the places along x are whole numbers.
    top : where y is cut off, if a line goes beyond.
    points : mark every value; by default where a line has fewer than three.
    rules_x, rules_y : dotted lines across the panel, by what is written at them.
    stepped : a value holds until the next.
    """
    keys = keys or series(line.name for line in several)
    rows = [row for line in several for row in _rows(line, log_y=log_y)]
    if points is None:
        points = max((len(line.x) for line in several), default=0) < 3
    reach = [row["x"] for row in rows]
    x_scale = alt.Scale(type="log") if log_x else alt.Scale(zero=False, nice=False, padding=8)
    if len(set(reach)) == 1:
        x_scale = alt.Scale(domain=[reach[0] - 1, reach[0] + 1])
    beyond = top is not None and any(row.get("high", row["y"]) > top for row in rows)
    y_kind: dict[str, Any] = {"type": "log", "nice": False} if log_y else {"zero": False}
    y_scale = alt.Scale(**y_kind, **({"domainMax": top} if beyond else {}))
    x_axis = alt.Axis(format="~g", **({"values": _whole(reach)} if whole_x else {}))
    place = alt.X("x:Q", title=x, scale=x_scale, axis=x_axis)
    height = alt.Y("y:Q", title=y, scale=y_scale, axis=alt.Axis(format="~g", tickCount=6))
    colour, dash = colour_of(keys), dash_of(keys)
    base = alt.Chart(data_of(rows))
    layers = []
    if any("low" in row for row in rows):
        band = base.mark_area(opacity=0.16, clip=True, **_step(stepped))
        layers.append(
            band.encode(x=place, y=alt.Y("low:Q", title=y, scale=y_scale), y2="high:Q",
                        color=colour)
        )  # fmt: skip
    mark = base.mark_line(strokeWidth=2, clip=True, **_step(stepped))
    apart = {"detail": alt.Detail("own:N")} if any("own" in row for row in rows) else {}
    layers.append(mark.encode(x=place, y=height, color=colour, strokeDash=dash, **apart))
    # names of their own: Altair numbers parameters by what else the process has drawn
    near = alt.selection_point(
        name=f"near_{_word(title or y)}", nearest=True, on="pointerover", clear="pointerout",
        encodings=["x", "y"], empty=False,
    )  # fmt: skip
    range_ = [
        alt.Tooltip(f"{end}:Q", title=said, format=".5~g")
        for end, said in (("low", "from"), ("high", "to"))
        if any("low" in row for row in rows)
    ]
    dots_ = base.mark_point(filled=True, size=60, clip=True).encode(
        x=place, y=height, color=colour,
        opacity=alt.when(near).then(alt.value(1)).otherwise(alt.value(0.9 if points else 0)),
        tooltip=[alt.Tooltip("line:N", title="line"),
                 *([alt.Tooltip("own:N", title="of")] if apart else []),
                 alt.Tooltip("x:Q", title=x),
                 alt.Tooltip("y:Q", title=y, format=".5~g"), *range_],
    )  # fmt: skip
    layers.append(dots_.add_params(near))
    for said, value in (rules_x or {}).items():
        # written where there is room
        layers += _rule("x", value, said, left=value > (min(reach) + max(reach)) / 2)
    for said, value in (rules_y or {}).items():
        layers += _rule("y", value, said)
    return _titled(alt.layer(*layers), title)


def dots(
    several: Sequence[Dot],
    *,
    x: str,
    value: str = "mean, 95 % t-interval",
    each: str = "each seed",
    published: str = "published (corrected where it needs it)",
    numbers: str | None = None,
    zero: bool = False,
    rule: float | None = None,
) -> Chart:
    """Return a row a name: each value, the mean with its interval, and the published figure.

    Parameters
    ----------
    x : what is measured, at the axis.
    value, each, published : the names of the three kinds of marks, which can be switched.
    rule : a place along x that the figures are to be held against, such as no difference.
    """
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
    there = {row["line"] for row in rows}
    keys = tuple(
        key for key in (Series(value, BLUE, shape="circle"), Series(each, GREY, shape="tick"),
                        Series(published, ORANGE, shape="diamond"))
        if key.name in there
    )  # fmt: skip
    row_axis = alt.Axis(title=None, grid=False, ticks=False, domain=False, labelLimit=260)
    row = alt.Y("name:N", sort=names, axis=row_axis, scale=alt.Scale(domain=names))
    axis = alt.Axis(format="~g", tickCount=8)
    place = alt.X("value:Q", title=x, scale=alt.Scale(zero=zero), axis=axis)
    colour, base = colour_of(keys, symbol="circle"), alt.Chart(data_of(rows))
    told = [alt.Tooltip("name:N", title="of"), alt.Tooltip("line:N", title="what"),
            alt.Tooltip("value:Q", title=x, format=".5~g")]  # fmt: skip
    interval = [alt.Tooltip("low:Q", title="from", format=".5~g"),
                alt.Tooltip("high:Q", title="to", format=".5~g")]  # fmt: skip

    def of(kind: str) -> Any:
        return base.transform_filter(alt.datum.line == kind)

    # a layer without a row would leave the axis without an end
    layers: list[Any] = []
    if each in there:
        mark = of(each).mark_tick(thickness=1.5, size=13)
        layers.append(mark.encode(x=place, y=row, color=colour, tooltip=told))
    if value in there:
        low = alt.X("low:Q", title=x)
        mark = of(value).mark_rule(strokeWidth=2.5)
        layers.append(mark.encode(x=low, x2="high:Q", y=row, color=colour, tooltip=told + interval))
        mark = of(value).mark_point(filled=True, size=75, opacity=1)
        layers.append(mark.encode(x=place, y=row, color=colour, tooltip=told + interval))
    if published in there:
        mark = of(published).mark_point(filled=True, size=85, shape="diamond", opacity=1)
        layers.append(mark.encode(x=place, y=row, color=colour, tooltip=told))
    if rule is not None:
        layers = [*_rule("x", rule, ""), *layers]
    panel = alt.layer(*layers).properties(height=_tall(several))
    said = said_of_dots(several) if numbers is None else numbers
    return Chart((panel,), keys, said, file_width=520)


def bars(
    names: Sequence[str],
    values: Sequence[float | None],
    *,
    x: str,
    each: Sequence[Sequence[float]] | None = None,
    each_said: str = "each seed",
    rule: float | None = None,
    rule_said: str = "",
) -> Chart:
    """Return a bar a name, with the values that each is the mean of as ticks, where given."""
    rows: list[dict[str, Any]] = [
        {"name": name, "value": short(value)}
        for name, value in zip(names, values, strict=True)
        if value is not None and np.isfinite(value)
    ]
    row_axis = alt.Axis(title=None, grid=False, ticks=False, labelLimit=260)
    row = alt.Y("name:N", sort=list(names), scale=alt.Scale(domain=list(names)), axis=row_axis)
    told = [alt.Tooltip("name:N", title="of"), alt.Tooltip("value:Q", title=x, format=".5~g")]
    place = alt.X("value:Q", title=x, axis=alt.Axis(format="~g", tickCount=6))
    shade = {"color": BLUE, "opacity": 0.55 if each is not None else 1}
    layers = [alt.Chart(data_of(rows)).mark_bar(**shade).encode(x=place, y=row, tooltip=told)]
    if each is not None:
        ticks = [
            {"name": name, "value": short(one), "what": each_said}
            for name, several in zip(names, each, strict=True)
            for one in several
        ]
        mark = alt.Chart(data_of(ticks)).mark_tick(thickness=1.5, size=13, color=INK)
        told = [told[0], alt.Tooltip("what:N", title="what"), told[1]]
        layers.append(mark.encode(x=place, y=row, tooltip=told))
    if rule is not None:
        layers += _rule("x", rule, rule_said)
    said = ", ".join(f"{row['name']} {row['value']:.4g}" for row in rows)
    panel = alt.layer(*layers).properties(height=_tall(names))
    return Chart((panel,), numbers=said, file_width=520)


def groups(names: Sequence[str], values: Mapping[str, Sequence[float]], *, y: str) -> Chart:
    """Return bars side by side: for every name one of each group, which can be switched."""
    rows = [
        {"name": name, "line": group, "value": short(value)}
        for group, several in values.items()
        for name, value in zip(names, several, strict=True)
    ]
    keys = tuple(replace(key, shape="square") for key in series(values))
    across = alt.X("name:N", title=None, sort=list(names), axis=alt.Axis(labelAngle=-30))
    height = alt.Y("value:Q", title=y, axis=alt.Axis(format="~s", tickCount=6))
    told = [alt.Tooltip("name:N", title="of"), alt.Tooltip("line:N", title="in"),
            alt.Tooltip("value:Q", title=y, format=",")]  # fmt: skip
    bars_ = alt.Chart(data_of(rows)).mark_bar()
    beside = alt.XOffset("line:N", sort=[key.name for key in keys])
    panel = bars_.encode(
        x=across, xOffset=beside, y=height, color=colour_of(keys, "square"), tooltip=told
    )
    said = "; ".join(
        f"{group}: {', '.join(f'{n} {v:,}' for n, v in zip(names, several, strict=True))}"
        for group, several in values.items()
    )
    return Chart((panel.properties(height=200),), keys, said, file_width=max(360, 60 * len(names)))


def heat(
    matrix: np.ndarray, names: Sequence[str], *, row: str = "truth", column: str = "prediction"
) -> Chart:
    """Return a matrix of counts: shades by the share of the row, counts and shares written.

    Parameters
    ----------
    matrix : int ``[n, n]``; of a confusion matrix, rows are truths.
    """
    n, totals = len(names), np.maximum(matrix.sum(axis=1), 1)
    rows = [
        {
            "row": names[at], "column": names[to], "count": int(matrix[at, to]),
            "share": short(matrix[at, to] / totals[at]),
            # the square root lets a share of one per cent be seen beside one of ninety
            "shade": short(float(np.sqrt(matrix[at, to] / totals[at]))),
        }
        for at, to in np.ndindex(matrix.shape)
        if matrix[at, to] or n <= 20  # of many classes most pairs are never confused
    ]  # fmt: skip
    bare: dict[str, Any] = {"grid": False, "ticks": False, "domain": False}
    slanted = alt.Axis(labelAngle=-45, labelOverlap=n > 20, **bare)
    every = alt.Scale(domain=list(names))
    across = alt.X("column:N", sort=list(names), title=column, axis=slanted, scale=every)
    down = alt.Y("row:N", sort=list(names), title=row, axis=alt.Axis(**bare), scale=every)
    told = [
        alt.Tooltip("row:N", title=row), alt.Tooltip("column:N", title=column),
        alt.Tooltip("count:Q", title="pictures", format=","),
        alt.Tooltip("share:Q", title=f"share of this {row}", format=".2%"),
    ]  # fmt: skip
    base = alt.Chart(data_of(rows)).encode(x=across, y=down)
    # opacity, not a scale of colours: nothing is the page's own paper, light or dark
    cells = base.mark_rect(color=HEAT, stroke="#808080", strokeOpacity=0.25).encode(
        opacity=alt.Opacity("shade:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None),
        tooltip=told,
    )
    ink = alt.when(alt.datum.shade > 0.72).then(alt.value("white")).otherwise(alt.value(INK))
    roomy = f"width / {n} >= 46"
    font = alt.ExprRef(f"max(6, min(12, width / {n} / 2.9))")
    counts = base.transform_filter(alt.datum.count > 0).mark_text(
        fontSize=font, dy=alt.ExprRef(f"{roomy} ? -6 : 0"),
        opacity=alt.ExprRef(f"width / {n} >= 17 ? 1 : 0"),
    ).encode(text="count:Q", color=ink, tooltip=told)  # fmt: skip
    shares = base.transform_filter(alt.datum.count > 0).mark_text(
        fontSize=9, dy=8, opacity=alt.ExprRef(f"{roomy} ? 0.9 : 0")
    ).encode(text=alt.Text("share:Q", format=".1%"), color=ink, tooltip=told)  # fmt: skip
    step = 36 if n <= 20 else max(9, 720 // n)
    panel = alt.layer(cells, counts, shares).properties(height=step * n)
    right = ", ".join(f"{names[k]} {matrix[k, k]} of {matrix[k].sum()}" for k in range(n))
    said = f"on the diagonal {right}"
    return Chart((panel,), numbers=said, widest=210 + 66 * n, file_width=min(60 * n, 900))


def scatter(
    rows: Sequence[Mapping[str, Any]],
    *,
    x: str,
    y: str,
    group: str | None = None,
    told: Sequence[str] = (),
    x_title: str | None = None,
    y_title: str | None = None,
    log_x: bool = False,
    log_y: bool = False,
    numbers: str | None = None,
) -> Chart:
    """Return a point a row; those of each ``group`` can be switched.

    Parameters
    ----------
    rows : fields by name; numbers or words.
    told : further fields that pointing shows.
    """
    values: list[dict[str, Any]] = [
        {name: short(v) if isinstance(v, float) else v for name, v in row.items()}
        | {"line": str(row[group]) if group else ""}
        for row in rows
    ]
    keys = tuple(
        replace(key, shape=_SHAPES[number % len(_SHAPES)])
        for number, key in enumerate(series(dict.fromkeys(row["line"] for row in values)))
    )
    place = [
        kind(f"{_field(name)}:Q", title=title or name, axis=alt.Axis(format="~g"),
             scale=alt.Scale(type="log") if log else alt.Scale(zero=False))
        for kind, name, title, log in (
            (alt.X, x, x_title, log_x), (alt.Y, y, y_title, log_y)
        )
    ]  # fmt: skip
    shown = dict.fromkeys([*([group] if group else []), *told, x, y])
    kinds = {
        name: "Q" if all(isinstance(row.get(name), int | float | None) for row in values) else "N"
        for name in shown
    }
    marks: dict[str, Any] = {}
    if group:
        domain = [key.name for key in keys]
        marks["color"] = colour_of(keys, symbol=None)
        marks["shape"] = alt.Shape(
            "line:N", scale=alt.Scale(domain=domain, range=[key.shape for key in keys]),
            legend=alt.Legend(title=None),
        )  # fmt: skip
    panel = alt.Chart(data_of(values)).mark_point(
        filled=True, size=70, opacity=0.85, **({} if group else {"color": BLUE})
    ).encode(
        *place, **marks,
        tooltip=[alt.Tooltip(f"{_field(name)}:{kind}", title=name,
                             **({"format": ".5~g"} if kind == "Q" else {}))
                 for name, kind in kinds.items()],
    ).properties(height=HEIGHT + 40)  # fmt: skip
    if numbers is None:
        ends = [
            f"{name} from {min(there):.4g} to {max(there):.4g}"
            for name in (x, y)
            if (there := [row[name] for row in values if row.get(name) is not None])
        ]
        numbers = ", ".join([f"{len(values)} points", *ends])
    return Chart((panel,), keys if group else (), numbers)


# --- parts ----------------------------------------------------------------------------------

_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


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
    """Return about eight whole places between the ends: Vega would write 1, 2, 2, 3.

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


def _rule(axis: str, value: float, said: str, *, left: bool = False) -> list[Any]:
    """Return a dotted line across the panel at ``value``, and what is written at it."""
    data = data_of([{axis: short(value)}])
    rule = alt.Chart(data).mark_rule(color=GREY, strokeDash=[3, 3], strokeWidth=1.3)
    if axis == "x":
        layers = [rule.encode(x=alt.X("x:Q"))]
        place = {"x": alt.X("x:Q"), "y": alt.value(8)}
        align, dx, dy = ("right", -4, 0) if left else ("left", 4, 0)
    else:
        layers = [rule.encode(y=alt.Y("y:Q"))]
        place = {"x": alt.value("width"), "y": alt.Y("y:Q")}
        align, dx, dy = "right", -2, -6
    if said:
        text = alt.Chart(data).mark_text(color=INK, fontSize=11, align=align, dx=dx, dy=dy)
        layers.append(text.encode(text=alt.value(said), **place))
    return layers


def _step(stepped: bool) -> dict[str, Any]:
    return {"interpolate": "step"} if stepped else {}


def _titled(panel: Any, title: str) -> Any:
    sized = panel.properties(height=HEIGHT)
    return sized.properties(title=title) if title else sized


def _tall(rows: Sequence[Any]) -> int:
    """Return the height of a panel with a row each, in pixels.

    Vega-Lite's own steps would do, but it warns of them where the width is the page's.
    """
    return 24 * max(len(rows), 2)


def _word(text: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in text)


def _field(name: str) -> str:
    """Return a field's name as Vega-Lite reads it: a dot or bracket would be a path."""
    return "".join("\\" + letter if letter in ".[]:" else letter for letter in name)


__all__ = [
    "AMBER", "BLUE", "COLOURS", "DASHES", "DIGITS", "GREEN", "GREY", "HEIGHT", "INK", "ORANGE",
    "PURPLE", "SKY", "Chart", "Dot", "Line", "Series", "bars", "colour_of", "dash_of", "data_of",
    "dots", "groups", "heat", "line_panel", "lines", "said_of_dots", "said_of_lines", "scatter",
    "series", "short",
]  # fmt: skip
