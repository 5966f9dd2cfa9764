"""One of a thing is written without an s, wherever something is counted."""

import re

import pytest

import tiny
from spinlock.cli.program import run
from spinlock.counting import counted

ONE_OF_MANY = re.compile(r"(?<![\d.,:])1 (?!is\b|has\b|was\b|times\b)[a-z]+s\b(?! needed)")


def test_one_has_no_s():
    assert [counted(n, "row") for n in (0, 1, 2, 10**6)] == ["0 rows", "1 row", "2 rows", "1000000 rows"]


@pytest.mark.parametrize(("text", "found"), [("of 1 rows", True), ("11 rows, 1.1 rows, 1 row", False)])
def test_a_wrong_plural_is_found(text, found):
    assert bool(ONE_OF_MANY.search(text)) is found


def test_a_dataset_of_one_of_everything_is_told_in_the_singular(tmp_path, capsys):
    ones = {"sampling.total_samples": 1, "simulation.num_realizations": 1}
    config = tiny.write_config(tmp_path / "c.yaml", tiny.changed(tiny.PLAIN, ones))
    made = ["--config", str(config), "--output", str(tmp_path / "a.h5")]
    with tiny.unchecked_shapes():
        for command in (
            ["generate", *made, "--dry-run"],
            ["generate", *made, "--profile"],
            ["generate", *made],
            ["info", "--dataset", str(tmp_path / "a.h5"), "--verbose"],
            ["validate", "--dataset", str(tmp_path / "a.h5"), "--replay", "1"],
            ["generate", *made, "--force", "--limit", "0"],
            ["generate", *made, "--force", "--range", "0:7"],
        ):
            run(command)
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert "1 sample" in said or "1 shard" in said
    assert ONE_OF_MANY.findall(said) == []
    wrong = [line for line in said.splitlines() if ONE_OF_MANY.search(line)]
    assert wrong == []
