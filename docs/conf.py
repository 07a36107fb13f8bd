"""Sphinx builds the documentation with this: ``make docs``."""

import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

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
    """Before Sphinx reads any page, write those made from code and results; after, check links."""
    import generate
    from links import dead_in_site

    def refuse_dead_links(built: Sphinx, error: Exception | None) -> None:
        for link in () if error else dead_in_site(Path(built.outdir)):
            logging.getLogger(__name__).warning("dead link: %s", link)

    app.connect("builder-inited", lambda built: generate.write(Path(built.srcdir)))
    app.connect("build-finished", refuse_dead_links)


assert kerascw.__doc__
