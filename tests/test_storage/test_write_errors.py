"""What the system says of a failed write reaches the user in one line; who must act decides the exit code."""

import errno
from pathlib import Path

import pytest

from spinlock.errors import StorageError, UsageError
from spinlock.storage.atomic import commit_text, remove_temporaries, system_reason, write_errors
from spinlock.storage.folders import make_folder, remove_if_empty, remove_tree, sweep

HDF5 = (
    "Can't write data (file write failed: time = Mon Nov 23 06:22:31 2026\n, filename = 'a.h5', file "
    "descriptor = 3, errno = 28, error message = 'No space left on device', buf = 0x55cf, offset = 2048)"
)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "whatever"), "No space left on device"),
        (OSError(28, HDF5), "No space left on device"),
        (RuntimeError(HDF5), "No space left on device"),
        (FileNotFoundError(errno.ENOENT, "gone", "a.h5"), "No such file or directory"),
        (RuntimeError("Can't\n  close"), "Can't close"),
        (OSError(), "OSError"),
    ],
)
def test_the_reason_is_what_the_system_said_in_one_line(error, reason):
    assert system_reason(error) == reason
    with (
        pytest.raises(StorageError, match=r"^/x/a\.h5 cannot be written \(.*same command again") as told,
        write_errors(Path("/x/a.h5")),
    ):
        raise error
    assert f"({reason})" in str(told.value)
    assert told.value.__cause__ is error


def test_a_text_is_committed_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    commit_text(path, "one")
    steps = []

    def stop(step: str) -> None:
        steps.append(step)
        if step == "rename":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        commit_text(path, "two", stop)
    assert steps == ["create", "fsync", "rename"]
    assert (path.read_text(), [*tmp_path.iterdir()]) == ("one", [path])


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EACCES, UsageError),
        (errno.EROFS, UsageError),
        (errno.ENOTDIR, UsageError),
        (errno.ENOSPC, StorageError),
        (errno.EIO, StorageError),
        (errno.EDQUOT, StorageError),
    ],
)
def test_a_wrong_place_is_told_from_a_failing_disk(tmp_path, monkeypatch, number, error):
    def mkdir(*_words, **_how):
        raise OSError(number, "said")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(error) as told:
        make_folder(tmp_path / "x", "--output: ", "choose another")
    assert type(told.value) is error
    assert str(tmp_path / "x") in str(told.value)
    assert ("choose another" in str(told.value)) == (error is UsageError)


def test_folders_are_removed_as_far_as_they_are_ours(tmp_path):
    full, empty = tmp_path / "full", tmp_path / "empty"
    for folder in (full, empty):
        folder.mkdir()
    (full / "mine").write_text("mine")
    (full / f"x.tmp-{'0' * 32}").write_text("half")
    for folder in (full, empty, tmp_path / "gone"):
        sweep(folder)
        remove_if_empty(folder)
    assert [path.name for path in full.iterdir()] == ["mine"]
    assert not empty.exists()
    remove_tree(full)
    remove_tree(full)
    assert not full.exists()
    assert remove_temporaries(tmp_path) == []
