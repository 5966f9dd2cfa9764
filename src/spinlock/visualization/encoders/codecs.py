"""The encoders of each kind of video, in the order of preference, and the sizes and rates that one holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from spinlock.errors import UsageError
from spinlock.registry import unknown_name


@dataclass(frozen=True)
class Codec:
    """An encoder of libav, the pixels it takes, and its options."""

    name: str
    pixels: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict)


NVENC = Codec("h264_nvenc", options={"preset": "p5", "profile": "high", "rc": "vbr", "cq": "19"})

# Measured on 60 sheets of 640 × 520 pixels, half of the cells noise: CPU time of a frame, its size, the PSNR
# of its luma. ultrafast: 5 ms, 76 KiB, 35.1 dB, but not High profile; superfast: 7 ms, 47 KiB, 32.2 dB;
# veryfast: 11 ms, 44 KiB, 32.1 dB; faster: 18 ms, 46 KiB, 33.6 dB; medium: 33 ms, 49 KiB, 33.6 dB. Without
# noise superfast: 5 ms, 13 KiB, 38.4 dB; veryfast: 8 ms, 14 KiB, 39.4 dB; faster: 12 ms, 14 KiB, 40.0 dB.
# With noise, veryfast and crf 16: 54 KiB, 33.4 dB; crf 20: 35 KiB, 30.8 dB.
X264 = Codec("libx264", options={"crf": "18", "preset": "superfast", "profile": "high"})

# On the same noisy sheets: 8 takes 39 ms, 48 KiB, 33.8 dB; 10 takes 17 ms, 59 KiB, 32.3 dB.
SVT_AV1 = Codec("libsvtav1", options={"crf": "28", "preset": "8"})

# 18 ms, 71 KiB, 34.9 dB.
VP9 = Codec(
    "libvpx-vp9", options={"crf": "24", "b:v": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}
)
GIF = Codec("gif", pixels="pal8")

# libwebp itself turns RGB into its own YUV. Level 2 takes 22 ms, the default 4 37 ms, for the same size.
WEBP = Codec("libwebp_anim", pixels="bgra", options={"quality": "90", "compression_level": "2"})

CODECS: dict[str, tuple[Codec, ...]] = {
    ".mp4": (NVENC, X264, SVT_AV1, VP9),
    ".webm": (SVT_AV1, VP9),  # a WebM file holds no H.264
    ".gif": (GIF,),
    ".webp": (WEBP,),
}
"""The encoders of each suffix, in the order they are tried."""

VIDEO_SUFFIXES = tuple(CODECS)
"""Ends of the names of files that a video can be written to."""

FASTEST = {
    ".gif": (50, "its times are whole hundredths of a second, and viewers slow down those below two"),
    ".webm": (1000, "its times are whole thousandths of a second"),
    ".webp": (1000, "its times are whole thousandths of a second"),
}
"""Frames a second that a file holds at most, and why."""


def check_video(suffix: str, size: tuple[int, int], fps: int) -> None:
    """Raise `UsageError` where no video of that suffix, size (height, width) and rate can be made."""
    if suffix not in CODECS:
        raise unknown_name("video suffix", suffix, VIDEO_SUFFIXES)
    height, width = size
    if min(size) < 2 or height % 2 or width % 2:
        raise UsageError(
            f"frames of {width} × {height} pixels make no video: width and height must be even (two by two "
            "pixels share one colour); add a row or a column"
        )
    if fps < 1:
        raise UsageError(f"{fps} frames a second are not allowed: it must be at least 1")
    fastest, why = FASTEST.get(suffix, (fps, ""))
    if fps > fastest:
        raise UsageError(
            f"a {suffix} file holds at most {fastest} frames a second ({why}), and {fps} were asked for: "
            "take a smaller --fps, or an .mp4"
        )


def codec_named(suffix: str, name: str) -> Codec:
    """Return the codec of a suffix by its encoder's name, or raise `UsageError` where it has none such."""
    for codec in CODECS[suffix]:
        if codec.name == name:
            return codec
    raise unknown_name(f"{suffix} encoder", name, [codec.name for codec in CODECS[suffix]])
