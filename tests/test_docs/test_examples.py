"""The examples run, say what they promise, and are all in the table of their README."""

import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from spinlock.testing.contracts import CONTRACTS
from tiny import ROOT, python

EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.py"))


def alone(script: str, folder: Path, *words: object) -> str:
    """Run a script as a user does, and return what it prints."""
    done = python("-W", "error", EXAMPLES / script, *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """Run a script in this process, which has imported what it needs, and return what it prints."""

    def run(script: str, *words: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", [script, *map(str, words)])
        with tiny.unchecked_shapes():
            runpy.run_path(str(EXAMPLES / script), run_name="__main__")
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    with torch.random.fork_rng():
        yield run


@pytest.mark.slow
def test_the_tutorial_of_features(tmp_path: Path) -> None:
    output = tmp_path / "tutorial.h5"
    words = ["--samples", "12", "--output", output]
    said = alone("demos/feature_extraction_tutorial.py", tmp_path, *words)
    assert "153 features" in said
    assert "aggregated (12, 271)" in said
    best, *_, chance = map(float, re.findall(r"^ *(\d+\.\d\d)  ", said, re.MULTILINE))
    assert (best > chance) == ("no column separates better" not in said)
    assert output.is_file()


def test_the_tutorial_finds_a_column_that_tells_and_none_in_noise() -> None:
    """Of 271 columns of noise on 24 rows the best separates well, and no better than shuffled labels do."""
    tutorial = runpy.run_path(str(EXAMPLES / "demos" / "feature_extraction_tutorial.py"))
    separation, by_chance = tutorial["separation"], tutorial["by_chance"]
    noise = np.random.default_rng(1).normal(size=(24, 271))
    chosen = np.arange(24) < 10
    chance = by_chance(noise, chosen)
    assert 1.0 < separation(noise, chosen).max() < chance
    told = np.column_stack([noise, noise[:, 0] + 4.0 * chosen])
    assert separation(told, chosen).argmax() == 271
    assert separation(told, chosen).max() > by_chance(told, chosen)


def test_generate_and_read(here: Callable[..., str], tmp_path: Path) -> None:
    said = here("generate_and_read.py", "--samples", 4).splitlines()
    assert [line.split()[0] for line in said[:-1]] == list("0123")
    assert said[-1] == "4 rows; row 3 made again: the same bits"
    assert list(tmp_path.iterdir()) == []


def test_an_initial_condition_of_ones_own(tmp_path: Path) -> None:
    said = alone("own_initial_condition.py", tmp_path, "--samples", 3).splitlines()
    assert said[0].startswith("fields (8, 1, 32, 32), values from -")
    kept, rows = said[1 : 1 + len(CONTRACTS)], said[1 + len(CONTRACTS) :]
    assert {line.split()[0] for line in kept} == {"kept:"}
    cells = [int(found) for line in rows for found in re.findall(r'checkerboard {"cells": (\d)', line)]
    assert len(cells) == len(rows) == 3
    assert set(cells) <= {2, 3, 4, 5}
    assert list(tmp_path.iterdir()) == []


def test_training_a_surrogate(here: Callable[..., str], tmp_path: Path) -> None:
    """Eight steps are better than none, which predicts no change: error 1."""
    said = here("train_surrogate.py", "--steps", 8)
    before, simple, after = (float(error) for error in re.findall(r": (\d\.\d+)$", said, re.MULTILINE))
    assert before == 1.0
    assert 0.5 < simple < 1.0
    assert 0.05 < after < 0.95
    assert list(tmp_path.iterdir()) == []


def test_the_sweep_draws_a_picture(here: Callable[..., str], tmp_path: Path) -> None:
    said = here("sweep_edge_of_chaos.py", "--samples", 16, "--steps", 16, "--output", "a.png")
    counts = dict(re.findall(r"(\d+) (\w+)$", said, re.MULTILINE))
    assert sum(map(int, counts)) == 16
    with Image.open(tmp_path / "a.png") as picture:
        colours = picture.convert("RGB").getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 10


def test_the_table_holds_every_example_once() -> None:
    page = (EXAMPLES / "README.md").read_text()
    named = re.findall(r"^\| \[([^]]+)\]\(([^)]+)\) \| [^|]+ \|$", page, re.MULTILINE)
    assert [text for text, _ in named] == [target for _, target in named]
    assert sorted(text for text, _ in named) == SCRIPTS


def test_every_example_has_a_test() -> None:
    source = Path(__file__).read_text()
    assert [script for script in SCRIPTS if not re.search(rf'(alone|here)\("{script}"', source)] == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_says_how_it_is_run(script: str) -> None:
    text = (EXAMPLES / script).read_text()
    usage = re.findall(rf"^    python examples/{script}(.*)$", text, re.MULTILINE)
    assert len(usage) == 1, "its first lines show the command"
    assert set(re.findall(r"--[a-z]+", usage[0])) == set(re.findall(r'add_argument\("(--[a-z]+)"', text))
