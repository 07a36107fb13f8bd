"""What charts are made of: the chart, its key, its rows and its Vega-Lite specification.

:mod:`kerascw.report.charts` makes figures of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#767676",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, GREY)
"""Okabe and Ito's, but grey for black, which a dark page would swallow."""

DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (6, 3), (2, 2), (8, 2, 2, 2))
INK = "currentColor"
HEAT = "#00507E"
"""A darker blue, that white letters can be read on."""

DIGITS = 6
"""Significant digits of what is drawn: a pixel is worth three."""

HEIGHT = 260
"""Pixels of a panel with a scale upwards."""


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
    numbers: str = ""  # for who cannot see it
    widest: int | None = None  # pixels on a page
    file_width: int = 360  # pixels of a panel in a file

    def page_specs(self) -> list[dict[str, Any]]:
        """Return a Vega-Lite specification for each panel, that fits the width it is given.

        Its parameter ``hidden`` is the list of names that are switched off.
        """
        specs = []
        for panel in self.panels:
            spec = _plain(panel.properties(width="container"))
            _drop_legends(spec)  # the key is HTML, which the keyboard reaches
            spec["config"] = _config("system-ui, sans-serif")
            if self.series:
                switch = {"filter": "indexof(hidden, datum.line) < 0"}
                spec["params"] = [{"name": "hidden", "value": []}, *spec.get("params", [])]
                for view in _with_data(spec):
                    view["transform"] = [switch, *view.get("transform", [])]
            specs.append(spec)
        return specs

    def file_spec(self) -> dict[str, Any]:
        """Return one specification of all panels, of fixed size and with a legend."""
        panels = [panel.properties(width=self.file_width) for panel in self.panels]
        # rows of three: a search has a panel for each hyperparameter
        spec = _plain(panels[0] if len(panels) == 1 else alt.concat(*panels, columns=3))
        spec["config"] = _config("sans-serif")
        spec["background"] = "white"
        return spec


@dataclass(frozen=True)
class Line:
    """A line with a band: ``x`` and ``y`` of one length, ``low`` and ``high`` too or left out.

    What is not finite is left out. Lines that share a name share its colour and are switched
    together; ``own`` says which of them a line is.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    own: str = ""


@dataclass(frozen=True)
class Dot:
    """One figure with its interval, each value it is the mean of, and a published one."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    each: tuple[float, ...] = ()
    published: float | None = None


def series(names: Iterable[str], shape: str = "stroke") -> tuple[Series, ...]:
    """Return a key for each name: a colour each, then the same colours in other dashes."""
    return tuple(
        Series(
            name,
            COLOURS[number % len(COLOURS)],
            DASHES[number // len(COLOURS) % len(DASHES)],
            shape,
        )
        for number, name in enumerate(names)
    )


# --- rows and keys --------------------------------------------------------------------------


def short(value: float) -> float:
    """Return the value with as many digits as can be seen: pages are half as large."""
    return float(f"{float(value):.{DIGITS}g}")


def data_of(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Return rows as the data of a chart."""
    return alt.InlineData(values=list(rows))


def colour_of(keys: Sequence[Series], symbol: str | None = "stroke") -> alt.Color:
    """Return the colour of a mark by its field ``line``."""
    scale = alt.Scale(domain=[key.name for key in keys], range=[key.colour for key in keys])
    return alt.Color("line:N", scale=scale, legend=_legend(symbol, len(keys)))


def dash_of(keys: Sequence[Series]) -> alt.StrokeDash:
    """Return the dashes of a line by its field ``line``."""
    scale = alt.Scale(domain=[key.name for key in keys], range=[list(key.dash) for key in keys])
    return alt.StrokeDash("line:N", scale=scale, legend=_legend("stroke", len(keys)))


def _legend(symbol: str | None, entries: int) -> alt.Legend:
    """Return the legend of a file; a stroke is long enough to show its dashes."""
    kind = {} if symbol is None else {"symbolType": symbol}
    size = {"symbolSize": 320, "rowPadding": 0} if symbol == "stroke" else {}
    return alt.Legend(title=None, labelLimit=320, columns=-(-entries // 14), **kind, **size)


# --- numbers in words -----------------------------------------------------------------------


def said_of_lines(several: Sequence[Line], x: str = "epoch") -> str:
    """Return where every line begins and ends, for who cannot see it."""
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
        word = f"{dot.name} -" if dot.value is None else f"{dot.name} {dot.value:.4f}"
        if dot.low is not None and dot.high is not None:
            word += f" ({dot.low:.4f} to {dot.high:.4f})"
        said.append(word if dot.published is None else f"{word}, published {dot.published:.4g}")
    return "; ".join(said)


# --- specifications -------------------------------------------------------------------------


def _plain(chart: Any) -> dict[str, Any]:
    """Return the specification without what only an online editor needs."""
    spec: dict[str, Any] = chart.to_dict(validate=False)  # validating takes longer than drawing
    spec.pop("$schema", None)
    return spec


def _with_data(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the views that have rows of their own, the whole or its layers."""
    if "data" in spec:
        return [spec]
    return [view for layer in spec.get("layer", []) for view in _with_data(layer)]


def _drop_legends(spec: dict[str, Any]) -> None:
    for view in [spec, *spec.get("layer", [])]:
        for channel in ("color", "strokeDash", "shape"):
            if "scale" in view.get("encoding", {}).get(channel, {}):
                view["encoding"][channel]["legend"] = None


def _config(font: str) -> dict[str, Any]:
    text = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12,
            "titleFontWeight": "normal"}  # fmt: skip
    return {
        "font": font,
        "background": None,
        "aria": False,  # the figure has one description, not one a mark
        "view": {"stroke": None},
        "axis": text | {"gridColor": "#808080", "gridOpacity": 0.25, "domainColor": "#808080",
                        "tickColor": "#808080", "titlePadding": 8, "labelOverlap": True},
        "legend": text | {"orient": "right", "symbolOpacity": 1},
        "title": {"color": INK, "anchor": "start", "fontSize": 13, "fontWeight": 600},
        "text": {"color": INK},
    }  # fmt: skip
