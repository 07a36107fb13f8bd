"""Sphinx builds the documentation with this: ``make docs``."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

import kerascw

sys.path.insert(0, str(Path(__file__).parent))

project = "kerascw"
author = copyright = "the authors of kerascw"
release = version = ""
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
exclude_patterns = ["_build"]
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
python_display_short_literal_types = True
html_theme = "furo"
html_title = "kerascw"
html_theme_options = {"footer_icons": []}
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    """Write the pages made from code and results before Sphinx reads any."""
    import generate

    app.connect("builder-inited", lambda built: generate.write(Path(built.srcdir)))


assert kerascw.__doc__
