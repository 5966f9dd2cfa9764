"""Two hundred seeded corruptions of a dataset, and of a run: all are found, none is fatal, all repaired."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import tiny
from test_dataset.damage_to_files import FILE_DAMAGE, LOCAL
from test_dataset.damage_to_runs import RUN_DAMAGE

TESTS = Path(__file__).resolve().parents[1]
TOO_FAR_GONE = "another dataset, or too damaged to tell which it was"


def findings(folder: Path, what: str, count: int, every: int) -> list[dict]:
    """Corrupt in a process of its own; repair one in so many."""
    result = subprocess.run(
        [sys.executable, "-m", "test_dataset.corruptions", str(folder), what, str(count), str(every)],
        env=tiny.environment(PYTHONPATH=f"{tiny.SOURCE}{os.pathsep}{TESTS}"),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0, f"after {len(found)} ({found[-1:]}): {result.stderr[-3000:]}"
    assert len(found) == count
    return found


def check_file(one: dict) -> None:
    assert one["changed"] == bool(one["found"]), one
    if not one["found"]:
        assert one["opened"] is None, one
        assert one["told"] is None, one


def check_repair(one: dict) -> None:
    if one["repaired"] is not None:
        assert TOO_FAR_GONE in one["repaired"], one
        assert one["how"] in ("cut", "zero", "noise", "swap blocks"), one
        return
    assert one["differing"] == [], one
    assert not [failure for failure in one["found"] if failure.startswith("after the repair")], one
    if one["how"] in LOCAL:
        assert one["made"] == one["damaged"], one
    elif one["damaged"] is not None:
        assert set(one["damaged"]) <= set(one["made"]), one


def check_each(found: list[dict], every: int) -> None:
    for one in found:
        check_file(one)
        if one["number"] % every == 0:
            check_repair(one)


def check_all(found: list[dict], every: int) -> None:
    check_each(found, every)
    unseen = Counter(one["how"] for one in found if not one["changed"])
    assert unseen.total() < 0.2 * len(found)  # a few fall where nothing is read, such as behind the end
    assert set(unseen) <= {"append", "flip", "zero", "noise", "swap blocks", "cell"}, unseen
    repaired = [one for one in found if one["number"] % every == 0]
    assert sum(one["repaired"] is None for one in repaired) > 0.8 * len(repaired)
    kept = [one for one in repaired if one["repaired"] is None and len(one["made"]) < 3 and one["found"]]
    assert len(kept) > 0.3 * len(repaired)


def test_corruptions_of_a_dataset_of_every_kind_are_found_and_some_repaired(tmp_path):
    found = findings(tmp_path, "file", 45, 7)
    assert len({one["how"] for one in found}) == len(FILE_DAMAGE)
    check_each(found, 7)
    assert {len(one["made"]) for one in found if one["number"] % 7 == 0} == {0, 1, 3}  # of three shards


@pytest.mark.slow
def test_fifty_of_two_hundred_corruptions_of_a_dataset_are_repaired(tmp_path):
    check_all(findings(tmp_path, "file", 200, 4), 4)


def check_runs(found: list[dict], every: int) -> None:
    assert {one["how"] for one in found} == set(RUN_DAMAGE)
    for one in found:
        assert one["changed"] or one["how"] in ("zero", "cell"), one  # zeros over zeros
        assert set(one["damaged"]) <= set(one["made"]), one
        if one["number"] % every == 0:
            assert one["repaired"] is None, one
            assert one["made"] == one["damaged"], one
            assert one["differing"] == [], one


def test_corruptions_of_a_run_are_found_and_made_again(tmp_path):
    check_runs(findings(tmp_path, "run", 20, 13), 13)


@pytest.mark.slow
def test_two_hundred_corruptions_of_a_run_are_found_and_made_again(tmp_path):
    check_runs(findings(tmp_path, "run", 200, 7), 7)
