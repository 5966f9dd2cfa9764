"""Videos decoded again: frames, times, sizes, colours, for every suffix and encoder."""

import struct
import weakref
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.errors import UsageError
from spinlock.visualization.encoders import (
    VIDEO_SUFFIXES,
    EncoderChoice,
    VideoWriter,
    choose_encoder,
    encode_bytes,
)
from spinlock.visualization.encoders.codecs import CODECS
from video_files import COLOURS, SIZE, grey, noise, patches, ramp, read, read_with_av

UNIT = {".mp4": 1e-5, ".webm": 1.01e-3, ".gif": 1.01e-2, ".webp": 1.01e-3}
"""Seconds by which a time may be off: the files' own, no finer."""

ENCODERS = [
    (suffix, codec.name)
    for suffix, codecs in CODECS.items()
    for codec in codecs
    if codec.name != "h264_nvenc" and codec.name in av.codecs_available
]
"""All but NVENC, which is listed where it cannot work."""


def write(path: Path, frames: list[np.ndarray], fps: int, encoder: str | None = None) -> Path:
    choice = EncoderChoice(encoder) if encoder else None
    with VideoWriter(path, frames[0].shape[:2], fps, choice) as video:
        for frame in frames:
            video.write(frame)
    return path


@pytest.mark.parametrize("fps", [20, 30])
@pytest.mark.parametrize("count", [1, 7, 31])
@pytest.mark.parametrize(("suffix", "encoder"), ENCODERS)
def test_every_frame_comes_back_once_in_order_and_on_time(tmp_path, suffix, encoder, count, fps):
    video = read(write(tmp_path / f"clip{suffix}", ramp(count), fps, encoder), suffix)
    assert video.frames.shape == (count, *SIZE, 3)
    levels = video.frames.mean(axis=(1, 2, 3))
    assert np.abs(levels - [frame[0, 0, 0] for frame in ramp(count)]).max() <= 2.5
    assert np.abs(video.starts - np.arange(count) / fps).max() <= UNIT[suffix]
    if (suffix, count) != (".webp", 1):  # a still picture has no duration
        assert abs(video.seconds - count / fps) <= UNIT[suffix]
    if suffix in (".mp4", ".webm"):
        assert video.facts["rate"] == fps
        assert video.facts["pixels"] == "yuv420p"


@pytest.mark.parametrize(("suffix", "encoder"), ENCODERS)
def test_colours_come_back_within_a_few_levels(tmp_path, suffix, encoder):
    video = read(write(tmp_path / f"clip{suffix}", [grey(0), patches(), patches()], 10, encoder), suffix)
    assert np.abs(video.patches - COLOURS).max() <= 5


@pytest.mark.parametrize(("suffix", "encoder"), [pair for pair in ENCODERS if pair[0] in (".mp4", ".webm")])
def test_video_codecs_use_and_declare_bt709_in_the_limited_range(tmp_path, suffix, encoder):
    path = write(tmp_path / f"clip{suffix}", [patches()], 10, encoder)
    video = read(path, suffix)
    assert video.facts["colours"] == (1, 1, 1, 1)
    as_bt601 = video.facts["pictures"][-1].reformat(format="rgb24", src_colorspace="ITU601").to_ndarray()
    assert np.abs(as_bt601[8::16, 8::16].astype(int) - COLOURS).max() > 20, "the matrix would not matter"


def test_every_channel_and_place_is_its_own(tmp_path):
    frames = noise(2)
    for flipped in ([frame[::-1] for frame in frames], [frame[:, ::-1] for frame in frames]):
        assert not flipped[0].flags.c_contiguous
        copied = [frame.copy() for frame in flipped]
        one, other = (read(encode_bytes(given, SIZE, 10, ".gif")[0], ".gif") for given in (flipped, copied))
        assert np.array_equal(one.frames, other.frames)
        assert np.abs(one.frames.astype(int) - flipped).mean() < 20
        assert np.abs(one.frames.astype(int) - frames).mean() > 60


def test_h264_plays_everywhere_and_its_index_comes_first(tmp_path):
    path = write(tmp_path / "clip.mp4", noise(5), 20, "libx264")
    assert read(path, ".mp4").facts["profile"] == "High"
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(("count", "fps"), [(1, 30), (7, 30), (31, 24), (5, 7)])
def test_the_length_in_the_index_of_an_mp4_is_exact(count, fps):
    data, _ = encode_bytes(noise(count), SIZE, fps)
    header = data.index(b"mvhd") + 4
    ticks, length = struct.unpack(">II", data[header + 12 : header + 20])
    assert Fraction(length, ticks) == Fraction(count, fps)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_pictures_that_move_loop_for_ever(suffix):
    data, _ = encode_bytes(ramp(3), SIZE, 10, suffix)
    assert read(data, suffix).facts["loop"] == 0


