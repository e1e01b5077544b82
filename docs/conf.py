"""The site: Sphinx, MyST, the PyData theme, mathematics without a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate

import npoptim

generate.write(Path(__file__).parent / "_generated")

project = "npoptim"
author = "The npoptim developers"
project_copyright = author
version = release = npoptim.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "sphinx-mathjax-offline",
]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
nb_execution_mode = "off"  # the tutorials are executed by the tests
exclude_patterns = ["_build", "_generated/extra", "rules", "LICENSE"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "undoc-members": False}
toc_object_entries = False  # each has a heading of its own
html_theme = "pydata_sphinx_theme"
html_title = "npoptim"
html_extra_path = ["_generated/extra"]  # players, and the gallery's pictures
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,  # the arrow keys belong to the steppers
    "header_links_before_dropdown": 5,
    "navigation_depth": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("players.js", {"defer": "defer"})]
html_show_sourcelink = False
html_copy_source = False
