"""Which encoder makes a video: the first that passes a trial at the very size and rate."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from spinlock.errors import UsageError
from spinlock.visualization.encoders.codecs import CODECS, check_video
from spinlock.visualization.encoders.encoding import encode, import_av
from spinlock.visualization.encoders.placing import reason_of

TRIAL_FRAMES = 3


@dataclass(frozen=True)
class EncoderChoice:
    """The name of an encoder that passed its trial, and why each one skipped before it did not."""

    name: str
    skipped: Mapping[str, str] = field(default_factory=dict)


def choose_encoder(suffix: str, size: tuple[int, int], fps: int) -> EncoderChoice:
    """Return the first encoder of a suffix that encodes a few frames of this size and rate, in memory.

    A trial is the only proof: an encoder may be listed and not open (NVENC without its driver), open and
    fail at its first frame, or work at other sizes and rates. It takes 15 ms for small frames of a .mp4 and
    70 ms for 1920 × 1080 pixels.

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
        Where no encoder works, with the reason of each; for other suffixes, odd sizes and rates that such a
        file does not hold; without PyAV.
    """
    check_video(suffix, size, fps)
    import_av()
    skipped: dict[str, str] = {}
    for codec in CODECS[suffix]:
        frames = (np.full((*size, 3), 64 * number, np.uint8) for number in range(TRIAL_FRAMES))
        try:
            encode(io.BytesIO(), suffix, codec, frames, size, fps)
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
    if isinstance(error, import_av().codec.codec.UnknownCodecError):
        return "this PyAV was built without it"
    return reason_of(error)
