"""The notebooks, as they are written: the build of the site executes them, these tests read them."""

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml

from spinlock.initial_conditions import registry
from tiny import ROOT

FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = sorted(path for path in FOLDER.glob("*.md") if path.name != "index.md")
CELL = re.compile(r"^```\{code-cell\} ipython3\n(.*?)^```$", re.MULTILINE | re.DOTALL)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path) -> list[str]:
    return CELL.findall(path.read_text())


def code(path: Path) -> ast.Module:
    return ast.parse("\n".join(cells(path)), filename=path.name)


def missing_names(tree: ast.Module) -> list[str]:
    """The names of Spinlock that are imported and do not exist, or are private."""
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "spinlock":
            module = importlib.import_module(str(node.module))
            names = [alias.name for alias in node.names]
            wrong += [name for name in names if name.startswith("_") or not hasattr(module, name)]
    return wrong


def missing_members(tree: ast.Module, objects: dict[str, type]) -> list[str]:
    """What is asked of variables of those names, and their classes do not have."""
    return [
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id in objects and not hasattr(objects[node.value.id], node.attr)
    ]


def test_there_are_four_and_the_index_names_them() -> None:
    page = (FOLDER / "index.md").read_text()
    listed = re.findall(r"^(\w+)$", page.split("```{toctree}")[1].split("```")[0], re.MULTILINE)
    assert sorted(listed) == [path.stem for path in NOTEBOOKS]
    assert len(listed) == 4
    assert re.findall(r"^\| \[[^]]+\]\((\w+)\.md\)", page, re.MULTILINE) == listed


@each_notebook
def test_the_header_says_that_it_is_a_notebook(path: Path) -> None:
    header = yaml.safe_load(path.read_text().split("---")[1])
    assert header["file_format"] == "mystnb"
    assert header["kernelspec"]["name"] == "python3"
    assert path.read_text().count("```{code-cell}") == len(cells(path)) > 4


@each_notebook
def test_it_names_only_what_exists(path: Path) -> None:
    from spinlock.dataset import Dataset, VirtualDataset

    tree = code(path)
    assert missing_names(tree) == []
    virtual = {"virtual": VirtualDataset, "operators": VirtualDataset}
    assert missing_members(tree, {"ds": Dataset, **virtual}) == []


def test_a_name_that_does_not_exist_is_found() -> None:
    from spinlock.dataset import Dataset

    tree = ast.parse("from spinlock.dataset import open_dataset, opened\nds.rolls(1)\nds.rollout(1)")
    assert missing_names(tree) == ["opened"]
    assert missing_members(tree, {"ds": Dataset}) == ["ds.rolls"]


@each_notebook
def test_its_configuration_is_one(path: Path) -> None:
    """The dictionary in it loads, and what it says of initial conditions are names of the catalogue."""
    from spinlock.config import load_config

    found = [node for node in ast.walk(code(path)) if isinstance(node, ast.Dict) and is_configuration(node)]
    (node,) = found
    constants = {"path": "a.h5", "STEPS": 12, "GAIN": (0.5, 3.0), "NOISE": (1e-4, 0.5)}
    values = eval(compile(ast.Expression(node), path.name, "eval"), constants)
    config = load_config(values)
    assert set(config.simulation.input_generation.ic_type_weights or {}) <= set(registry)


def is_configuration(node: ast.Dict) -> bool:
    return any(isinstance(key, ast.Constant) and key.value == "parameter_space" for key in node.keys)


@each_notebook
def test_it_is_seeded_and_stays_here(path: Path) -> None:
    """Nothing random without a seed, nothing from the network, no file outside a temporary folder."""
    text = "\n".join(cells(path))
    assert not re.findall(r"default_rng\(\)|np\.random\.(?!default_rng\()\w+|torch\.seed|random\.seed", text)
    drawn = re.findall(r"torch\.rand\w*\(([^\n]*)|nn\.(?:Conv2d|Linear)\(", text)
    assert not drawn or "torch.manual_seed(0)" in text
    assert not re.findall(r"https?://|urllib|requests|open\(|savefig|tqdm|progress", text)
    if "DatasetGenerationPipeline(" in text:
        assert "folder = TemporaryDirectory()" in text
        assert text.rstrip().endswith("folder.cleanup()")


@each_notebook
def test_lines_of_code_are_short(path: Path) -> None:
    """The site shows 80 characters without scrolling."""
    assert [line for cell in cells(path) for line in cell.splitlines() if len(line) > 80] == []


@each_notebook
def test_figures_fit_a_phone(path: Path) -> None:
    """No wider than 5.2 inches with letters of 8 points or more: legible at a third of the size."""
    text = "\n".join(cells(path))
    widths = [float(width) for width in re.findall(r"figsize=\((\d+(?:\.\d+)?),", text)]
    assert widths
    assert max(widths) <= 5.2
    assert all(int(size) >= 8 for size in re.findall(r"fontsize=(\d+)", text))
