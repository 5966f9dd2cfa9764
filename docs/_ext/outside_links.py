"""Links of Markdown pages to files outside docs/: to the page that includes the file, or to a copy of it.

Pages are written for readers of the repository too, whose links are relative to the file that holds them.
"""

import os
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

INCLUDED = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "configs/README.md": "project/configurations.md",
    "examples/README.md": "project/examples.md",
}
"""Files of the repository, and the pages that stand for them on the site."""

FENCED = re.compile(r"^(```|~~~|:::).*?^\1\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?P<before>\]\()(?P<path>[^)#\s:]+)(?P<anchor>#[^)\s]*)?(?=[)\s])")


def on_the_site(text: str, folder: Path, docs: Path) -> str:
    """Return a page, read from ``folder``, its links out of ``docs`` or its folder made absolute."""
    pieces, end = [], 0
    for fence in FENCED.finditer(text):
        pieces += [_linked(text[end : fence.start()], folder, docs), fence[0]]
        end = fence.end()
    return "".join([*pieces, _linked(text[end:], folder, docs)])


def _linked(text: str, folder: Path, docs: Path) -> str:
    return LINK.sub(lambda link: f"{link['before']}{_place(link, folder, docs)}", text)


def _place(link: re.Match[str], folder: Path, docs: Path) -> str:
    """Return where a link leads on the site; "/" is docs/ to Sphinx."""
    anchor = link["anchor"] or ""
    target = Path(os.path.normpath(folder / link["path"]))
    root = docs.parent
    if folder.is_relative_to(docs) and (target.is_relative_to(docs) or link["path"].startswith("/")):
        return f"{link['path']}{anchor}"
    known = INCLUDED.get(target.relative_to(root).as_posix()) if target.is_relative_to(root) else None
    if known is not None:
        return f"/{known}{anchor}"
    if not target.is_file():
        logger.warning("%s links to %s, which is no file", folder, link["path"])
    return f"/{Path(os.path.relpath(target, docs)).as_posix()}{anchor}"


def _on_read(app: Sphinx, name: str, text: list[str]) -> None:
    path = Path(app.env.doc2path(name))
    if path.suffix == ".md":
        text[0] = on_the_site(text[0], path.parent, Path(app.srcdir))


def _on_include(app: Sphinx, path: Path, _parent: str, text: list[str]) -> None:
    docs = Path(app.srcdir)
    text[0] = on_the_site(text[0], Path(os.path.normpath(docs / path)).parent, docs)


def setup(app: Sphinx) -> dict[str, Any]:
    """Rewrite pages, and files that they include, as they are read."""
    app.connect("source-read", _on_read)
    app.connect("include-read", _on_include)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
