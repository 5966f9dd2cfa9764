"""The pages are true: their code runs, their links resolve, their tables are those of the code."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spinlock.cli.program import run
from spinlock.dataset.aggregate_reference import aggregate_reference_page
from spinlock.dataset.documentation import data_format_page
from spinlock.dataset.feature_reference import feature_reference_page
from spinlock.dataset.reference import initial_conditions_page
from spinlock.features import registry as features
from spinlock.initial_conditions import registry
from spinlock.visualization.aggregates import aggregates

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("configs/*.md")])
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for found, marks, code in BLOCK.findall(page.read_text()):
            if found == language and "notest" not in marks:
                yield page, code


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README leaves it after its first command, with the features that it adds later."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "configs").symlink_to(ROOT / "configs")
    command = [sys.executable, "-m", "spinlock", "generate", "--config", "configs/experiments/test_100.yaml"]
    subprocess.run([*command, "--quiet"], cwd=folder, check=True)
    command = [sys.executable, "-m", "spinlock", "extract-features", "--dataset", "datasets/test_100.h5"]
    subprocess.run([*command, "--quiet"], cwd=folder, check=True)
    return folder


@contextmanager
def leaving_only_datasets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a checkout; what was not there before must stand below datasets/, which git ignores."""

    def standing() -> set[Path]:
        return {*folder.iterdir(), *(folder / "configs").rglob("*")} - {folder / "datasets"}

    before = standing()
    monkeypatch.chdir(folder)
    yield
    left = [str(path.relative_to(folder)) for path in standing() - before]
    assert left == [], "a block of a page leaves files beside the checkout"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_files_named_in_the_architecture_exist() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    for named in re.findall(r"`([\w/]+\.py)`", page):
        assert (ROOT / "src" / "spinlock" / named).is_file(), named
    for folder in re.findall(r"`([\w/]+/)`", page):
        assert (ROOT / "src" / "spinlock" / folder).is_dir(), folder


def test_tests_named_in_the_guarantees_exist() -> None:
    named = re.findall(r"`(tests/[^`]+)`", (ROOT / "docs" / "guarantees.md").read_text())
    assert len(set(named)) > 20
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize(("page", "code"), list(blocks("python")), ids=lambda part: getattr(part, "name", ""))
def test_python_blocks_run(page: Path, code: str, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with leaving_only_datasets(checkout, monkeypatch):
        exec(compile(code, str(page), "exec"), {"__name__": "__main__"})


def spinlock_lines() -> list[str]:
    """Return the commands of all pages, each once; a backslash ends a line that goes on in the next."""
    lines = [line for _, code in blocks("bash") for line in re.sub(r"\\\n\s*", " ", code).splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith("spinlock ")))


@pytest.mark.parametrize("line", spinlock_lines())
def test_command_lines_work(line: str, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = shlex.split(line)[1:]
    if arguments[0] == "generate" and not {"--dry-run", "--range"} & set(arguments):
        arguments.append("--dry-run")
    if arguments[0] == "extract-features":
        arguments += ["--overwrite", "--max-samples", "2"]
    with pytest.MonkeyPatch.context() as patch, leaving_only_datasets(checkout, monkeypatch):
        patch.setattr("spinlock.execution.estimate.CALIBRATED", 2)
        assert run(arguments) == 0


@pytest.mark.parametrize(("left", "refused"), [("a.png", True), ("datasets/a.png", False), ("b/c.h5", True)])
def test_what_a_block_leaves_beside_the_checkout_is_found(
    left: str, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "/datasets/" in (ROOT / ".gitignore").read_text().splitlines()
    (tmp_path / "datasets").mkdir()
    found = False
    try:
        with leaving_only_datasets(tmp_path, monkeypatch):
            Path(left).parent.mkdir(exist_ok=True)
            Path(left).write_text("left")
    except AssertionError as error:
        found = left.split("/", maxsplit=1)[0] in str(error)
    assert found is refused


WIDEST = 80
"""Characters of a line of code that the site shows without scrolling."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_of_code_are_short(page: Path) -> None:
    """Those of output that the program lays out in columns are as it prints them.

    The two commands that set all up stand in one line in the README, which is no page of the site.
    """
    wide = [
        line
        for language, _, code in BLOCK.findall(page.read_text())
        if language in ("python", "bash", "yaml", "sh", "toml", "dockerfile")
        for line in code.splitlines()
        if len(line) > WIDEST and not (page.name == "README.md" and line.startswith("python3 -m venv"))
    ]
    assert wide == []


def test_the_readme_has_command_lines() -> None:
    assert len(spinlock_lines()) >= 6


def test_the_data_format_page_is_rendered_from_the_schema() -> None:
    assert (ROOT / "docs" / "data_format.md").read_text() == data_format_page(), "run scripts/render_docs.py"


def test_the_page_of_initial_conditions_is_rendered_from_the_catalogue() -> None:
    page = (ROOT / "docs" / "initial_conditions.md").read_text()
    assert page == initial_conditions_page(), "run scripts/render_docs.py"


def test_the_feature_reference_is_rendered_from_the_registry() -> None:
    page = (ROOT / "docs" / "features" / "feature-reference.md").read_text()
    assert page == feature_reference_page(), "run scripts/render_docs.py"
    assert all(f"`{name}`" in page for name in features)


def test_the_page_of_aggregates_is_rendered_from_the_catalogue() -> None:
    assert (ROOT / "docs" / "aggregates.md").read_text() == aggregate_reference_page(), (
        "run scripts/render_docs.py"
    )


def test_counts_in_the_readme_are_those_of_the_catalogue() -> None:
    page = (ROOT / "README.md").read_text()
    assert f"one of {len(registry)} kinds of initial condition" in page
    assert (len(aggregates), "[nine aggregates of the ensemble]" in page) == (9, True)
    assert (len(features), "153 features" in page) == (153, True)


def test_the_version_is_written_once() -> None:
    from spinlock import __version__

    project = (ROOT / "pyproject.toml").read_text()
    assert project.count(f'version = "{__version__}"') == 1
    lines = [line for p in (ROOT / "src").rglob("*.py") for line in p.read_text().splitlines()]
    assert not [line for line in lines if __version__ in line and "sdf" not in line.lower()]
