"""Waves inside the future light cones of point events, all seen at one time."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.causal_laws import causality, support_rms
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.klein_gordon import dispersion, sine_over, wave_numbers
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import angular
from spinlock.registry import Integer, Real
from spinlock.shapes import Fields, PerSample

MAX_CONES = 3
MAX_EVENTS = 64
SMALLEST_WIDTH = 1.0
"""Of a source, in px of the grid itself: a narrower one rings outside its cone at the shortest wavelength."""

LATER_STRENGTH = 0.3
"""Standard deviation of the amplitudes of later events, the apex having 1: younger waves are steeper."""

Spectra = Complex64[Tensor, "b n half"]


@dataclass(frozen=True)
class Events:
    """Point sources inside light cones: event 0 of each cone is its apex, the others come later.

    Attributes
    ----------
    place
        Row and column in px of the grid, [B, cones, events, 2].
    age
        Time since the event in which light goes one px, [B, cones, events].
    strength
        Amplitude, 0 for events that are not there, [B, cones, events].
    """

    place: Float32[Tensor, "b c e 2"]
    age: Float32[Tensor, "b c e"]
    strength: Float32[Tensor, "b c e"]


def draw_events(
    grid: Grid, keys: SampleKeys, radius: Float32[Tensor, "b 1 1"], cones: PerSample, events: PerSample
) -> Events:
    """Return an apex for each cone and events uniform in the space-time inside it, |r − r₀| ≤ t − t₀.

    The volume inside a cone grows as t³ and that inside a circle as r², so t = T·u^(1/3) and r = t·u^(1/2).
    """
    apex = grid.side(keys.uniform("apexes", MAX_CONES, 2))
    later, far, angle = keys.uniform("events", 3, MAX_CONES, MAX_EVENTS).unbind(dim=1)
    delay = radius * later.pow(1.0 / 3.0)
    direction = torch.stack((torch.sin(2.0 * math.pi * angle), torch.cos(2.0 * math.pi * angle)), dim=-1)
    place = apex[:, :, None] + (delay * far.sqrt())[..., None] * direction
    signs = LATER_STRENGTH * keys.normal("strengths", MAX_CONES, MAX_EVENTS)
    present = torch.arange(MAX_EVENTS, device=grid.device) < column(events, 2)
    strength = torch.cat((torch.ones_like(signs[..., :1]), torch.where(present, signs, 0.0)), dim=-1)
    shown = torch.arange(MAX_CONES, device=grid.device)[:, None] < column(cones, 2)
    age = torch.cat((radius.expand(-1, MAX_CONES, 1), radius - delay), dim=-1)
    return Events(torch.cat((apex[:, :, None], place), dim=2), age, torch.where(shown, strength, 0.0))


def propagate(
    grid: Grid, events: Events, width: Float32[Tensor, "b 1 1"], mass: Float32[Tensor, "b 1 1"], most: int
) -> tuple[Spectra, Spectra]:
    """Return the transforms of φ and φ_t: Σ a·ŝ·e^(−ik·r)·sin(ωt)/ω and Σ a·ŝ·e^(−ik·r)·cos ωt.

    t is the age of each event and ŝ = exp(−k²w²/2) its source. The first ``most`` events of each cone count.
    """
    k = angular(grid)
    omega = dispersion(k, mass)
    ones = wave_numbers(grid)
    half = 2.0 * math.pi * torch.fft.rfftfreq(grid.size, device=grid.device)
    phi = torch.zeros(len(omega), *k.shape, dtype=torch.complex64, device=grid.device)
    pi = torch.zeros_like(phi)
    for number in range(most):
        for cone in range(MAX_CONES):
            strength, age = (part[:, cone, number, None] for part in (events.strength, events.age))
            if not bool(strength.any()):
                continue
            row, across = events.place[:, cone, number].unbind(dim=1)
            down = torch.polar(strength.expand(-1, grid.size), -ones * row[:, None])
            wave = down[:, :, None] * torch.polar(torch.ones_like(half), -half * across[:, None])[:, None]
            phi += wave * sine_over(omega, age[..., None])
            pi += wave * torch.cos(omega * age[..., None])
    source = torch.exp(-0.5 * (k * width).square())
    return phi * source, pi * source


def proper_time(
    grid: Grid, apex: Float32[Tensor, "b c 2"], radius: Float32[Tensor, "b 1 1"], cones: PerSample
) -> Float32[Tensor, "b n n"]:
    """Return √(max(0, 1 − (r/ct)²)), the greatest over the cones: 1 above an apex, 0 outside all cones."""
    offset = grid.offset(apex)
    squared = offset[:, :, 0, :, None].square() + offset[:, :, 1, None, :].square()
    inside = (1.0 - squared / radius.square()[..., None]).clamp(min=0.0).sqrt()
    shown = torch.arange(MAX_CONES, device=grid.device)[:, None, None] < column(cones)
    return torch.where(shown, inside, 0.0).amax(dim=1)


def waves(
    grid: Grid,
    keys: SampleKeys,
    cone_radius: PerSample,
    smoothing: PerSample,
    num_cones: PerSample,
    num_events: PerSample,
    mass: PerSample,
) -> Float32[Tensor, "b 3 n n"]:
    """Return φ and φ_t in the units of the wave equation, and the proper time: what `light_cone` scales."""
    radius = grid.pixels(column(cone_radius, 2))
    events = draw_events(grid, keys, radius, num_cones, num_events)
    width = grid.pixels(column(smoothing, 2)).clamp(min=SMALLEST_WIDTH)
    most = 1 + int(torch.as_tensor(num_events).max()) if len(keys) else 1
    spectra = propagate(grid, events, width, column(mass, 2) / grid.pixels(1.0), most)
    fields = [torch.fft.irfft2(spectrum, s=(grid.size, grid.size)) for spectrum in spectra]
    return torch.stack((*fields, proper_time(grid, events.place[:, :, 0], radius, num_cones)), dim=1)


@initial_condition(
    domain="relativity",
    tier=2,
    source="Morse & Feshbach 1953",
    sites=("apexes", "events", "strengths"),
    cost="fft",
    laws=(
        causality(),
        causality(num_cones=3, num_events=0, mass=0.1),
        support_rms(),
    ),
)
def light_cone(
    grid: Grid,
    keys: SampleKeys,
    *,
    cone_radius: Annotated[PerSample, Real(6.0, 42.0, "px", log=True)] = 20.0,
    smoothing: Annotated[PerSample, Real(1.0, 5.0, "px", log=True)] = 2.0,
    num_cones: Annotated[PerSample, Integer(1, MAX_CONES)] = 1,
    num_events: Annotated[PerSample, Integer(0, MAX_EVENTS)] = 8,
    mass: Annotated[PerSample, Real(0.0, 1.0, "rad/px")] = 0.0,
) -> Fields:
    """Waves of a point event and of what it causes, φ_tt = c²∇²φ − m²φ at a time t after the event.

    A point event sends out the retarded wave of two dimensions, θ(ct − r)/(2πc·√(c²t² − r²)): a crest at r =
    ct = ``cone_radius``, a wake that fills the disc behind it, and nothing outside. ``num_events`` later
    events, of normal amplitudes 0.3 times as strong, lie uniformly in the space-time inside each of
    ``num_cones`` cones, so that their waves stay inside as well. Sources are Gaussians of width
    ``smoothing`` px, at least one pixel of the grid: beyond four widths from the cones there is less than
    10⁻⁶ of φ² + φ_t², and 10⁻⁵ where the width is below 1.5 pixels of the grid, which cut off its
    spectrum. ``mass`` m, in rad/px of a 128 grid, makes the waves slower than light. Channels
    are φ; φ_t; and the proper time √(1 − (r/ct)²) since the nearest apex in units of t, 0 where no signal
    has come. φ and φ_t have rms 1 inside the cones, by a factor for each; `waves` gives them unscaled.

    What to expect: sharp discs on an empty ground, brightest at their rims, with rings inside. Good values:
    2 to 20 events, or none for the bare wave.
    """
    phi, pi, time = waves(grid, keys, cone_radius, smoothing, num_cones, num_events, mass).unbind(dim=1)
    inside = (time > 0).double()
    share = inside.sum(dim=(-2, -1), keepdim=True)
    scaled = [
        field / ((field.double().square() * inside).sum(dim=(-2, -1), keepdim=True) / share).sqrt().float()
        for field in (phi, pi)
    ]
    return torch.stack((*scaled, time), dim=1)
