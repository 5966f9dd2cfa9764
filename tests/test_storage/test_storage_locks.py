"""One process at a time works in a directory, and a lock ends with its process."""

import fcntl
import os
import subprocess
import sys

import pytest

from spinlock.errors import StorageError
from spinlock.storage.locks import DirectoryLock
from spinlock.storage.space import free_space, readable_size, require_space

HOLD = (
    "import sys; from pathlib import Path; from spinlock.storage.locks import DirectoryLock\n"
    "DirectoryLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
)


def test_a_second_holder_is_refused_until_the_first_is_gone(tmp_path):
    lock = DirectoryLock(tmp_path).acquire()
    with pytest.raises(StorageError, match=rf"pid {os.getpid()}\) is working in {tmp_path}.*wait"):
        DirectoryLock(tmp_path).acquire()
    lock.release()
    lock.release()
    with DirectoryLock(tmp_path):
        pass
    with DirectoryLock(tmp_path):
        pass


def test_a_lock_on_a_file_that_was_removed_is_no_lock(tmp_path, monkeypatch):
    """Another process clears up between the opening of the file and the lock."""
    flock = fcntl.flock

    def removed_first(descriptor, how):
        (tmp_path / "lock").unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", removed_first)
    with pytest.raises(StorageError, match="was cleared up by another process"):
        DirectoryLock(tmp_path).acquire()
    monkeypatch.undo()
    DirectoryLock(tmp_path).acquire().release()


def test_a_killed_holder_holds_no_longer(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match=f"pid {holder.pid}"):
            DirectoryLock(tmp_path).acquire()
        holder.kill()
        holder.wait()
        DirectoryLock(tmp_path).acquire().release()


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"gone/lock cannot be opened.*writable"):
        DirectoryLock(tmp_path / "gone").acquire()


def test_space_is_looked_up_where_the_file_will_stand(tmp_path):
    free = free_space(tmp_path / "not" / "yet" / "there.h5")
    assert free > 0
    require_space(tmp_path / "x.h5", 0)
    with pytest.raises(
        StorageError, match=r"disk is too small: .*x\.h5 needs 1e\+03 PB.*are free.*output_path"
    ):
        require_space(tmp_path / "x.h5", 10**18)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (1234, "1.23 kB"),
        (999_600, "1 MB"),
        (2e15, "2 PB"),
    ],
)
def test_sizes_in_words(size, text):
    assert readable_size(size) == text
