"""Figures as files (PNG and SVG) and as parts of a page, whoever draws them.

A figure is a :class:`kerascw.report.charts.Chart`, which the page draws anew for its reader, or a
still matplotlib Figure (grids of pictures).
"""

import base64
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerascw.report.charts import Chart, Series

Drawn = Mapping[str, tuple[Any, str]]
"""By name: a Chart or a matplotlib Figure, and a phrase that says what it shows."""

SUFFIXES = (".png", ".svg")


@dataclass(frozen=True)
class Shown:
    """A figure as a page has it: specifications to draw from, or a picture."""

    name: str
    says: str  # what it shows, a phrase
    numbers: str = ""  # and its numbers, for who cannot see it
    specs: tuple[str, ...] = ()  # JSON, one a panel
    series: tuple["Series", ...] = ()
    widest: int | None = None  # pixels
    picture: str = ""  # PNG, base64

    @property
    def alt(self) -> str:
        return f"{self.says}: {self.numbers}" if self.numbers else self.says

    @property
    def caption(self) -> str:
        return f"{self.says[0].upper()}{self.says[1:]}." if self.says else ""


def write_figures(drawn: Drawn, folder: Path, *, dpi: int = 110) -> dict[str, Shown]:
    """Write ``NAME.png`` and ``NAME.svg`` of every figure, and return what a page needs.

    ``folder`` is made; what else it has stays (see :func:`clear_figures`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = {}
    for name, (figure, says) in drawn.items():
        for suffix, content in render(figure, dpi=dpi).items():
            (folder / f"{name}{suffix}").write_bytes(content)
        if is_still(figure):
            shown[name] = shown_picture(name, folder / f"{name}.png", says)
        else:
            shown[name] = shown_chart(name, figure, says)
    return shown


def clear_figures(folder: Path) -> None:
    """Remove the figures of an earlier drawing."""
    for suffix in SUFFIXES:
        for stale in folder.glob(f"*{suffix}"):
            stale.unlink()


def render(figure: Any, *, dpi: int = 110) -> dict[str, bytes]:
    """Return the figure as the bytes of a PNG and an SVG file, by suffix."""
    if is_still(figure):
        import matplotlib

        content = {}
        # fixed identifiers and no date: the same figure is the same file
        with matplotlib.rc_context({"svg.hashsalt": "kerascw"}):
            for suffix in SUFFIXES:
                out = io.BytesIO()
                metadata = {"Date": None} if suffix == ".svg" else None
                figure.savefig(out, format=suffix[1:], dpi=dpi, metadata=metadata)
                content[suffix] = out.getvalue()
        return content
    import vl_convert

    svg = _renumbered(vl_convert.vegalite_to_svg(figure.file_spec()))
    png: bytes = vl_convert.svg_to_png(svg, scale=2)
    return {".png": png, ".svg": svg.encode()}


def _renumbered(svg: str) -> str:
    """Return the SVG with its clipping paths counted from 1: Vega counts all that it ever drew."""
    numbers: dict[str, str] = {}
    return re.sub(
        r"\b(clip|gradient_)\d+\b",
        lambda found: numbers.setdefault(found[0], f"{found[1]}{len(numbers) + 1}"),
        svg,
    )


def is_still(figure: Any) -> bool:
    """Return whether matplotlib has drawn it."""
    return hasattr(figure, "savefig")


def shown_chart(name: str, chart: "Chart", says: str) -> Shown:
    """Return a chart as a page has it."""
    # no "<" inside a script element: it might end it
    specs = tuple(
        json.dumps(spec, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        for spec in chart.page_specs()
    )
    return Shown(name, says, chart.numbers, specs, chart.series, chart.widest)


def shown_picture(name: str, file: Path, says: str, numbers: str = "") -> Shown:
    """Return a PNG file as a page has it."""
    return Shown(name, says, numbers, picture=base64.b64encode(file.read_bytes()).decode())
