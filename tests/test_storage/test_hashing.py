"""SHA-256 beside other work: the right bytes, in the right order, and nobody waits for what failed."""

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from spinlock.storage.hashing import BLOCK_BYTES, file_sha256, forget_cached, hashed_beside, one_ahead


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 3])
def test_the_digest_is_that_of_the_bytes(tmp_path: Path, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    path = tmp_path / "file"
    path.write_bytes(content[:size])
    expected = hashlib.sha256(content[:size]).hexdigest()
    assert file_sha256(path) == expected
    with hashed_beside(path) as sha256:
        assert sha256() == expected


def test_a_body_that_fails_ends_the_reading(tmp_path: Path) -> None:
    endless = tmp_path / "holes"
    endless.touch()
    os.truncate(endless, 2**42)
    with pytest.raises(ZeroDivisionError), hashed_beside(endless):
        raise ZeroDivisionError
    assert not [thread for thread in threading.enumerate() if "sha256" in thread.name]


def test_a_disk_that_fails_is_an_error_of_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system tells of it once: the next `fsync` of the same file may succeed."""
    (tmp_path / "file").write_bytes(b"1")

    def failing(_path: Path) -> None:
        raise OSError(errno.EIO, "told once")

    monkeypatch.setattr("spinlock.storage.hashing.fsync", failing)
    with hashed_beside(tmp_path / "file") as sha256, pytest.raises(OSError, match="told once"):
        sha256()


def test_a_file_that_is_gone_is_an_error_of_the_call(tmp_path: Path) -> None:
    with hashed_beside(tmp_path / "none") as sha256, pytest.raises(FileNotFoundError):
        sha256()


def test_one_item_is_looked_at_ahead_and_no_more() -> None:
    looked: list[int] = []

    def look(item: int, _stopping: Callable[[], bool]) -> bool:
        looked.append(item)
        return item % 2 == 0

    seen = []
    with closing(one_ahead(look, range(6))) as items:
        for item, even in items:
            deadline = time.monotonic() + 10
            while len(looked) < min(item + 2, 6) and time.monotonic() < deadline:
                time.sleep(0.001)
            assert looked == list(range(min(item + 2, 6)))
            seen.append((item, even))
    assert seen == [(item, item % 2 == 0) for item in range(6)]
    assert list(one_ahead(look, [])) == []


def test_who_stops_does_not_wait_for_the_next_item(tmp_path: Path) -> None:
    endless = tmp_path / "holes"
    endless.touch()
    os.truncate(endless, 2**42)

    def look(item: Path | None, stopping: Callable[[], bool]) -> bool:
        return item is not None and file_sha256(item, stopping) == ""

    with closing(one_ahead(look, [None, endless])) as items:
        assert next(items) == (None, False)
    assert not [thread for thread in threading.enumerate() if "sha256" in thread.name]


def test_a_forgotten_file_keeps_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"kept" * 5000)
    forget_cached(path)
    forget_cached(tmp_path / "none")
    assert path.read_bytes() == b"kept" * 5000
