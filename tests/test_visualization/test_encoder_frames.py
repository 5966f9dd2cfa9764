"""A folder of pictures: exact, replaced as a whole or not at all, and never over other files."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spinlock.errors import StorageError, UsageError
from spinlock.visualization.encoders import FrameWriter
from video_files import grey, interrupted, largest_file, names, noise, open_files, patches, ramp


def write(folder: Path, frames: Iterable[np.ndarray], metadata: dict | None = None) -> None:
    with FrameWriter(folder) as writer:
        if metadata is not None:
            writer.describe(metadata)
        for frame in frames:
            writer.write(frame)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder of six frames and their metadata."""
    folder = tmp_path / "frames"
    write(folder, ramp(6), {"of": "an earlier run"})
    return folder


def test_pictures_are_exact_and_numbered(tmp_path):
    folder = tmp_path / "new" / "frames"
    frames = [*noise(10, (31, 17)), np.ascontiguousarray(noise(1, (17, 31))[0].transpose(1, 0, 2))]
    write(folder, [*frames, frames[0][::-1]])
    assert sorted(names(folder)) == [f"frame_{number:05d}.png" for number in range(12)]
    for number, frame in enumerate([*frames, frames[0][::-1]]):
        with Image.open(folder / f"frame_{number:05d}.png") as image:
            assert image.mode == "RGB"
            assert np.array_equal(np.asarray(image), frame)


def test_metadata_comes_back(tmp_path):
    metadata = {"labels": [["operator 0", "α = 0.3"]], "bounds": [{"mean": (-1.5, 2.25)}], "fps": 20}
    write(tmp_path / "frames", ramp(1), metadata)
    text = (tmp_path / "frames" / "metadata.json").read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(json.dumps(metadata))
    assert "α" in text


def test_a_shorter_run_leaves_no_frame_of_a_longer_one(place):
    write(place, [patches()] * 2)
    assert sorted(names(place)) == ["frame_00000.png", "frame_00001.png"]
    assert names(place.parent) == {"frames"}


def test_until_it_is_complete_the_older_folder_stays(place):
    older = content(place)
    with FrameWriter(place) as writer:
        writer.describe({})
        writer.write(grey(9))
        assert content(place) == older
    assert content(place) != older


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt()])
@pytest.mark.parametrize("after", [0, 3])
def test_an_interrupted_run_leaves_the_older_folder(place, error, after):
    older = content(place)
    with pytest.raises(type(error)) as raised:
        write(place, interrupted(ramp(after), error))
    assert raised.value is error
    assert content(place) == older
    assert names(place.parent) == {"frames"}


def test_a_full_disk_is_told_with_the_path(place):
    older, before = content(place), open_files()
    with pytest.raises(StorageError, match="File too large") as raised, largest_file(2000):
        write(place, noise(3))
    assert str(place) in str(raised.value)
    with pytest.raises(StorageError, match="File too large"), largest_file(20):
        write(place, ramp(1), {"long": "text" * 100})
    assert content(place) == older
    assert names(place.parent) == {"frames"}
    assert open_files() == before


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", [1, 2])
def test_where_the_exchange_fails_the_older_folder_comes_back(place, monkeypatch, error, call):
    older, works, calls = content(place), Path.rename, []

    def fail_once(path, target):
        calls.append(path)
        if len(calls) == call:
            raise error
        return works(path, target)

    expected = StorageError if isinstance(error, OSError) else KeyboardInterrupt
    with monkeypatch.context() as context:
        context.setattr(Path, "rename", fail_once)
        with pytest.raises(expected):
            write(place, ramp(1))
    assert len(calls) >= call
    assert content(place) == older
    assert names(place.parent) == {"frames"}


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "frames").mkdir()
    write(tmp_path / "frames", ramp(1))
    assert names(tmp_path / "frames") == {"frame_00000.png"}


def a_note(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def a_hidden_file(folder: Path) -> None:
    (folder / ".keep").touch()


def another_picture(folder: Path) -> None:
    (folder / "frame_1.png").touch()


def a_picture_with_more_to_its_name(folder: Path) -> None:
    (folder / "frame_00001.png.bak").touch()


def a_folder(folder: Path) -> None:
    (folder / "sub").mkdir()


def a_folder_named_as_a_picture(folder: Path) -> None:
    (folder / "frame_00007.png").mkdir()
    (folder / "frame_00007.png" / "notes.txt").write_text("mine")


FOREIGN = [
    a_note,
    a_hidden_file,
    another_picture,
    a_picture_with_more_to_its_name,
    a_folder,
    a_folder_named_as_a_picture,
]


@pytest.mark.parametrize("add", FOREIGN)
def test_other_files_are_never_replaced(place, add):
    FrameWriter.check_folder(place)
    add(place)
    there = names(place)
    with pytest.raises(UsageError, match=r"holds other files.*--output"):
        FrameWriter(place)
    with pytest.raises(UsageError, match="holds other files"):
        FrameWriter.check_folder(place)
    assert names(place) == there
    assert names(place.parent) == {"frames"}


def test_a_file_that_came_meanwhile_is_kept(place):
    writer = FrameWriter(place).__enter__()
    writer.write(grey(0))
    a_note(place)
    with pytest.raises(UsageError, match=r"notes\.txt"):
        writer.__exit__(None, None, None)
    assert (place / "notes.txt").read_text() == "mine"
    assert len(names(place)) == 8
    assert names(place.parent) == {"frames"}


def test_a_file_or_a_link_at_the_place_is_refused(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(place)
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    for name in ("file", "link", "nowhere"):
        with pytest.raises(UsageError, match="is a file or a link"):
            FrameWriter(tmp_path / name)
    assert len(names(place)) == 7


def test_a_folder_that_cannot_be_read_is_refused(place, monkeypatch):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UsageError, match="Permission denied"):
        FrameWriter(place)


def test_a_place_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="Not a directory"), FrameWriter(tmp_path / "file" / "frames"):
        pytest.fail("entered")
    assert names(tmp_path) == {"file"}


def test_long_clips_have_longer_numbers(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "frame_123456.png").touch()
    write(folder, ramp(1))
    assert names(folder) == {"frame_00000.png"}


def test_two_writers_of_one_folder_do_not_meet(place):
    with FrameWriter(place) as one, FrameWriter(place) as other:
        one.write(grey(1))
        other.write(grey(2))
        one.write(grey(3))
    assert sorted(names(place)) == ["frame_00000.png", "frame_00001.png"]
    assert names(place.parent) == {"frames"}
    with Image.open(place / "frame_00000.png") as image:
        assert image.getpixel((0, 0)) == (1, 1, 1), "the one that ends last stays"


def test_a_folder_of_no_frames_is_refused(place):
    older = content(place)
    with pytest.raises(UsageError, match="no frames"):
        write(place, [], {"alone": True})
    assert content(place) == older


@pytest.mark.parametrize(
    "frame", [grey(0).astype(np.float32), grey(0)[..., 0], grey(0)[..., :2], grey(0, (48, 62))]
)
def test_frames_of_another_type_or_of_two_sizes_are_refused(tmp_path, frame):
    with pytest.raises(UsageError, match=r"uint8 \[48, 64, 3\]"):
        write(tmp_path / "frames", [grey(0), frame])
    assert not list(tmp_path.iterdir())
