"""Mathematics as MathML, made when the site is built: a page loads no script to show a formula."""

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def mathml(node: nodes.Element, *, as_block: bool) -> str:
    """Return the MathML of a formula; one that cannot be converted is a warning, and shown as written."""
    written = node.astext()
    try:
        return tex2mathml(written, as_block=as_block)
    except MathError as error:
        logger.warning("formula %s: %s", written, error, location=node)
        return f"<code>{nodes.Text(written).astext()}</code>"


def visit_inline(translator: Any, node: nodes.math) -> None:
    """Write a formula that stands in a line."""
    translator.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    """Write a formula that stands alone, with its anchor and its number."""
    anchors = "".join(f'<span id="{name}"></span>' for name in node.get("ids", []))
    number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
    translator.body.append(f'<div class="math">{anchors}{number}{mathml(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer under the name ``mathml``."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
