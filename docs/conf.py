"""The site of the documentation: `python scripts/build_docs.py` builds it, with warnings as errors."""


project = "Spinlock"
author = "The Spinlock developers"
copyright = author  # noqa: A001 (Sphinx's name)
try:
    version = release = installed("spinlock")
except PackageNotFoundError:  # a checkout that is not installed
    version = release = "unreleased"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "auto"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

html_theme = "furo"
html_title = "Spinlock"
html_copy_source = False
html_show_sphinx = False
