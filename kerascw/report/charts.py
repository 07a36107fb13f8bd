"""Interactive figures: from plain numbers to Vega-Lite, by Altair.

One :class:`Chart` is one figure: the browser draws it on a page, with lines that are switched on
and off and values on hover; :mod:`kerascw.report.figure_files` saves it as PNG and SVG. There are
three kinds: lines with bands, dots with intervals, and matrices of shaded cells. The name that is
switched is the field ``line`` of the rows. Colours are told apart by colour-blind readers, and
dashes or shapes repeat them. Text and axes are ``currentColor``: the page's ink, light or dark.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, product
from typing import Any

import altair as alt
import numpy as np

from kerascw.errors import printable

COLOURS = BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#767676",
)  # fmt: skip
"""Okabe and Ito's, but grey for black, which cannot be seen on a dark page."""

DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (6, 3), (2, 2), (8, 2, 2, 2))
INK = "currentColor"

_PROTOTYPE = (
    "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__",
    "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString",
    "toString", "valueOf",
)  # fmt: skip
"""What every JavaScript object has: Vega takes it for the value of a class of that name."""


@dataclass(frozen=True)
class Series:
    """What can be switched on and off, and how its key looks."""

    name: str
    colour: str
    dash: tuple[int, ...] = DASHES[0]
    shape: str = "stroke"  # or a Vega symbol: circle, diamond, square, tick


@dataclass(frozen=True)
class Chart:
    """One figure: panels side by side, what of them can be switched, and its numbers in words."""

    panels: tuple[Any, ...]  # of alt.Chart or alt.LayerChart
    series: tuple[Series, ...] = ()
    numbers: str = ""  # for readers who cannot see the figure
    widest: int | None = None  # pixels on a page
    file_width: int = 360  # pixels of a panel in a file

    def page_specs(self) -> list[dict[str, Any]]:
        """Return a Vega-Lite specification for each panel, that fits the width it is given.

        Its parameter ``hidden`` is the list of names that are switched off. The key is HTML, which
        the keyboard reaches.
        """
        specs = []
        for panel in self.panels:
            spec = _plain(panel.properties(width="container"), legends=False)
            spec["config"] = _config("system-ui, sans-serif")
            if self.series:
                switch = {"filter": "indexof(hidden, datum.line) < 0"}
                spec["params"] = [{"name": "hidden", "value": []}, *spec.get("params", [])]
                for view in _with_data(spec):
                    view["transform"] = [switch, *view.get("transform", [])]
            specs.append(spec)
        return specs

    def page_series(self) -> tuple[Series, ...]:
        """Return what can be switched by the names that the specifications have."""
        return tuple(replace(key, name=_drawable(key.name)) for key in self.series)

    def file_spec(self) -> dict[str, Any]:
        """Return one specification of all panels, of fixed size and with a legend."""
        panels = [panel.properties(width=self.file_width) for panel in self.panels]
        spec = _plain(panels[0] if len(panels) == 1 else alt.concat(*panels, columns=3))
        return spec | {"config": _config("sans-serif"), "background": "white"}


@dataclass(frozen=True)
class Line:
    """A line with a band: ``x`` and ``y`` of one length, and for each the two ends of the band.

    Values that are not finite are left out.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    band: Sequence[Sequence[float]] | None = None


@dataclass(frozen=True)
class Rule:
    """A dotted line across a panel at a value of its ``x`` or ``y`` axis, with its label."""

    axis: str
    value: float
    text: str = ""


@dataclass(frozen=True)
class Dot:
    """One figure with its interval, the values that it is the mean of, and a published one."""

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    each: tuple[float, ...] = ()
    published: float | None = None


def series(names: Iterable[str]) -> tuple[Series, ...]:
    """Return a key for each name: a colour each, then the same colours in other dashes."""
    looks = cycle(product(DASHES, COLOURS))
    return tuple(
        Series(name, colour, dash) for name, (dash, colour) in zip(names, looks, strict=False)
    )


def short(value: float) -> float:
    """Return the value with the digits that can be seen, six: pages are half as large."""
    return float(f"{float(value):.6g}")


def data_of(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Make rows the data of a chart."""
    return alt.InlineData(values=list(rows))


