"""One process at a time works in a directory, and a lock ends with its process."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from spinlock.errors import StorageError
from spinlock.storage.locks import DirectoryLock, is_locked
from spinlock.storage.space import free_space, readable_size, require_space

HOLD = (
    "import sys; from pathlib import Path; from spinlock.storage.locks import DirectoryLock, is_locked\n"
    "DirectoryLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
)


def test_a_second_holder_is_refused_until_the_first_is_gone(tmp_path):
    assert not is_locked(tmp_path)
    lock = DirectoryLock(tmp_path).acquire()
    assert is_locked(tmp_path)
    with pytest.raises(StorageError, match=rf"pid {os.getpid()}\) is working in {tmp_path}.*wait"):
        DirectoryLock(tmp_path).acquire()
    lock.release()
    lock.release()
    assert not is_locked(tmp_path)
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
    with pytest.raises(StorageError, match=r"deeper/lock cannot be opened.*writable"):
        DirectoryLock(tmp_path / "gone" / "deeper").acquire()


def test_a_directory_cleared_up_just_before_is_made_again(tmp_path):
    """By another process, between this one's making it and its lock."""
    with DirectoryLock(tmp_path / "cleared") as lock:
        assert lock.path.is_file()


def test_a_lock_that_was_cleared_up_once_is_taken_again(tmp_path, monkeypatch):
    flock, cleared = fcntl.flock, []

    def removed_once(descriptor, how):
        if not cleared:
            cleared.append(True)
            (tmp_path / "work" / "lock").unlink()
            (tmp_path / "work").rmdir()
        flock(descriptor, how)

    (tmp_path / "work").mkdir()
    monkeypatch.setattr(fcntl, "flock", removed_once)
    lock = DirectoryLock(tmp_path / "work").acquire()
    assert cleared
    with pytest.raises(StorageError, match="another process"):
        DirectoryLock(tmp_path / "work").acquire()
    lock.release()


def test_of_many_at_once_one_holds_and_none_fails_otherwise(tmp_path):
    """Threads take the lock, clear the directory up as a finished run does, and give it back."""
    inside, most, wrong = [], [], []

    def work():
        for _ in range(60):
            lock = DirectoryLock(tmp_path / "work")
            try:
                lock.acquire()
            except StorageError as error:
                if "is working in" not in str(error):
                    wrong.append(str(error))
                continue
            inside.append(1)
            most.append(len(inside))
            inside.pop()
            lock.path.unlink()
            with suppress(OSError):
                (tmp_path / "work").rmdir()
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert set(most) == {1}


def test_a_holder_on_another_host_is_named_with_it(tmp_path):
    """Where the file system shares its locks between hosts, a bare pid would send people astray."""
    holder = DirectoryLock(tmp_path).acquire()
    holder.path.write_text("77 node-of-a-test")
    with pytest.raises(StorageError, match=r"another process \(pid 77 on node-of-a-test\) is working in"):
        DirectoryLock(tmp_path).acquire()
    holder.path.write_text("")
    with pytest.raises(StorageError, match=r"another process \(pid unknown\) is working in"):
        DirectoryLock(tmp_path).acquire()
    holder.release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, number):
    def refuse(_descriptor, _how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(
        StorageError, match=r"cannot be locked .*put the output on a file system that has locks"
    ):
        DirectoryLock(tmp_path).acquire()


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
