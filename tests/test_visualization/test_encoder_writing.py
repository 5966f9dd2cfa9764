"""A video appears at its path complete or not at all, and is never held in memory."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import tiny
from spinlock.errors import StorageError, UsageError
from spinlock.visualization.encoders import VIDEO_SUFFIXES, VideoWriter
from video_files import SIZE, grey, interrupted, largest_file, names, noise, open_files, ramp, read

OLD = b"an older file"


def write(path: Path, frames: Iterable[np.ndarray]) -> None:
    with VideoWriter(path, SIZE, 30) as video:
        for frame in frames:
            video.write(frame)


@pytest.fixture(params=VIDEO_SUFFIXES)
def place(request, tmp_path) -> Path:
    """Where an older file stands."""
    path = tmp_path / f"clip{request.param}"
    path.write_bytes(OLD)
    return path


def test_until_it_is_complete_the_older_file_stays(place):
    writer = VideoWriter(place, SIZE, 30)
    assert names(place.parent) == {place.name}, "nothing is written before the with statement"
    with writer as video:
        for frame in ramp(5):
            video.write(frame)
            assert place.read_bytes() == OLD
        assert len(names(place.parent)) == 2
    assert names(place.parent) == {place.name}
    assert len(read(place, place.suffix).frames) == 5


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("after", [0, 1, 40])
def test_an_interrupted_video_leaves_nothing_and_the_older_file(place, error, after):
    before = open_files()
    with pytest.raises(type(error)) as raised:
        write(place, interrupted(noise(after), error))
    assert raised.value is error
    assert place.read_bytes() == OLD
    assert names(place.parent) == {place.name}
    assert open_files() == before


@pytest.mark.parametrize("size", [200, 5000])
def test_a_full_disk_is_told_with_the_path(place, size):
    before = open_files()
    words = r"clip\.\w+ cannot be written \(File too large\)"
    with pytest.raises(StorageError, match=words) as raised, largest_file(size):
        write(place, noise(60))
    assert str(place) in str(raised.value)
    assert place.read_bytes() == OLD
    assert names(place.parent) == {place.name}
    assert open_files() == before


def test_room_enough_is_no_full_disk(place):
    with largest_file(10**7):
        write(place, noise(60))
    assert len(read(place, place.suffix).frames) == 60


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_where_the_last_step_fails_nothing_is_left(place, monkeypatch, error):
    def fail(_path, _target):
        raise error

    expected = StorageError if isinstance(error, OSError) else KeyboardInterrupt
    with monkeypatch.context() as context:
        context.setattr(Path, "replace", fail)
        with pytest.raises(expected):
            write(place, [grey(3)])
    assert place.read_bytes() == OLD
    assert names(place.parent) == {place.name}


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    reached = []
    for folder, reason in (("missing", "No such file"), ("file", "Not a directory")):
        path = tmp_path / folder / "clip.mp4"
        with pytest.raises(StorageError, match=f"cannot be written \\({reason}"), VideoWriter(path, SIZE, 30):
            reached.append(path)
    assert not reached
    assert names(tmp_path) == {"file"}


def test_a_missing_permission_is_told_at_once(tmp_path, monkeypatch):
    def refuse(*_given, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        VideoWriter(tmp_path / "a.webm", SIZE, 30).__enter__()


def test_a_folder_at_the_path_is_told_at_once(tmp_path):
    (tmp_path / "clip.gif").mkdir()
    with pytest.raises(UsageError, match="is a folder"), VideoWriter(tmp_path / "clip.gif", SIZE, 30):
        pytest.fail("entered")
    assert names(tmp_path) == {"clip.gif"}


def test_two_writers_of_one_path_do_not_meet(place):
    with VideoWriter(place, SIZE, 30) as one, VideoWriter(place, SIZE, 30) as other:
        assert len(names(place.parent)) == 3
        for frame in ramp(7):
            one.write(frame)
            other.write(frame)
        other.write(grey(200))
        one.write(grey(210))
        one.write(grey(220))
    assert names(place.parent) == {place.name}
    assert len(read(place, place.suffix).frames) == 9, "the one that ends last stays"


@pytest.mark.parametrize(
    "name", ["a:b.mp4", "file:x.gif", "http:y.webm", "clip%03d.webp", "a b?.mp4", "ü.gif"]
)
def test_any_name_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write(Path(name), ramp(3))
    assert names(tmp_path) == {name}
    assert len(read(tmp_path / name, Path(name).suffix).frames) == 3


MEMORY = f"""{tiny.PEAK_MEMORY}
import sys
from pathlib import Path
import numpy as np
from spinlock.keys import Key, Purpose, uniforms
from spinlock.visualization.encoders import VideoWriter
path, count, height, width = Path(sys.argv[1]), *map(int, sys.argv[2:])
noise = (255 * uniforms(Key(1), Purpose.CHOICE, [0], 64 * 64 * 3)).astype(np.uint8).reshape(64, 64, 3)
with VideoWriter(path, (height, width), 30) as video:
    for number in range(count):
        frame = np.full((height, width, 3), number % 200, np.uint8)
        frame[64:128, 64:128] = np.roll(noise, number, axis=0)
        video.write(frame)
print(peak_memory())
"""


def peak_bytes(path: Path, count: int, size: tuple[int, int]) -> int:
    """Return the greatest memory of a process of its own that writes a video."""
    arguments = [sys.executable, "-c", MEMORY, str(path), str(count), *map(str, size)]
    return int(subprocess.run(arguments, capture_output=True, check=True, timeout=500).stdout)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_memory_does_not_grow_with_the_number_of_frames(tmp_path, suffix):
    size, fewer, more = (720, 1280), 100, 600
    path = tmp_path / f"clip{suffix}"
    growth = -peak_bytes(path, fewer, size) + peak_bytes(path, more, size)
    frames = (more - fewer) * int(np.prod(size)) * 3
    assert growth < frames / 20 + (path.stat().st_size if suffix == ".webp" else 0)