def colour_of(keys: Sequence[Series], symbol: str | None = "stroke") -> alt.Color:
    """Return the colour of a mark by its field ``line``."""
    scale = alt.Scale(domain=[key.name for key in keys], range=[key.colour for key in keys])
    return alt.Color("line:N", scale=scale, legend=legend_of(symbol, len(keys)))


def legend_of(symbol: str | None, entries: int) -> alt.Legend:
    """Return the legend of a file; a stroke is long enough to show its dashes."""
    kind = {} if symbol is None else {"symbolType": symbol}
    size = {"symbolSize": 320, "rowPadding": 0} if symbol == "stroke" else {}
    return alt.Legend(title=None, labelLimit=320, columns=-(-entries // 14), **kind, **size)


def _plain(chart: Any, *, legends: bool = True) -> dict[str, Any]:
    """Return the specification with names that can be drawn, without the schema's address."""
    spec: dict[str, Any] = chart.to_dict(validate=False)  # validating takes longer than drawing
    spec.pop("$schema", None)
    made: dict[str, Any] = _all_drawable(spec, legends)
    return made


def _all_drawable(value: Any, legends: bool) -> Any:
    if isinstance(value, dict):
        return {
            name: _all_drawable(each, legends) if legends or name != "legend" else None
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_all_drawable(each, legends) for each in value]
    return _drawable(value) if isinstance(value, str) else value


def _drawable(name: str) -> str:
    """Return a name that Vega and SVG take: no control character, no JavaScript built-in.

    Control characters end the process of vl-convert 1.9 or make an SVG that cannot be read. A class
    named "constructor" gets a trailing space of fixed width, which is not seen.
    """
    name = printable(name)
    return f"{name}\u00a0" if name in _PROTOTYPE else name


def _with_data(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the views that have rows of their own, the whole or its layers."""
    if "data" in spec:
        return [spec]
    return [view for layer in spec.get("layer", []) for view in _with_data(layer)]


def _config(font: str) -> dict[str, Any]:
    text = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12,
            "titleFontWeight": "normal"}  # fmt: skip
    return {
        "font": font,
        "background": None,
        "customFormatTypes": True,  # words in tooltips
        "aria": False,  # the figure has one description, not one for each mark
        "view": {"stroke": None},
        "axis": text | {"gridColor": "#808080", "gridOpacity": 0.25, "domainColor": "#808080",
                        "tickColor": "#808080", "titlePadding": 8, "labelOverlap": True},
        "legend": text | {"orient": "right", "symbolOpacity": 1},
        "title": {"color": INK, "anchor": "start", "fontSize": 13, "fontWeight": 600},
        "text": {"color": INK},
    }  # fmt: skip


# --- lines ----------------------------------------------------------------------------------

HEIGHT = 260
"""Pixels of a panel of lines."""

PUBLISHED = "published (corrected where needed)"


def axis_format(*, is_log: bool = False) -> str:
    """Return how numbers along an axis are written.

    On an axis that is not logarithmic Vega takes as few digits as a step needs: of ~g, 100 in steps
    of 20 would be 1e+2.
    """
    return "~g" if is_log else "~r"


def lines(several: Sequence[Line], *, x: str = "epoch", **panel: Any) -> Chart:
    """Draw one panel of lines that can be switched; ``panel`` is as in :func:`line_panel`."""
    keys = series(line.name for line in several)
    return Chart((line_panel(several, keys, x=x, **panel),), keys, said_of_lines(several, x))


def line_panels(
    panels: Sequence[tuple[Sequence[Line], Mapping[str, Any]]],
    keys: Sequence[Series],
    *,
    x: str = "epoch",
    **alike: Any,
) -> Chart:
    """Draw panels side by side: the lines and options of each, and what is ``alike`` in all."""
    drawn, said = [], []
    for several, own in panels:
        options = {"x": x, **alike, **own}
        drawn.append(line_panel(several, keys, **options))
        said.append(f"{options.get('title') or options['y']}: {said_of_lines(several, x)}")
    return Chart(tuple(drawn), tuple(keys), ". ".join(said))


def line_panel(
    several: Sequence[Line],
    keys: Sequence[Series],
    *,
    y: str,
    x: str = "epoch",
    title: str = "",
    log_x: bool = False,
    log_y: bool = False,
    top: float | None = None,
    bottom: float | None = None,
    rules: Sequence[Rule] = (),
    points: bool | None = None,
    pixels: int = HEIGHT,
) -> Any:
    """Draw a panel of lines with bands; hover shows the nearest value.

    ``keys`` are those of all lines of a figure, which may have more panels than this. ``top`` is
    where y is cut off, if a line goes beyond, ``bottom`` where its axis begins. ``points`` marks
    every value; by default if no line has three. ``pixels`` is the panel's height.
    """
    rows = [row for line in several for row in _rows(line, log_y=log_y)]
    reach = [row["x"] for row in rows]
    x_scale = alt.Scale(type="log", nice=False, padding=8)  # else Vega rounds to decades
    if not log_x:
        x_scale = alt.Scale(zero=False, nice=False, padding=8)
    if len(set(reach)) == 1:
        x_scale = alt.Scale(domain=[reach[0] - 1, reach[0] + 1])
    beyond = top is not None and any(row.get("high", row["y"]) > top for row in rows)
    y_kind: dict[str, Any] = {"type": "log", "nice": False} if log_y else {"zero": False}
    ends = {"domainMax": top if beyond else None, "domainMin": bottom}
    y_scale = alt.Scale(**y_kind, **{end: at for end, at in ends.items() if at is not None})
    ticks: dict[str, Any] = {"format": axis_format(is_log=log_x)}
    if reach and not log_x and all(float(value).is_integer() for value in reach):
        first, last = int(min(reach)), int(max(reach))  # whole numbers: no epoch 1.5
        every = -(-(last - first) // 8) or 1
        # all digits: these are no multiples of the step
        ticks = {"format": ",d", "values": list(range(first, last + 1, every))}
    place = alt.X("x:Q", title=x, scale=x_scale, axis=alt.Axis(**ticks))
    y_axis = alt.Axis(format=axis_format(is_log=log_y), tickCount=6)
    height = alt.Y("y:Q", title=y, scale=y_scale, axis=y_axis)
    colour = colour_of(keys)
    dash_scale = alt.Scale(domain=[k.name for k in keys], range=[list(k.dash) for k in keys])
    dash = alt.StrokeDash("line:N", scale=dash_scale, legend=legend_of("stroke", len(keys)))
    base = alt.Chart(data_of(rows))
    # without a format Vega-Lite 6 looks for a word in the wrong place, and shows "undefined"
    word = alt.Tooltip("line:N", format="word", formatType="trim")
    told, layers = [word, alt.Tooltip("x:Q", title=x), _told("y", y)], []
    if any("low" in row for row in rows):
        low = alt.Y("low:Q", title=y, scale=y_scale)
        band = base.mark_area(opacity=0.16, clip=True)
        layers.append(band.encode(x=place, y=low, y2="high:Q", color=colour))
        told += [_told("low", "from"), _told("high", "to")]
    mark = base.mark_line(strokeWidth=2, clip=True)
    layers.append(mark.encode(x=place, y=height, color=colour, strokeDash=dash))
    # a name of its own: Altair numbers parameters by what else the process has drawn
    near = alt.selection_point(
        name="near_" + "".join(c if c.isalnum() else "_" for c in title or y), nearest=True,
        on="pointerover", clear="pointerout", encodings=["x", "y"], empty=False,
    )  # fmt: skip
    if points is None:  # a line of one point or two is hardly seen
        points = all(len(line.x) < 3 for line in several)
    seen = alt.when(near).then(alt.value(1)).otherwise(alt.value(0.9 if points else 0))
    marks = base.mark_point(filled=True, size=60, clip=True).add_params(near)
    layers.append(marks.encode(x=place, y=height, color=colour, tooltip=told, opacity=seen))
    for rule in rules:
        left = rule.axis == "x" and rule.value > (min(reach) + max(reach)) / 2
        layers += _rule(rule, left=left)  # the label goes where there is room
    panel = alt.layer(*layers).properties(height=pixels)
    return panel.properties(title=title) if title else panel


def _rows(line: Line, *, log_y: bool) -> list[dict[str, Any]]:
    rows = []
    for at, (x, y) in enumerate(zip(line.x, line.y, strict=True)):
        if not np.isfinite(y) or (log_y and y <= 0):
            continue
        row: dict[str, Any] = {"line": line.name, "x": short(x), "y": short(y)}
        if line.band is not None:
            low, high = line.band[at]
            if np.isfinite([low, high]).all() and (low > 0 or not log_y):
                row |= {"low": short(low), "high": short(high)}
        rows.append(row)
    return rows


def _rule(rule: Rule, *, left: bool = False) -> list[Any]:
    """Draw a dotted line across the panel, and its label."""
    base = alt.Chart(data_of([{rule.axis: short(rule.value)}]))
    at = {rule.axis: (alt.X if rule.axis == "x" else alt.Y)(f"{rule.axis}:Q")}
    layers = [base.mark_rule(color=GREY, strokeDash=[3, 3], strokeWidth=1.3).encode(**at)]
    if rule.text:
        place = {"x": alt.value("width"), "y": alt.value(8)} | at
        align, dx = ("left", 4) if rule.axis == "x" and not left else ("right", -4)
        dy = 0 if rule.axis == "x" else -6
        text = base.mark_text(color=INK, fontSize=11, align=align, dx=dx, dy=dy)
        layers.append(text.encode(text=alt.value(rule.text), **place))
    return layers


def _told(name: str, title: str) -> alt.Tooltip:
    return alt.Tooltip(f"{name}:Q", title=title, format=".5~g")


def said_of_lines(several: Sequence[Line], x: str = "epoch") -> str:
    """Return where every line begins and ends, for readers who cannot see it."""
    said = []
    for line in several:
        there = [(a, b) for a, b in zip(line.x, line.y, strict=True) if np.isfinite(b)]
        if there:
            (first, begin), (last, end) = there[0], there[-1]
            word = f"{line.name} {begin:.4g} at {x} {first:g}"
            said.append(word if last == first else f"{word}, {end:.4g} at {x} {last:g}")
    return "; ".join(said)


# --- dots with intervals --------------------------------------------------------------------


def dots(
    several: Sequence[Dot],
    *,
    x: str,
    value: str = "mean, 95 % CI",
    each: str = "each seed",
    zero: bool = False,
    rule: Rule | None = None,
) -> Chart:
    """Draw a row for each name: its values, their mean with its interval, the published figure.

    ``value`` and ``each`` name two of the three kinds of marks, which can be switched. ``rule`` is
    a dotted line down all rows.
    """
    kinds = {
        each: Series(each, GREY, shape="tick"),
        value: Series(value, BLUE, shape="circle"),
        PUBLISHED: Series(PUBLISHED, ORANGE, shape="diamond"),
    }
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for dot in several:
        for kind, ones in {each: dot.each, value: [dot.value], PUBLISHED: [dot.published]}.items():
            for one in ones:
                if one is None or not np.isfinite(one):
                    continue
                row = {"name": dot.name, "line": kind, "value": short(one)}
                if kind == value:
                    low, high = dot.interval or (one, one)
                    row |= {"low": short(low), "high": short(high)}
                rows[kind].append(row)
    names = [dot.name for dot in several]
    axis = alt.Axis(title=None, grid=False, ticks=False, domain=False, labelLimit=260)
    down = alt.Y("name:N", sort=names, axis=axis, scale=alt.Scale(domain=names))
    numbers = alt.Axis(format=axis_format(), tickCount=8)
    place = alt.X("value:Q", title=x, scale=alt.Scale(zero=zero), axis=numbers)
    keys = tuple(kinds[kind] for kind in (value, each, PUBLISHED) if rows[kind])
    look = {"y": down, "color": colour_of(keys, symbol="circle")}
    told = [alt.Tooltip("name:N", title="of"), alt.Tooltip("line:N", title="what"),
            _told("value", x)]  # fmt: skip
    layers: list[Any] = []
    for kind, own in rows.items():
        if not own:
            continue  # a layer without a row would leave the axis without an end
        base, said = alt.Chart(data_of(own)), told
        mark = base.mark_point(filled=True, size=85, shape=kinds[kind].shape, opacity=1)
        if kind == each:
            mark = base.mark_tick(thickness=1.5, size=13)
        if kind == value:
            said = [*told, _told("low", "from"), _told("high", "to")]
            span = alt.X("low:Q", title=x)
            layers.append(base.mark_rule(strokeWidth=2.5).encode(x=span, x2="high:Q", **look))
        layers.append(mark.encode(x=place, tooltip=said, **look))
    layers += [] if rule is None else _rule(rule)
    # Vega-Lite's own steps would do, but it warns of them where the width is the page's
    panel = alt.layer(*layers).properties(height=24 * max(len(several), 2))
    return Chart((panel,), keys, said_of_dots(several), widest=860, file_width=520)


def said_of_dots(several: Sequence[Dot]) -> str:
    """Return every figure with its interval and the published one."""
    said = []
    for dot in several:
        words = f"{dot.name} -" if dot.value is None else f"{dot.name} {dot.value:.4f}"
        if dot.interval is not None:
            words += " ({:.4f} to {:.4f})".format(*dot.interval)
        if dot.published is not None:
            words += f", published {dot.published:.4g}"
        said.append(words)
    return "; ".join(said)


# --- matrices -------------------------------------------------------------------------------


def confusion(matrix: np.ndarray, names: Sequence[str]) -> Chart:
    """Draw a confusion matrix, int ``[n, n]`` with a row for each true class.

    In every cell are the count and its share of the row, which is also the shade.
    """
    n, shares = len(names), matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    texts = [[f"{count}\n{share:.1%}" if count else "" for count, share in zip(*row, strict=True)]
             for row in zip(matrix, shares, strict=True)]  # fmt: skip
    panel = heat_panel(shares, names, names, np.array(texts), row="truth", column="prediction")
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
    title: str = "",
) -> Any:
    """Draw a matrix of shaded cells with a text in each; all arrays are ``[rows, columns]``.

    ``shades`` are from 0, the page's own paper, to 1; NaN is left out. In a large matrix cells
    without a text are left out. A text may have two lines; a narrow cell shows none.
    """
    n = len(columns)
    cells = [
        {
            "row": rows[at], "column": columns[to], "text": str(texts[at, to]).split("\n"),
            # the square root lets a share of one per cent be seen beside one of ninety
            "shade": short(float(np.sqrt(max(float(shades[at, to]), 0.0)))),
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
    base = alt.Chart(data_of(cells)).encode(x=across, y=down, tooltip=told)
    # opacity, not a scale of colours: zero is the page's own paper, light or dark
    opacity = alt.Opacity("shade:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None)
    # a blue on which white letters can be read
    squares = base.mark_rect(color="#00507E", stroke="#808080", strokeOpacity=0.25)
    ink = alt.when(alt.datum.shade > 0.72).then(alt.value("white")).otherwise(alt.value(INK))
    two = any("\n" in text for text in texts.flat)
    words = base.mark_text(
        fontSize=alt.ExprRef(f"max(6, min({11 if two else 12}, width / {n} / 2.9))"),
        dy=-6 if two else 0,
        opacity=alt.ExprRef(f"width / {n} >= 17 ? 1 : 0"),
    )
    step = 36 if len(rows) <= 20 else max(9, 720 // len(rows))
    panel = alt.layer(squares.encode(opacity=opacity), words.encode(text="text:N", color=ink))
    panel = panel.properties(height=step * len(rows))
    return panel.properties(title=title) if title else panel
