"""Pages: one self-contained file each, by Jinja2 from ``templates/``.

A template extends ``base.html`` and imports the macros of ``parts.html``. Nothing is loaded from
anywhere; the page's own security policy forbids it. Where scripts do not run, tables are as they
were written, and a chart is its numbers in words.
"""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kerascw.console import command_text
from kerascw.data.cache import cache_folder, replacing
from kerascw.report.figure_files import Drawn, Shown, write_figures
from kerascw.report.tables import Table, write_tables
from kerascw.runs.summary import replace_text


def write_page(
    folder: Path, template: str, drawn: Drawn | None, beside: Iterable[Table], **content: Any
) -> Path:
    """Write figures and tables into ``folder``, then report.html, and return it.

    The page is last, so that one that is there has its files beside it.
    """
    shown = write_figures(drawn, folder / "figures") if drawn is not None else {}
    write_tables(beside, folder / "tables")
    return replace_text(folder / "report.html", page(template, shown, **content))


def page(template: str, figures: Mapping[str, Shown] | None = None, /, **content: Any) -> str:
    """Fill in one of the templates.

    The program that draws charts (Vega, 0.9 MB) goes into pages that have one, once.
    """
    figures = figures or {}
    bundle = _bundle() if any(figure.specs for figure in figures.values()) else ""
    made = _environment().get_template(template).render(figures=figures, bundle=bundle, **content)
    return str(made)


def pretty(content: Any) -> str:
    """Return JSON for people: indented, a list of plain values on one line.

    >>> print(pretty({"filters": [28, 20]}))
    {
      "filters": [28, 20]
    }
    """
    text = json.dumps(content, indent=2)
    return re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)


def plainly(name: str) -> str:
    """Return the words of a figure's name.

    >>> plainly("test.error"), plainly("most_confused")
    ('test error', 'most confused')
    """
    return name.replace(".", " ").replace("_", " ")


def said(value: Any) -> str:
    """Return a value as a table of facts shows it.

    >>> said(None), said(True), said(12345)
    ('-', 'yes', '12,345')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        loader=PackageLoader("kerascw", "report/templates"),
        autoescape=select_autoescape(["html"]),  # Markdown has nothing to escape
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["count"] = "{:,}".format
    environment.filters["four"] = "{:.4f}".format
    environment.filters["interval"] = lambda bounds: "{:.4f} to {:.4f}".format(*bounds)
    environment.filters["percent"] = lambda value: f"{100 * value:.2f} %"
    environment.filters["plainly"] = plainly
    environment.filters["said"] = said
    environment.filters["report_command"] = lambda run: command_text(
        "report", run.name, "--open", runs=run.folder.parent
    )
    return environment


@cache
def _bundle() -> str:
    """Return Vega, Vega-Lite and vega-embed as one program.

    To put it together takes longer than to draw a page, so it is cached in a file.
    """
    file = cache_folder() / f"vega-{version('vl-convert-python')}.js"
    with suppress(OSError):
        return file.read_text(encoding="utf-8")
    import vl_convert

    made: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    program = made.replace("</script", "<\\/script")  # it would end its own element
    with suppress(OSError), replacing(file) as scratch:
        scratch.write(program.encode())
    return program
