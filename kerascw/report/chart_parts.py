"""What charts are made of: the chart, its key, its rows and its Vega-Lite specification."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, product
from typing import Any

import altair as alt

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
    """A line with a band: ``x`` and ``y`` of one length, ``low`` and ``high`` too or left out.

    Values that are not finite are left out.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


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
    low: float | None = None
    high: float | None = None
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
