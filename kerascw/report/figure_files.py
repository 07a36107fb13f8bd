"""Figures as files (PNG and SVG) and as parts of a page.

A figure is a :class:`kerascw.report.charts.Chart`, which the page draws anew for its reader, or a
matplotlib Figure (grids of images), which the page shows as SVG in its own colours.
"""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascw.errors import printable

if TYPE_CHECKING:
    from kerascw.report.charts import Series

Drawn = Mapping[str, tuple[Any, str]]
"""By name: a Chart or a matplotlib Figure, and a phrase that says what it shows."""

SUFFIXES = (".png", ".svg")


@dataclass(frozen=True)
class Shown:
    """A figure as a page has it: specifications to draw from, or an image."""

    name: str
    says: str  # what it shows, a phrase
    numbers: str = ""  # and its numbers, for readers who cannot see it
    specs: tuple[str, ...] = ()  # JSON, one a panel
    series: tuple["Series", ...] = ()
    widest: int | None = None  # pixels
    svg: str = ""  # of a still figure

    @property
    def alt(self) -> str:
        return f"{self.says}: {self.numbers}" if self.numbers else self.says

    @property
    def caption(self) -> str:
        return f"{self.says[0].upper()}{self.says[1:]}." if self.says else ""


def write_figures(drawn: Drawn, folder: Path, *, clear: bool = True) -> dict[str, Shown]:
    """Write ``NAME.png`` and ``NAME.svg`` of every figure, and return what a page needs.

    The folder is made where it is missing; ``clear`` removes the figures of an earlier call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if clear:
        for stale in (path for path in folder.iterdir() if path.suffix in SUFFIXES):
            stale.unlink()
    shown = {}
    for name, (figure, says) in drawn.items():
        content = render(figure)
        for suffix, data in content.items():
            (folder / f"{name}{suffix}").write_bytes(data)
        if _is_still(figure):
            svg = inline_svg(content[".svg"].decode(), name)
            shown[name] = Shown(name, printable(says), svg=svg)
        else:
            # no "<" inside a script element: it might end it
            specs = tuple(
                json.dumps(spec, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
                for spec in figure.page_specs()
            )
            shown[name] = Shown(name, printable(says), printable(figure.numbers), specs,
                                figure.page_series(), figure.widest)  # fmt: skip
    return shown


def file_name(text: str) -> str:
    """Return a figure's name without what a file's name must not have, such as in a class's name.

    >>> file_name("feature maps, T-shirt/top")
    'feature maps, T-shirt or top'
    """
    return re.sub(r"[^\w ,()+-]", "_", printable(text).replace("/", " or "))[:80]


def render(figure: Any) -> dict[str, bytes]:
    """Return the figure as the bytes of a PNG and an SVG file, by suffix."""
    if _is_still(figure):
        import matplotlib

        png, svg = io.BytesIO(), io.BytesIO()
        # fixed identifiers and no date: the same figure is the same file
        with matplotlib.rc_context({"svg.hashsalt": "kerascw"}):
            figure.savefig(png, format="png", dpi=110)
            figure.savefig(svg, format="svg", dpi=110, metadata={"Date": None})
        return {".png": png.getvalue(), ".svg": svg.getvalue()}
    import vl_convert

    text = _renumbered(vl_convert.vegalite_to_svg(figure.file_spec()))
    return {".png": vl_convert.svg_to_png(text, scale=2), ".svg": text.encode()}


_PAGE_COLOURS = {
    "fill: #ffffff": "fill: none", "stroke: #ffffff": "stroke: var(--paper)",
    "#000000": "currentColor", "#007a5e": "var(--right)", "#b5303c": "var(--wrong)",
}  # fmt: skip
"""What of a still figure follows the page, light or dark: the paper is left out."""


def inline_svg(text: str, name: str) -> str:
    """Return matplotlib's SVG as part of a page: without a background, in the page's colours.

    Its identifiers get the figure's name, because those of two figures would meet; its style sheet,
    which would apply to the whole page, is left out.
    """
    svg = text[text.index("<svg") :]
    svg = re.sub(
        r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", svg, flags=re.S
    )
    word = re.sub(r"\W", "_", name)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{word}.", svg)
    for drawn, on_page in _PAGE_COLOURS.items():
        svg = svg.replace(drawn, on_page)
    return svg


def _renumbered(svg: str) -> str:
    """Return the SVG with its clipping paths counted from 1: Vega counts all that it ever drew."""
    numbers: dict[str, str] = {}
    return re.sub(
        r"\b(clip|gradient_)\d+\b",
        lambda found: numbers.setdefault(found[0], f"{found[1]}{len(numbers) + 1}"),
        svg,
    )


def _is_still(figure: Any) -> bool:
    """Return whether matplotlib has drawn it."""
    return hasattr(figure, "savefig")
