"""A dataset of any form appears complete or not at all, whatever step of its making fails."""

import os
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from spinlock.errors import StorageError
from spinlock.storage import atomic
from spinlock.storage.atomic import publish_folder
from spinlock.storage.forms import finalize, verify
from spinlock.storage.zarr_sources import WRITERS, _together
from test_storage.dataset_samples import layout_of
from test_storage.stored_forms import STATED, contents, form_of, shards_of

FORMS = ("spin", "zarr")
LAYOUT = layout_of(samples=5)
OLD = layout_of(samples=2)


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


class Stopped(Exception):
    """Stands for whatever may happen."""


def steps_of(path: Path) -> list[str]:
    """The steps of an undisturbed making, digests left out."""
    met: list[str] = []
    form_of(path, LAYOUT, checkpoint=met.append)
    return [step.partition(" ")[0] if step.startswith("sealed") else step for step in met]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("replaced", [False, True])
def test_a_making_stopped_at_any_step_leaves_what_stood_there(tmp_path, form, replaced):
    steps = steps_of(tmp_path / f"undisturbed.{form}")
    assert {"create", "shard 0", "shard 1", "seal", "check", "rename", "fsync directory"} <= set(steps)
    right = contents(tmp_path / f"undisturbed.{form}")
    for number, step in enumerate(steps):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / f"a.{form}"
        old = contents(form_of(path, OLD)) if replaced else None
        work = path.with_name(f"{path.name}.parts")
        if work.exists():
            work.rename(folder.with_name(f"{number} old work"))
        shards = shards_of(work, LAYOUT)

        left = iter(range(number))

        def stop(_step: str, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Stopped

        with pytest.raises(Stopped):
            finalize(path, LAYOUT, shards, STATED, stop)
        if number == len(steps) - 1:
            assert contents(path) == right, step
        else:
            assert (contents(path) if path.exists() else None) == old, step
            assert [one.name for one in folder.iterdir() if ".tmp-" in one.name] == [], step
            finalize(path, LAYOUT, shards, STATED)
            assert contents(path) == right, step
            assert verify(path) == [], step


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_shard_is_named_and_nothing_appears(tmp_path, form):
    path = tmp_path / f"a.{form}"
    shards = shards_of(path.with_name(f"{path.name}.parts"), LAYOUT)
    data = bytearray(shards[1].path.read_bytes())
    data[-20] ^= 1
    shards[1].path.write_bytes(data)
    with pytest.raises(StorageError, match=r"part-000001\.h5"):
        finalize(path, LAYOUT, shards, STATED)
    assert not path.exists()


def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A finished folder, and another thing where it shall stand."""
    work, path = tmp_path / "work.tmp", tmp_path / "path"
    work.mkdir()
    (work / "new").touch()
    return work, path


@pytest.mark.parametrize("old", ["nothing", "folder", "file"])
@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_takes_the_place_of_anything(tmp_path, monkeypatch, old, exchange):
    work, path = folders(tmp_path)
    if not exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda _one, _other: False)
    if old == "folder":
        (path / "deep").mkdir(parents=True)
    elif old == "file":
        path.write_text("old")
    publish_folder(work, path)
    assert [one.name for one in tmp_path.iterdir()] == ["path"]
    assert [one.name for one in path.iterdir()] == ["new"]


def test_without_an_exchange_a_failed_rename_puts_the_old_back(tmp_path, monkeypatch):
    work, path = folders(tmp_path)
    path.write_text("old")
    monkeypatch.setattr(atomic, "_exchange", lambda _one, _other: False)
    right = os.rename

    def failing(source, target):
        if Path(source) == work:
            raise OSError(5, "Input/output error")
        right(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(StorageError, match="Input/output error"):
        publish_folder(work, path)
    assert path.read_text() == "old"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["path", "work.tmp"]


def test_an_exchange_is_made_here(tmp_path):
    """The control: on the systems that tests run on, there is no moment without the old or the new."""
    work, path = folders(tmp_path)
    path.write_text("old")
    if not atomic._exchange(work, path):
        pytest.skip("this file system cannot exchange two names")
    assert path.is_dir()
    assert work.read_text() == "old"
    with pytest.raises(OSError, match="No such file"):
        atomic._exchange(work, tmp_path / "nothing")


def test_few_parts_of_a_store_are_under_way_at_a_time():
    """However many shards there are: what a part gives back waits in memory until its turn."""
    begun, appended = count(), []

    class Tables:
        def append(self, path, entries):
            appended.append((path, entries))

    class Store:
        tables = Tables()

    most = 0

    def part(number):
        nonlocal most
        most = max(most, next(begun) - len(appended))
        return {"metadata/lyapunov": number}

    _together((partial(part, number) for number in range(200)), Store(), lambda _step: None)
    assert appended == [("metadata/lyapunov", number) for number in range(200)]
    assert most <= 2 * WRITERS


def test_a_part_that_fails_ends_the_making_and_the_rest_is_not_begun():
    begun = []

    def part(number):
        begun.append(number)
        if number == 3:
            raise StorageError("the third")
        return {}

    with pytest.raises(StorageError, match="the third"):
        _together((partial(part, number) for number in range(500)), None, lambda _step: None)
    assert len(begun) <= 4 + 2 * WRITERS
