"""How these pages are built: `sphinx-build -W docs OUT`."""

import sys
from pathlib import Path

import notifierlab

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "notifierlab"
author = "the notifierlab authors"
release = version = notifierlab.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "bench"]
exclude_patterns = ["_ext", "_build"]
smartquotes = False  # `--option` is two hyphens

# Single backticks in our docstrings mean code, as in Markdown.
default_role = "code"
highlight_language = "none"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 140
add_module_names = False
toc_object_entries = False

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "notifierlab"
html_static_path = ["_static"]
html_css_files = ["notifierlab.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "native"
