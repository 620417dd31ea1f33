"""How Sphinx makes the site of these pages; scripts/build_docs.py collects them and runs it."""

import re

from docutils import nodes
from latex2mathml.converter import convert

project = "gsa-core"
author = "the authors of gsa-core"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["**.ipynb"]
html_theme = "furo"
html_title = "gsa-core"
html_extra_path = ["../extra"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
highlight_language = "none"  # of blocks that name none: commands and their outputs
html_copy_source = False
html_show_copyright = html_show_sphinx = False
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # of SQL, which pygments knows in part
napoleon_google_docstring = False
autodoc_typehints = "none"  # docstrings say types and shapes
autodoc_member_order = "bysource"


def _as_mathml(display):
    """How a formula is written; browsers draw MathML by themselves."""

    def visit(translator, node):
        translator.body.append(convert(node.astext(), display=display))
        raise nodes.SkipNode

    return visit, None


def _keep_percentages_whole(app, page, source):
    """Join a number and its percent sign, so that no line ends between them."""
    source[0] = re.sub(r"(\d) %(?= |[.,;:)\]|]|$)", "\\1\u00a0%", source[0], flags=re.MULTILINE)


def setup(app):
    """Register the renderer of formulas, and what is done to every page."""
    app.add_html_math_renderer("mathml", _as_mathml("inline"), _as_mathml("block"))
    app.connect("source-read", _keep_percentages_whole)
