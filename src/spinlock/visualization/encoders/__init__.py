"""Frames in, files out: videos by PyAV, pictures by Pillow. The only place that imports encoders."""

from spinlock.visualization.encoders.choice import EncoderChoice, choose_encoder
from spinlock.visualization.encoders.codecs import VIDEO_SUFFIXES
from spinlock.visualization.encoders.frames import FrameWriter
from spinlock.visualization.encoders.video import VideoWriter, encode_bytes

__all__ = [
    "VIDEO_SUFFIXES",
    "EncoderChoice",
    "FrameWriter",
    "VideoWriter",
    "choose_encoder",
    "encode_bytes",
]
