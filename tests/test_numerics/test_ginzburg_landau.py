"""The complex Ginzburg–Landau stepper: exact reaction, plane waves, order of the error, pacemakers."""

import math

import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.ginzburg_landau import evolve, react
from spinlock.numerics.random import SampleKeys

N = 32
K = 2 * math.pi * torch.fft.fftfreq(N, dtype=torch.float64)
K2 = (K[:, None].square() + K.square())[None] / 0.7**2


def start(amplitude=0.5):
    keys = SampleKeys.of(Key(0, "wave"), torch.arange(1), ("low",))
    parts = keys.normal("low", 2, 4, 4).double()
    low = torch.zeros(1, N, N, dtype=torch.complex128)
    low[:, :4, :4] = torch.complex(parts[:, 0], parts[:, 1]) * amplitude
    return torch.fft.ifft2(low) * N


def test_the_reaction_obeys_its_equation():
    field, c, step = start(), 1.3, 1e-4
    rate = (react(field, step, c) - react(field, -step, c)) / (2 * step)
    assert torch.allclose(rate, field - (1 + 1j * c) * field.abs().square() * field, atol=1e-6)
    twice = react(react(field, 0.3, c), 0.4, c)
    assert torch.allclose(twice, react(field, 0.7, c), atol=1e-12)


@pytest.mark.parametrize(("b", "c"), [(0.0, 1.0), (2.0, -1.2), (0.5, 0.5)])
def test_a_plane_wave_turns_at_its_frequency(b, c):
    """A = √(1 − q²)·e^(iqx − iωt) with ω = c·(1 − q²) + b·q² is a solution."""
    q = float(K[2]) / 0.7
    wave = torch.polar(torch.full((N,), math.sqrt(1 - q**2), dtype=torch.float64), K[2] * torch.arange(N))
    wave = wave.expand(1, N, N)
    turned = wave * torch.exp(torch.tensor(-1j * (c * (1 - q**2) + b * q**2) * 2.0))
    assert torch.allclose(evolve(wave, K2, b, c, 0.01, 200), turned, atol=1e-3)


def test_the_error_is_of_second_order():
    exact = evolve(start(), K2, 0.0, 1.0, 0.0025, 800)
    errors = [
        float((evolve(start(), K2, 0.0, 1.0, 2.0 / steps, steps) - exact).abs().max()) for steps in (20, 40)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)


def test_turning_the_start_turns_the_end():
    turn = torch.exp(torch.tensor(0.7j, dtype=torch.complex128))
    assert torch.allclose(
        evolve(start() * turn, K2, 2.0, -1.2, 0.2, 30), evolve(start(), K2, 2.0, -1.2, 0.2, 30) * turn
    )


def test_a_uniform_pacemaker_is_a_frequency():
    pace = torch.full((1, N, N), 0.3, dtype=torch.float64)
    turned = evolve(start(), K2, 0.0, 1.0, 0.1, 20) * torch.exp(torch.tensor(0.3j * 2.0))
    assert torch.allclose(evolve(start(), K2, 0.0, 1.0, 0.1, 20, pace), turned, atol=1e-6)
