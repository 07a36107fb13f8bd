"""Sphinx builds the documentation with this: ``make docs``."""

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import kerascw

sys.path.insert(0, str(Path(__file__).parent))

project = "kerascw"
author = copyright = "the authors of kerascw"
release = version = ""
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
exclude_patterns = ["_build"]
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"  # the signatures would be a screen long
napoleon_use_param = False
html_theme = "furo"
html_title = "kerascw"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"footer_icons": []}
html_show_sphinx = False
html_use_index = html_domain_indices = False


def _in_numpydoc(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Put what a parameter means on a line below its name, where numpydoc expects a type."""
    text = "\n".join(lines)
    head, mark, parameters = text.partition("Parameters\n----------\n")
    body, *rest = re.split(r"(?m)^(?=\w+\n-+$|Raises )", parameters, maxsplit=1)
    body = re.sub(r"(?m)^(\w[\w, .]*) : (.+)$", r"\1\n    \2", body)
    lines[:] = (head + mark + body + "".join(rest)).split("\n")


def setup(app: Sphinx) -> None:
    """Write the pages made from code and results before Sphinx reads any."""
    import generate

    app.connect("autodoc-process-docstring", _in_numpydoc, priority=400)  # before napoleon
    app.connect("builder-inited", lambda built: generate.write(Path(built.srcdir)))


assert kerascw.__doc__
