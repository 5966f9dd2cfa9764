"""Which encoder makes a video: the first that passes a trial at the very size and rate."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from spinlock.errors import UsageError
from spinlock.registry import unknown_name


@dataclass(frozen=True)
class Codec:
    """An encoder of libav, the pixels it takes, and its options."""

    name: str
    pixels: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict)


NVENC = Codec("h264_nvenc", options={"preset": "p5", "rc": "vbr", "cq": "19"})
X264 = Codec("libx264", options={"crf": "18", "preset": "veryfast", "profile": "high"})
SVT_AV1 = Codec("libsvtav1", options={"crf": "28", "preset": "8"})
VP9 = Codec(
    "libvpx-vp9", options={"crf": "24", "b:v": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}
)
GIF = Codec("gif", pixels="pal8")
WEBP = Codec("libwebp_anim", options={"quality": "90"})

CODECS: dict[str, tuple[Codec, ...]] = {
    ".mp4": (NVENC, X264, SVT_AV1, VP9),
    ".webm": (SVT_AV1, VP9),  # a WebM file holds no H.264
    ".gif": (GIF,),
    ".webp": (WEBP,),
}
"""The encoders of each suffix, in the order they are tried."""

VIDEO_SUFFIXES = tuple(CODECS)

FASTEST_GIF = 50
"""Frames a second: a GIF's times are hundredths of a second, and viewers slow down those below two."""

TRIAL_FRAMES = 3


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder that passed its trial, and why those before it did not."""

    name: str
    skipped: Mapping[str, str] = field(default_factory=dict)


def codec_named(suffix: str, name: str) -> Codec:
    """Return the codec of a suffix by its encoder's name."""
    return next(codec for codec in CODECS[suffix] if codec.name == name)


@cache
def choose_encoder(suffix: str, size: tuple[int, int], fps: int) -> EncoderChoice:
    """Return the first encoder of a suffix that encodes a few frames of this size and rate.

    Parameters
    ----------
    suffix
        ``.mp4``, ``.webm``, ``.gif`` or ``.webp``.
    size
        Height and width in pixels, both even.
    fps
        Frames a second.

    Raises
    ------
    UsageError
        Where no encoder works, with the reason of each; for other suffixes, odd sizes and rates a GIF lacks.
    """
    from spinlock.visualization.encoders.video import encode

    if suffix not in CODECS:
        raise unknown_name("video suffix", suffix, VIDEO_SUFFIXES)
    if min(size) < 2 or size[0] % 2 or size[1] % 2:
        raise UsageError(f"a frame of {size[1]} × {size[0]} pixels cannot be encoded: both must be even")
    if fps < 1:
        raise UsageError(f"{fps} frames a second are not allowed: it must be at least 1")
    if suffix == ".gif" and fps > FASTEST_GIF:
        raise UsageError(
            f"a GIF shows at most {FASTEST_GIF} frames a second, as its times are hundredths of a second; "
            f"{fps} were asked for: take a smaller --fps, or another suffix"
        )
    skipped: dict[str, str] = {}
    for codec in CODECS[suffix]:
        frames = (np.full((*size, 3), 64 * number, np.uint8) for number in range(TRIAL_FRAMES))
        try:
            encode(io.BytesIO(), suffix, codec, frames, size, fps)
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001 (whatever an encoder raises, the next is tried)
            skipped[codec.name] = _reason(error)
        else:
            return EncoderChoice(codec.name, skipped)
    tried = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
    raise UsageError(
        f"no encoder makes a {suffix} of {size[1]} × {size[0]} pixels at {fps} frames a second ({tried}). "
        "Take another suffix, a smaller --size, fewer --n-operators, or --format frames"
    )


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()
