"""The choice of an encoder: order, trials, reasons, and what is said without PyAV."""

import os
import subprocess
import sys

import av
import pytest

from spinlock.errors import UsageError
from spinlock.visualization.encoders import (
    VIDEO_SUFFIXES,
    EncoderChoice,
    VideoWriter,
    choose_encoder,
    encode_bytes,
)
from spinlock.visualization.encoders.codecs import CODECS, SVT_AV1, VP9, X264, Codec
from spinlock.visualization.encoders.encoding import Encoding
from video_files import SIZE, ramp, read


@pytest.fixture
def software(monkeypatch):
    """Leave NVENC out, which works on some machines."""
    monkeypatch.setitem(CODECS, ".mp4", (X264, SVT_AV1, VP9))


def fail_for(monkeypatch, name: str, method: str, error: BaseException, condition=lambda _encoding: True):
    """Make one encoder fail in a method of its encoding."""
    works = getattr(Encoding, method)

    def failing(encoding, *given):
        if encoding._codec.name == name and condition(encoding):
            raise error
        return works(encoding, *given)

    monkeypatch.setattr(Encoding, method, failing)


def test_the_order_is_the_documented_one():
    order = {suffix: [codec.name for codec in codecs] for suffix, codecs in CODECS.items()}
    assert order == {
        ".mp4": ["h264_nvenc", "libx264", "libsvtav1", "libvpx-vp9"],
        ".webm": ["libsvtav1", "libvpx-vp9"],
        ".gif": ["gif"],
        ".webp": ["libwebp_anim"],
    }
    assert tuple(order) == VIDEO_SUFFIXES


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_those_before_the_chosen_one_are_skipped_with_a_reason(suffix):
    choice = choose_encoder(suffix, SIZE, 30)
    order = [codec.name for codec in CODECS[suffix]]
    assert list(choice.skipped) == order[: order.index(choice.name)]
    assert all(reason and "\n" not in reason for reason in choice.skipped.values())


def test_an_encoder_that_does_not_exist_is_passed_over(monkeypatch):
    monkeypatch.setitem(CODECS, ".mp4", (Codec("h265_imagined"), X264))
    assert choose_encoder(".mp4", SIZE, 30) == EncoderChoice(
        "libx264", {"h265_imagined": "this PyAV was built without it"}
    )


def test_an_encoder_that_does_not_open_is_passed_over(monkeypatch):
    impossible = Codec("libx264", options={"profile": "no such profile"})
    monkeypatch.setitem(CODECS, ".mp4", (impossible, VP9))
    choice = choose_encoder(".mp4", SIZE, 30)
    assert choice.name == "libvpx-vp9"
    assert choice.skipped["libx264"]


@pytest.mark.usefixtures("software")
@pytest.mark.parametrize("method", ["__init__", "write", "finish"])
@pytest.mark.parametrize("error", [av.error.ExternalError(-542398533, "lost"), MemoryError("lost")])
def test_an_encoder_may_fail_at_any_moment_of_its_trial(monkeypatch, method, error):
    if method == "__init__":
        works = Encoding.__init__

        def failing(encoding, target, suffix, codec, *given):
            if codec is X264:
                raise error
            works(encoding, target, suffix, codec, *given)

        monkeypatch.setattr(Encoding, method, failing)
    else:
        fail_for(monkeypatch, "libx264", method, error)
    assert choose_encoder(".mp4", SIZE, 30) == EncoderChoice("libsvtav1", {"libx264": "lost"})
    data, choice = encode_bytes(ramp(5), SIZE, 30)
    assert choice.name == "libsvtav1"
    assert len(read(data, ".mp4").frames) == 5


@pytest.mark.usefixtures("software")
def test_the_trial_has_the_size_and_rate_of_the_video(monkeypatch):
    limit = OSError(22, "too large")
    fail_for(monkeypatch, "libx264", "write", limit, lambda encoding: encoding._size[0] > 100)
    fail_for(monkeypatch, "libsvtav1", "write", limit, lambda encoding: encoding._stream.average_rate > 24)
    assert choose_encoder(".mp4", (100, 64), 30).name == "libx264"
    assert choose_encoder(".mp4", (102, 64), 24) == EncoderChoice("libsvtav1", {"libx264": "too large"})
    assert choose_encoder(".mp4", (102, 64), 30) == EncoderChoice(
        "libvpx-vp9", {"libx264": "too large", "libsvtav1": "too large"}
    )


