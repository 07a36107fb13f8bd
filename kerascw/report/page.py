"""Pages: one self-contained file, by Jinja2 from ``templates/``.

How to use it: a template extends ``base.html`` and imports the macros of ``parts.html``; what a
page shows is :class:`kerascw.report.figure_files.Shown` figures and
:class:`kerascw.report.tables.Table` tables::

    {% extends "base.html" %}
    {% from "parts.html" import figure, sortable with context %}
    {% block title %}search mnist{% endblock %}
    {% block heading %}<h1>Which rate is best?</h1><p class="sub">…</p>{% endblock %}
    {% block content %}
    <p class="answer">0.98 ± 0.01</p>
    {{ figure(figures.loss) }}
    <h2>Trials</h2>
    {{ sortable(trials) }}
    {% endblock %}

and is written by ``replace_text(folder / "report.html", page("search.html", figures=shown,
trials=table))``. ``figures`` must be given to :func:`page` under that name: the program that draws
charts (Vega, 0.9 MB) goes into pages that have one, once.

Nothing is loaded from anywhere; the page's own security policy forbids it. Where scripts do not
run, tables are as they were written, and a chart is its numbers in words.
"""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from kerascw.data.cache import cache_folder


def page(template: str, figures: Mapping[str, Any] | None = None, **content: Any) -> str:
    """Return a self-contained page from one of the templates, with its figures by name."""
    from markupsafe import Markup

    figures = figures or {}
    charts = any(getattr(figure, "specs", ()) for figure in figures.values())
    return filled(
        template,
        style=Markup(_part("style.css")),
        script=Markup(_part("page.js")),
        bundle=Markup(_bundle()) if charts else "",
        figures=figures,
        **content,
    )


def filled(template: str, **content: Any) -> str:
    """Return one of the templates with its content, and nothing else."""
    return str(_environment().get_template(template).render(**content))


def replace_text(path: Path, text: str) -> Path:
    """Write ``path`` so that it is always the old text or the new, and return it."""
    temporary = path.with_name(f".{path.name}.writing")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path


def pretty(content: Any) -> str:
    """Return JSON for people: indented, a list of plain values on one line.

    >>> print(pretty({"filters": [28, 20]}))
    {
      "filters": [28, 20]
    }
    """
    text = json.dumps(content, indent=2)
    return re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)


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
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("kerascw", "report/templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.2f} %"
    environment.filters["plainly"] = lambda name: name.replace(".", " ").replace("_", " ")
    environment.filters["said"] = said
    return environment


@cache
def _part(name: str) -> str:
    return files("kerascw.report").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _bundle() -> str:
    """Return Vega, Vega-Lite and vega-embed as one program.

    To put it together takes longer than to draw a page, so it is kept among what can be made anew.
    """
    file = cache_folder() / f"vega-{version('vl-convert-python')}.js"
    with suppress(OSError):
        return file.read_text(encoding="utf-8")
    import vl_convert

    made: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    program = made.replace("</script", "<\\/script")  # it would end its own element
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="utf-8",
                                         suffix=".tmp", delete=False) as scratch:  # fmt: skip
            scratch.write(program)
        os.replace(scratch.name, file)
    return program
