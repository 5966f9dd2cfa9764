"""ARCHITECTURE.md says what the code is; modules and functions keep their size."""

import ast
import re
import tomllib
from collections.abc import Iterator

import pytest

import tiny

PAGE = (tiny.ROOT / "ARCHITECTURE.md").read_text()
SOURCE = tiny.ROOT / "src" / "spinlock"
FOLDERS = ("src", "tests", "benchmarks", "scripts", "examples", "docs")
MODULES = sorted(path for folder in FOLDERS for path in (tiny.ROOT / folder).rglob("*.py"))

LONGEST_MODULE, LONGEST_FUNCTION = 400, 50


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its first two lines."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def layers_of_the_page() -> list[set[str]]:
    """From the highest to the lowest; what stands in brackets explains."""
    return [set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", cells[1]))) for cells in rows("The layers")]


def layers_of_the_contract() -> list[set[str]]:
    project = tomllib.loads((tiny.ROOT / "pyproject.toml").read_text())
    (contract,) = [one for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]
    return [set(re.findall(r"\w+", line)) for line in contract["layers"]]


def test_the_layers_on_the_page_are_those_that_are_enforced() -> None:
    enforced = [layer for layer in layers_of_the_contract() if layer != {"__main__"}]
    *higher, lowest, errors = enforced
    assert layers_of_the_page() == [*higher, lowest | errors]


def test_every_package_and_module_of_the_root_has_a_layer() -> None:
    there = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/*.py")}
    assert there - {"__init__", "spinlock"} == set().union(*layers_of_the_contract())


def test_every_package_is_named_where_something_is_to_be_changed() -> None:
    named = " ".join(cells[1] for cells in rows("To change X, open Y"))
    packages = {path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.glob("**/__init__.py")} - {"."}
    assert {package for package in packages if f"`{package}/" not in named} <= {"cli"}


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("an initial condition", "initial_conditions/"),
        ("an aggregate of an ensemble", "visualization/aggregates/"),
    ],
)
def test_the_page_says_where_the_catalogues_live(what: str, where: str) -> None:
    found = {cells[0]: cells[1] for cells in rows("To change X, open Y")}
    assert f"`{where}`" in found[what]
    assert len(list((SOURCE / where).glob("*.py"))) > 9


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Each function with its lines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


def test_no_module_is_longer_than_allowed() -> None:
    assert {
        str(path): lines for path in MODULES if (lines := len(path.read_text().splitlines())) > LONGEST_MODULE
    } == {}


def test_no_function_of_the_package_is_longer_than_allowed() -> None:
    found = {
        (str(path.relative_to(SOURCE)), name): lines
        for path in SOURCE.rglob("*.py")
        for name, lines in functions(path.read_text())
    }
    assert len(found) > 2000
    assert {place: lines for place, lines in found.items() if lines > LONGEST_FUNCTION} == {}


def test_the_search_counts_the_lines_of_a_function() -> None:
    assert list(functions("def one():\n    '''.'''\n\n    return 1\n")) == [("one", 4)]


def test_every_module_begins_by_saying_what_it_is_for() -> None:
    for path in SOURCE.rglob("*.py"):
        paragraph = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0]
        assert len(paragraph.split()) >= 3, path
        assert paragraph.endswith((".", ":")), path
