"""Fields whose features are known, and what the tests of several files ask of features."""

import math

import torch

from spinlock.features.catalogue import features_of
from spinlock.features.channel_view import ChannelView
from spinlock.features.field_view import FieldView
from spinlock.keys import Key
from spinlock.numerics.random import SampleKeys

BOUND_SYMBOLS = {
    "−1": -1.0,
    "−2": -2.0,
    "0": 0.0,
    "1": 1.0,
    "½": 0.5,
    "√½": math.sqrt(0.5),
    "√⅛": math.sqrt(0.125),
    "10⁶": 1e6,
}


def axes(height, width):
    """Return y [H, 1] and x [1, W], float64."""
    y, x = (torch.arange(n, dtype=torch.float64) for n in (height, width))
    return y[:, None], x[None, :]


def wave(k=4, amplitude=1.0, offset=0.0, size=128):
    """Return b + A·sin(2πkx/W) on a square grid."""
    y, x = axes(size, size)
    return offset + amplitude * torch.sin(2 * math.pi * k * x / size) + 0 * y


def two_tone(size=128):
    """Return √0.8·sin(2π·4x/W) + √0.2·sin(2π·30y/H)."""
    y, x = axes(size, size)
    along_x = math.sqrt(0.8) * torch.sin(2 * math.pi * 4 * x / size)
    return along_x + math.sqrt(0.2) * torch.sin(2 * math.pi * 30 * y / size)


def checkerboard(size=128):
    """Return (−1)^(x+y)."""
    y, x = axes(size, size)
    return 1.0 - 2.0 * ((x + y) % 2)


def noise(*shape, seed=0):
    """Return keyed standard normals, float64."""
    keys = SampleKeys.of(Key(seed, "known_fields"), torch.zeros(1, dtype=torch.int64), ("noise",))
    return keys.normal("noise", *shape)[0].double()


def smooth(*shape, seed=0, sigma=1.5):
    """Return noise under a periodic Gaussian filter, with variance near 1 and mean 0.7."""
    fx = torch.fft.rfftfreq(shape[-1], dtype=torch.float64)
    fy = torch.fft.fftfreq(shape[-2], dtype=torch.float64)[:, None]
    gain = torch.exp(-2 * math.pi**2 * sigma**2 * (fx**2 + fy**2))
    filtered = torch.fft.irfft2(torch.fft.rfft2(noise(*shape, seed=seed)) * gain, s=shape[-2:])
    return 0.7 + filtered * (2 * math.sqrt(math.pi) * sigma)


def field_features(fields, *, category=None):
    """Return the features of level ``field`` of some fields, by name."""
    view = FieldView(fields)
    return {f.name: f(view) for f in features_of("field") if category in (None, f.category)}


def frame_features(frames):
    """Return the features of level ``frame`` of frames [..., C, H, W] that have enough channels, by name."""
    view = ChannelView(FieldView(frames))
    entries = features_of("frame")
    return {f.name: f(view) for f in entries if f.minimum_channels <= frames.shape[-3]}


def bounds_of(feature, **symbols):
    """Return the least and the greatest value that a feature's declared bounds allow."""
    known = BOUND_SYMBOLS | symbols
    text = feature.bounds
    if text == "ℝ":
        return -math.inf, math.inf
    if text.startswith("≥ "):
        return known[text.removeprefix("≥ ")], math.inf
    low, high = text.removeprefix("[").removesuffix("]").split(", ")
    return known[low], known[high]
