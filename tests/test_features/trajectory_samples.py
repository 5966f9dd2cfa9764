"""Trajectories whose features are known, and what several tests ask of the features of trajectories."""

import math

import torch

from spinlock.features.catalogue import features_of
from spinlock.features.field_view import FieldView
from spinlock.features.trajectory_view import TrajectoryView
from test_features.known_fields import axes, noise, smooth

DTYPES = (torch.float64, torch.float32)


def view_of(frames):
    return TrajectoryView(frames, FieldView(frames))


def features(frames, *categories):
    """Return the features that frames [T, C, H, W] are enough for, averaged over channels."""
    view = view_of(frames)
    return {
        entry.name: entry(view).double().mean().item()
        for entry in features_of("trajectory")
        if (not categories or entry.category in categories)
        and entry.minimum_frames <= len(frames)
        and entry.minimum_channels <= frames.shape[1]
    }


def modulated(factors, field=None):
    """Return the trajectory a(t)·φ of one channel, [T, 1, H, W]; φ is a smooth random field unless given."""
    factors = torch.as_tensor(factors, dtype=torch.float64)
    field = smooth(24, 20) if field is None else field
    return factors[:, None, None, None] * field


def times(count):
    return torch.arange(count, dtype=torch.float64)


def growing(rate, count, field=None):
    """Return e^{rt}φ."""
    return modulated(torch.exp(rate * times(count)), field)


def travelling(frequency, count, *, k=2, amplitude=1.5, size=32, phases=(0.0,), along="x"):
    """Return waves A·cos(2πkx/W − 2πft + phase), a channel for each phase."""
    y, x = axes(size, size)
    place = (x if along == "x" else y) + 0 * x + 0 * y
    angle = 2 * math.pi * (k * place / size - frequency * times(count)[:, None, None])
    return amplitude * torch.stack([torch.cos(angle + phase) for phase in phases], dim=1)


def rollout(count=12, channels=3, height=20, width=24, seed=0, persistence=0.7):
    """Return a noisy trajectory about a fixed pattern: smooth in space, correlated and drifting in time."""
    kicks = smooth(count, channels, height, width, seed=seed, sigma=1.0) - 0.7
    states = [kicks[0]]
    for kick in kicks[1:]:
        states.append(torch.tanh(persistence * (states[-1] + 0.3 * states[-1].roll(1, -1))) + 0.5 * kick)
    level = 0.3 * noise(channels, 1, 1, seed=seed + 1)
    drift = 0.02 * times(count)[:, None, None, None] * noise(channels, height, width, seed=seed + 2)
    return torch.stack(states) * torch.linspace(0.5, 2.0, channels)[:, None, None] + level + drift
