"""The site of the documentation: `python scripts/build_docs.py` builds it, with warnings as errors."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src"
sys.path[:0] = [str(HERE / "_ext"), str(SOURCE)]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(SOURCE), os.environ.get("PYTHONPATH"))))
"""Notebooks run in processes of their own, with this checkout too."""

from spinlock import __version__  # noqa: E402 (the package of this checkout)

project = "Spinlock"
author = "The Spinlock developers"
copyright = author  # noqa: A001 (Sphinx's name)
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "mathml",
    "outside_links",
    "public_api",
]
exclude_patterns = ["_build", "_ext"]
default_role = "py:obj"
smartquotes = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
myst_update_mathjax = False
html_math_renderer = "mathml"

nb_execution_mode = "auto"
nb_execution_show_tb = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_ipywidgets_js = {}

nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!spinlock)\w+\..*"),  # of other packages
    ("py:.*", r"Animation|DataLoader|Figure|Tensor|ndarray"),
    ("py:.*", r"'.*'"),  # the axes in an annotation of jaxtyping
    ("py:.*", r"spinlock\.(.*\.)?[A-Z]"),  # type variables
    ("py:.*", r"spinlock\.(config\.model|execution|rollout|storage|visualization)\..*"),  # not public
    ("py:.*", r"Block|Checkpoint|FeatureFacts|FeatureLayout"),  # the same, as written in annotations
    ("py:obj", r"[a-z_.]+|[A-Z_]+|.* .*"),  # modules, constants, commands
]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 120
python_use_unqualified_type_names = True
napoleon_google_docstring = False

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = f"Spinlock {version}"
html_static_path = ["_static"]
html_css_files = ["spinlock.css"]
html_favicon = "_static/spinlock.svg"
html_copy_source = False
html_show_sphinx = False
