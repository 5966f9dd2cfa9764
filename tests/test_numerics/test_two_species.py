"""Linear theory of two species, and the stepper against the exact solution of what is linear."""

import itertools
import math

import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import angular
from spinlock.numerics.two_species import Linearization, relax

MEDIUM = Linearization(1.0, -1.0, 3.0, -2.0, 20.0)
GRID = Grid(32)
SQUARED = (angular(GRID).double()[None] * 0.6).square()
KEYS = SampleKeys.of(Key(0, "two species"), torch.arange(2), ("u", "v"))
START = tuple(0.01 * KEYS.normal(site, 32, 32).double() for site in ("u", "v"))


def nothing(u, v):
    return torch.zeros_like(u)


def test_growth_is_the_greater_eigenvalue():
    for squared in (0.0, 0.1, 0.27, 1.0, 3.0):
        matrix = torch.tensor([[1.0 - squared, -1.0], [3.0, -2.0 - 20.0 * squared]], dtype=torch.float64)
        exact = torch.linalg.eigvals(matrix).real.max()
        assert MEDIUM.growth(torch.tensor(squared, dtype=torch.float64)).item() == pytest.approx(float(exact))


def test_the_uniform_state_is_stable_and_one_ring_is_not():
    """Trace −1 and determinant 1 without diffusion; q_m = 0.520 grows at 0.343."""
    fastest = MEDIUM.fastest()
    scan = torch.linspace(0.0, 2.0, 20_001, dtype=torch.float64)
    growth = MEDIUM.growth(scan.square())
    assert growth[0] < 0 < growth.max()
    assert fastest == pytest.approx(0.520, abs=5e-4)
    assert scan[growth.argmax()].item() == pytest.approx(fastest, abs=2e-4)
    assert growth.max().item() == pytest.approx(0.343, abs=5e-4)
    assert growth[-1] < 0


def test_equal_diffusion_grows_nothing():
    """Turing's condition: the inhibitor must spread faster."""
    equal = Linearization(1.0, -1.0, 3.0, -2.0, 1.0 + 1e-9)
    assert equal.growth(torch.linspace(0, 4, 401, dtype=torch.float64)).max() < 0


def test_the_companion_is_the_growing_eigenvector():
    squared = torch.tensor(MEDIUM.fastest() ** 2, dtype=torch.float64)
    u, v = 1.0, float(MEDIUM.companion(squared))
    rate = float(MEDIUM.growth(squared))
    assert (1.0 - float(squared)) * u - v == pytest.approx(rate * u)
    assert 3.0 * u - (2.0 + 20.0 * float(squared)) * v == pytest.approx(rate * v)


def exact(time):
    """Return the linear solution by the matrix exponential of every mode."""
    modes = torch.stack([torch.fft.rfft2(part) for part in START], dim=-1)
    matrix = torch.zeros(*SQUARED.shape[1:], 2, 2, dtype=torch.float64)
    matrix[..., 0, 0], matrix[..., 0, 1] = 1.0 - SQUARED[0], -1.0
    matrix[..., 1, 0], matrix[..., 1, 1] = 3.0, -2.0 - 20.0 * SQUARED[0]
    grown = torch.linalg.matrix_exp(matrix * time).to(modes.dtype) @ modes[..., None]
    return torch.fft.irfft2(grown[..., 0, 0], s=(32, 32))


def test_the_stepper_is_of_first_order():
    errors = []
    for steps in (40, 80, 160):
        u, _ = relax(MEDIUM, nothing, 0.0, SQUARED, START, dt=4.0 / steps, steps=steps)
        errors.append(float((u - exact(4.0)).norm() / exact(4.0).norm()))
    assert errors[-1] < 0.05
    for coarse, fine in itertools.pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(1.0, abs=0.15)


def test_where_it_stands_still_the_equations_hold():
    """A state that long steps leave alone has no rates, so that its accuracy does not hang on the step."""
    u, v = relax(MEDIUM, lambda u, v: -u.pow(3), 0.0, SQUARED, START, dt=0.4, steps=4000)

    def diffused(field, ratio):
        return torch.fft.irfft2(-ratio * SQUARED * torch.fft.rfft2(field), s=(32, 32))

    rates = u - v - u.pow(3) + diffused(u, 1.0), 3.0 * u - 2.0 * v + diffused(v, 20.0)
    for rate in rates:
        assert rate.square().mean().sqrt() < 2e-3
    assert u.std() > 0.3


def test_long_runs_stay_finite():
    """Spectra hold rounding that no real field has; kept from step to step it would grow without end."""
    start = tuple(part.float() for part in START)
    u, v = relax(MEDIUM, lambda u, v: -u.pow(3), 0.0, SQUARED, start, dt=0.4, steps=1000)
    assert 0.5 < u.abs().max() < 1.0
    assert v.isfinite().all()
