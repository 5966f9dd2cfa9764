"""Streams of noise, and what they add to keyed states."""

import math

import torch

from spinlock.keys import MAX_STEP, Key, Purpose
from spinlock.numerics.noise import NoiseStream, noise
from spinlock.numerics.random import normals_from_words, random_words

TYPES = ("gaussian", "laplace", "multiplicative", "dropout")
ADDITIVE, SCALED = TYPES[:2], TYPES[2:]
STEPS = range(12)


def stream(*, seed=0, sample=0, realization=0, size=64, num_timesteps=MAX_STEP, **options):
    model = noise(**{"noise_scale": 1.0, **options})
    return NoiseStream(model, Key(seed), sample, realization, size, torch.device("cpu"), num_timesteps)


def keyed_field(channels=3, size=64, sample=99):
    drawn = random_words(Key(7), Purpose.PROBE, channels * size * size, samples=sample)
    return normals_from_words(drawn, channels * size * size).reshape(1, channels, size, size)


def uneven_state(size=64):
    """A state with mean 2 and contrast that differs between channels: rms(x) is far from 1."""
    return keyed_field(size=size) * torch.tensor([0.1, 1.0, 4.0])[None, :, None, None] + 2.0


def added(source, x, steps=STEPS):
    """What the noise adds to the state x at each step, [steps, C, H, W]."""
    return torch.cat([source.state(x, step) - x for step in steps])


def rms(x):
    return float(x.double().square().mean().sqrt())


def deviation(values, target, spread):
    """How many standard errors the mean of ``values`` lies from ``target``."""
    return abs(float(values.double().mean()) - target) / (spread / math.sqrt(values.numel()))