@pytest.mark.usefixtures("software")
def test_nothing_is_remembered_from_an_earlier_choice(monkeypatch):
    with monkeypatch.context() as context:
        fail_for(context, "libx264", "write", OSError(5, "busy"))
        assert choose_encoder(".mp4", SIZE, 30).name == "libsvtav1"
    assert choose_encoder(".mp4", SIZE, 30) == EncoderChoice("libx264", {})


@pytest.mark.usefixtures("software")
def test_where_none_works_all_are_named_with_their_reasons(monkeypatch, tmp_path):
    for codec, reason in ((X264, "first"), (SVT_AV1, "second"), (VP9, "third")):
        fail_for(monkeypatch, codec.name, "write", OSError(5, reason))
    words = (
        r"64 × 48 pixels at 30 frames a second \(libx264: first; libsvtav1: second; libvpx-vp9: third\)"
        r".*--format frames"
    )
    with pytest.raises(UsageError, match=words):
        VideoWriter(tmp_path / "a.mp4", SIZE, 30)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("software")
def test_an_interrupt_is_no_reason_to_try_the_next(monkeypatch):
    fail_for(monkeypatch, "libx264", "write", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        choose_encoder(".mp4", SIZE, 30)


def test_a_given_choice_is_taken_without_a_trial(monkeypatch, tmp_path):
    monkeypatch.setattr("spinlock.visualization.encoders.video.choose_encoder", None)
    choice = EncoderChoice("libvpx-vp9", {"libx264": "tried before"})
    with VideoWriter(tmp_path / "a.mp4", SIZE, 30, choice) as video:
        assert video.encoder is choice
        for frame in ramp(3):
            video.write(frame)
    with av.open(tmp_path / "a.mp4") as file:
        assert file.streams.video[0].codec_context.name in ("vp9", "libvpx-vp9")


def test_without_av_the_way_out_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    words = r"pip install av.*--format frames"
    with pytest.raises(UsageError, match=words):
        choose_encoder(".mp4", SIZE, 30)
    with pytest.raises(UsageError, match=words):
        VideoWriter(tmp_path / "a.gif", SIZE, 30)
    with (
        pytest.raises(UsageError, match=words),
        VideoWriter(tmp_path / "a.gif", SIZE, 30, EncoderChoice("gif")),
    ):
        pass
    with pytest.raises(UsageError, match=words):
        encode_bytes(ramp(2), SIZE, 30)
    with pytest.raises(UsageError, match="even"):
        choose_encoder(".mp4", (47, 64), 30)
    assert not list(tmp_path.iterdir())


WITHOUT_AV = """
import sys
from pathlib import Path
sys.modules["av"] = None
import numpy as np
from spinlock.visualization.encoders import FrameWriter
with FrameWriter(Path(sys.argv[1])) as writer:
    writer.write(np.zeros((4, 6, 3), np.uint8))
"""


def test_pictures_need_no_av(tmp_path):
    subprocess.run([sys.executable, "-c", WITHOUT_AV, str(tmp_path / "frames")], check=True, timeout=120)
    assert (tmp_path / "frames" / "frame_00000.png").is_file()


AV1 = """
import numpy as np
from spinlock.visualization.encoders import encode_bytes, choose_encoder
frame = np.zeros((48, 64, 3), np.uint8)
print(encode_bytes([frame] * 3, (48, 64), 30, ".webm")[1].name)
for suffix in (".mp4", ".webm", ".gif", ".webp"):
    choose_encoder(suffix, (48, 64), 30)
choose_encoder(".webm", (48, 64), 500)
"""


def encode_av1(environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", AV1], env=environment, capture_output=True, text=True, check=True, timeout=120
    )


def test_encoders_are_silent_unless_they_are_asked_to_speak(monkeypatch):
    """Passed over at 500 frames a second or not, SVT-AV1 says it only in the reasons."""
    monkeypatch.delenv("SVT_LOG", raising=False)
    quiet = encode_av1(dict(os.environ))
    assert quiet.stderr == ""
    if quiet.stdout.strip() != "libsvtav1":
        pytest.skip("this PyAV has no SVT-AV1")
    assert quiet.stdout == "libsvtav1\n"
    assert "SVT" in encode_av1({**os.environ, "SVT_LOG": "3"}).stderr
