"""The directive ``public-api``: documents every public name of a module.

Public are the names in ``__all__``; of a module without it, the names that the directive lists, else what the
module itself defines.
"""

import importlib
import inspect
import re
from pydoc import locate
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

SPECIAL = "   :special-members: __call__, __getitem__, __iter__, __len__\n"


def public_names(module: ModuleType) -> list[str]:
    """Return the public names of a module, in the order of ``__all__`` or of the file."""
    declared = getattr(module, "__all__", None)
    if declared is not None:
        return list(declared)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]


def documented(module: str, name: str) -> str:
    """Return the directive of autodoc that documents a name."""
    value = getattr(importlib.import_module(module), name)
    if not inspect.isclass(value):
        kind = "autofunction" if callable(value) else "autodata"
        value_shown = "" if callable(value) or isinstance(value, str | tuple) else "   :no-value:\n"
        return f".. {kind}:: {module}.{name}\n{value_shown}"
    if issubclass(value, BaseException):
        return f".. autoexception:: {module}.{name}\n   :show-inheritance:\n"
    if hasattr(value, "model_fields"):  # the page of the configuration has its fields
        return f".. autoclass:: {module}.{name}()\n"
    made = "()" if getattr(value, "_is_protocol", False) else ""
    return f".. autoclass:: {module}.{name}{made}\n   :members:\n{SPECIAL}"


class PublicApi(SphinxDirective):
    """``{public-api} module``, with the names to document in its body if not all."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the documentation of the names, in the order of their declaration."""
        module = importlib.import_module(self.arguments[0])
        self.env.note_dependency(str(module.__file__))
        names = " ".join(self.content).split() or public_names(module)
        written = "\n".join(documented(module.__name__, name) for name in names)
        lines = [
            "```{eval-rst}",
            f".. py:currentmodule:: {module.__name__}",
            "",
            *written.splitlines(),
            "```",
        ]
        node = nodes.section(document=self.state.document)
        self.state.nested_parse(StringList(lines, source=str(module.__file__)), 0, node)
        return node.children


def _as_written(_app: Sphinx, what: str, _name: str, _value: Any, _options: Any, lines: list[str]) -> None:
    """Keep a docstring's words: suffixes keep their dot, attributes what stands before a colon.

    A name in backticks that begins with a dot would be looked up and shown without it; napoleon takes what
    precedes the colon in the first line for an attribute's type, so that an empty comment goes first.
    """
    lines[:] = [re.sub(r"(?<![`\w])`(\.[\w.]+)`(?!`)", r"``\1``", line) for line in lines]
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]


def _readable(
    _app: Sphinx,
    _what: str,
    _name: str,
    _value: Any,
    _options: Any,
    signature: str | None,
    result: str | None,
) -> tuple[str | None, str | None]:
    """Replace defaults that are no Python, such as ``<factory>``, so that the rest is read as Python."""
    return signature and re.sub(r"(?<== )<[^<>]*>", "...", signature), result


def _with_dashes(_app: Sphinx, tree: nodes.document, _name: str) -> None:
    """Write the dash between a parameter and what it means as one."""
    for text in list(tree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" – "))


def _at_its_public_place(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.TextElement
) -> nodes.reference | None:
    """Resolve a unique name of ours that is written without its module, or with that of its source."""
    target = str(node.get("reftarget", "")).strip(".")
    if node.get("refdomain") != "py" or ("." in target and not target.startswith("spinlock.")):
        return None
    domain = env.domains["py"]
    last = target.rpartition(".")[2]
    places = [
        name
        for name, entry in domain.objects.items()
        if name.rpartition(".")[2] == last and not entry.aliased
    ]
    outer = [name for name in places if domain.objects[name].objtype in TOP_LEVEL] or places
    if len(outer) != 1 or ("." in target and locate(target) is not locate(outer[0])):
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", outer[0], node, shown)


TOP_LEVEL = ("class", "exception", "function", "data")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive, and what makes docstrings read well."""
    app.add_directive("public-api", PublicApi)
    app.connect("autodoc-process-docstring", _as_written, priority=100)
    app.connect("autodoc-process-signature", _readable)
    app.connect("doctree-resolved", _with_dashes)
    app.connect("missing-reference", _at_its_public_place)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