@settings(max_examples=15)
@given(st.integers(1, 50), st.integers(1, 40))
def test_a_gif_keeps_the_mean_rate(fps, count):
    data, _ = encode_bytes([grey(number) for number in range(count)], SIZE, fps, ".gif")
    video = read(data, ".gif")
    assert np.abs(video.starts - np.arange(count) / fps).max() <= 0.00501
    assert abs(video.seconds - count / fps) <= 0.01001
    assert np.diff([*video.starts, video.seconds]).min() > 0.0199


def test_thirty_frames_a_second_are_a_mixture_of_three_and_four_hundredths():
    video = read(encode_bytes(ramp(30), SIZE, 30, ".gif")[0], ".gif")
    durations = np.round(100 * np.diff([*video.starts, video.seconds])).astype(int)
    assert sorted(durations) == [3] * 20 + [4] * 10


def test_a_gif_has_the_colours_of_each_frame():
    """Two frames of 200 colours each, none of them in both."""
    levels = np.zeros((2, SIZE[0] * SIZE[1], 3), np.uint8)
    levels[0, :, 0] = levels[1, :, 2] = np.arange(SIZE[0] * SIZE[1]) % 200
    frames = levels.reshape(2, *SIZE, 3)
    video = read(encode_bytes(frames, SIZE, 10, ".gif")[0], ".gif")
    assert np.abs(video.frames.astype(int) - frames).max() <= 8


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_bytes_in_memory_are_the_same_video(tmp_path, suffix):
    path = write(tmp_path / f"clip{suffix}", noise(6), 25)
    data, choice = encode_bytes(iter(noise(6)), SIZE, 25, suffix)
    assert choice == choose_encoder(suffix, SIZE, 25)
    one, other = read(path, suffix), read(data, suffix)
    assert np.array_equal(one.frames, other.frames)
    assert np.array_equal(one.starts, other.starts)
    assert one.seconds == other.seconds


def test_a_gif_is_also_right_for_av():
    video = read_with_av(encode_bytes(ramp(31), SIZE, 20, ".gif")[0])
    assert video.frames.shape == (31, *SIZE, 3)
    assert video.facts["rate"] == 20
    assert video.seconds == pytest.approx(31 / 20)


def test_letters_of_a_suffix_may_be_large(tmp_path):
    assert len(read(write(tmp_path / "clip.MP4", ramp(3), 30), ".mp4").frames) == 3


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_no_frame_is_kept(tmp_path, suffix):
    with VideoWriter(tmp_path / f"clip{suffix}", SIZE, 30) as video:
        for frame in noise(4):
            copy = frame.copy()
            kept = weakref.ref(copy)
            video.write(copy)
            del copy
            assert kept() is None


@pytest.mark.parametrize(
    ("name", "size", "fps", "words"),
    [
        ("a.avi", SIZE, 30, r"unknown video suffix '\.avi'.*\.mp4"),
        ("a.mp5", SIZE, 30, r"did you mean '\.mp4'"),
        ("a", SIZE, 30, "unknown video suffix ''"),
        ("a.mp4", (47, 64), 30, "64 × 47 pixels.*even"),
        ("a.gif", (48, 63), 30, "63 × 48 pixels.*even"),
        ("a.webp", (0, 64), 30, "even"),
        ("a.webm", SIZE, 0, "at least 1"),
        ("a.gif", SIZE, 51, r"at most 50 frames a second.*hundredths.*--fps"),
        ("a.webm", SIZE, 1001, "at most 1000"),
        ("a.webp", SIZE, 1001, "at most 1000"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_before_anything_is_written(tmp_path, name, size, fps, words):
    for choice in (None, EncoderChoice("libx264")):
        with pytest.raises(UsageError, match=words):
            VideoWriter(tmp_path / name, size, fps, choice)
    with pytest.raises(UsageError, match=words):
        encode_bytes([], size, fps, Path(name).suffix)
    assert not list(tmp_path.iterdir())


def test_the_greatest_rates_are_allowed():
    for suffix, fps in [(".gif", 50), (".webm", 1000), (".webp", 1000), (".mp4", 5000)]:
        video = read(encode_bytes(ramp(20), SIZE, fps, suffix)[0], suffix)
        assert len(video.frames) == 20
        assert video.seconds == pytest.approx(20 / fps)


@pytest.mark.parametrize(
    "frame",
    [grey(0, (48, 62)), grey(0).astype(np.float32), grey(0)[..., 0], grey(0)[..., :2], grey(0)[None]],
)
def test_another_frame_than_agreed_is_refused(tmp_path, frame):
    with pytest.raises(UsageError, match=r"uint8 \[48, 64, 3\]"):
        write(tmp_path / "a.mp4", [grey(0), frame], 30)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_a_video_of_no_frames_is_refused(tmp_path, suffix):
    with pytest.raises(UsageError, match="without a frame"):
        encode_bytes([], SIZE, 30, suffix)
    with pytest.raises(UsageError, match="without a frame"), VideoWriter(tmp_path / f"a{suffix}", SIZE, 30):
        pass
    assert not list(tmp_path.iterdir())


def test_an_encoder_of_another_suffix_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"unknown \.webm encoder 'libx264'.*libsvtav1"):
        VideoWriter(tmp_path / "a.webm", SIZE, 30, EncoderChoice("libx264"))
