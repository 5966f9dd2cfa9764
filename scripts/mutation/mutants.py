"""The mutants of a module: cosmic-ray's operators, less what the rules leave out, and a seeded sample."""

import ast
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cosmic_ray import plugins  # pyright: ignore[reportMissingImports]
from cosmic_ray.ast import ast_nodes, get_ast  # pyright: ignore[reportMissingImports]
from cosmic_ray.mutating import mutate_code  # pyright: ignore[reportMissingImports]
from packages import ROOT

Span = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Mutant:
    """One change of one place: the ``occurrence``-th that a cosmic-ray operator finds in a module."""

    module: str
    operator: str
    occurrence: int
    line: int
    column: int

    @property
    def name(self) -> str:
        """A name for results, unique in one version of the source."""
        return f"{self.module}:{self.line}:{self.column} {self.operator}#{self.occurrence}"

    def code(self) -> str | None:
        """The module's source with the change, or None where it says what it said or is no program."""
        source = (ROOT / self.module).read_text(encoding="utf-8")
        code = mutate_code(source, _operators()[self.operator], self.occurrence)
        if code is None:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)
            try:
                compile(code, self.module, "exec")
            except SyntaxError:
                return None
        return None if ast.dump(ast.parse(code)) == ast.dump(ast.parse(source)) else code


@cache
def _operators() -> dict[str, Any]:
    classes = {name: plugins.get_operator(name) for name in plugins.operator_names()}
    return {name: made() for name, made in sorted(classes.items()) if not made.arguments()}


def mutants(module: Path) -> Iterator[Mutant]:
    """Yield the mutants of a module that stand outside the places that the rules leave out."""
    source = (ROOT / module).read_text(encoding="utf-8")
    left_out = list(_left_out(source))
    nodes = list(ast_nodes(get_ast(source)))
    for name, operator in _operators().items():
        places = ((node, place) for node in nodes for place, _ in operator.mutation_positions(node))
        for occurrence, (node, place) in enumerate(places):
            # the marks / and * between parameters look like operators
            mark = getattr(node.parent, "type", "") in ("parameters", "lambdef")
            if not mark and not any(start <= place < end for start, end in left_out):
                yield Mutant(str(module), name, occurrence, *place)


def sample(modules: tuple[Path, ...], count: int, seed: int) -> list[Mutant]:
    """Return ``count`` mutants, or all: one of each place in random order, then a second of each, …"""
    generator = random.Random(seed)
    places: dict[tuple[str, int, int], list[Mutant]] = {}
    for module in modules:
        for mutant in mutants(module):
            places.setdefault((mutant.module, mutant.line, mutant.column), []).append(mutant)
    groups = list(places.values())
    for group in groups:
        generator.shuffle(group)
    generator.shuffle(groups)
    chosen: list[Mutant] = []
    for rank in zip_longest(*groups):
        for mutant in filter(None, rank):
            if len(chosen) == count:
                return chosen
            if mutant.code() is not None:
                chosen.append(mutant)
    return chosen


def _left_out(source: str) -> Iterator[Span]:
    """Yield the spans never mutated: annotations, aliases of types, text, arguments of exceptions."""
    tree = ast.parse(source)
    lines = source.splitlines()

    def span(node: ast.expr | ast.stmt) -> Span:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        ends = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
        first, last = ((row, len(lines[row - 1].encode()[:column].decode())) for row, column in ends)
        return first, last

    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            yield span(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            yield span(node.returns)
        elif isinstance(node, ast.JoinedStr):
            yield span(node)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from (span(part) for part in (*node.exc.args, *(k.value for k in node.exc.keywords)))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cast":
            yield span(node.args[0])
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield span(node)
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and _is_alias(statement.value):
            yield span(statement)


def _is_alias(value: ast.expr) -> bool:
    """Return whether a module-level value can only be a type: ``Literal[...]``, ``int | None``."""
    if isinstance(value, ast.BinOp):
        return isinstance(value.op, ast.BitOr) and any(map(_is_alias, (value.left, value.right)))
    typing_names = {"Literal", "Callable", "Mapping", "Sequence", "Annotated", "tuple", "dict", "list"}
    return (
        isinstance(value, ast.Subscript)
        and isinstance(value.value, ast.Name)
        and value.value.id in typing_names
    )
