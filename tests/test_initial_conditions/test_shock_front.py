"""Jumps, profiles and fluctuations of shock_front."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.shock_front import burgers
from spinlock.initial_conditions.shock_laws import (
    both_states,
    burgers_balance,
    density_jump,
    euler_jump,
    fluxes_pass,
    relativistic_jump,
)
from spinlock.testing.laws import draw_from, holds, white_noise

DRAW = draw_from(registry["shock_front"], seed=13)
QUIET = {"fluctuation_amplitude": 0.0}
SHARP = {"shock_width": 0.7, **QUIET}


@pytest.mark.parametrize("gamma", [1.1, 5 / 3])
@pytest.mark.parametrize("ratio", [1.1, 2.0, 3.9])
def test_fluxes_of_any_gas(gamma, ratio):
    assert holds(fluxes_pass(gamma=gamma, amplitude_ratio=ratio), DRAW)
    energy = euler_jump(gamma)
    assert holds(energy, lambda count, **options: DRAW(count, amplitude_ratio=ratio, **options))
    assert holds(density_jump(ratio, gamma=gamma), DRAW)


@pytest.mark.parametrize("lorentz", [1.2, 2.0, 5.0, 10.0])
@pytest.mark.parametrize("gamma", [4 / 3, 5 / 3])
def test_relativistic_jumps(lorentz, gamma):
    assert holds(relativistic_jump(lorentz, gamma), DRAW)


def test_mass_and_momentum_pass_inside_a_relativistic_shock():
    density, velocity, pressure = DRAW(4, 64, 3, kind="srhd", shock_width=6.0, **QUIET).double().unbind(dim=1)
    enthalpy = density + 1.4 / 0.4 * pressure
    for flux in (density * velocity, enthalpy * velocity.square() + pressure):
        assert ((flux.amax(dim=(1, 2)) - flux.amin(dim=(1, 2))) / flux.mean(dim=(1, 2))).max() < 1e-4


def test_what_is_no_shock_is_found():
    """A wrong jump, a rarefaction and noise pass no energy or no momentum."""

    def with_pressure(count, **options):
        fields = DRAW(count, **options)
        fields[:, 2] *= 1.01
        return fields

    assert not holds(fluxes_pass(), with_pressure)
    assert not holds(fluxes_pass(), lambda count, **_: DRAW(count, fluctuation_amplitude=0.01))
    assert not holds(euler_jump(), with_pressure)
    assert not holds(euler_jump(), lambda count, **options: DRAW(count, **options).flip(1))
    assert not holds(relativistic_jump(2.0), lambda count, **_: DRAW(count, **SHARP))
    assert not holds(density_jump(3.0), lambda count, **_: DRAW(count, amplitude_ratio=2.9, **SHARP))
    assert not holds(burgers_balance(2.0), lambda count, **_: DRAW(count, **SHARP))
    assert not holds(both_states(), lambda count, **_: DRAW(count, 32).clamp(max=1.4))
    assert not holds(both_states(), white_noise())


@pytest.mark.parametrize("width", [2.0, 6.0])
def test_the_layer_is_a_tanh_of_its_width(width):
    """ρ = 1 + ½(r − 1)(1 + tanh(z/w)), z the way along the normal."""
    field = generate(
        "shock_front", 128, 1, [0], shock_angle=0.0, shock_position=0.5, shock_width=width, **QUIET
    )
    z = torch.arange(128, dtype=torch.float64) - 63.5
    assert torch.allclose(
        field[0, 0].double(), (1.5 + 0.5 * torch.tanh(z / width)).expand(128, 128), atol=1e-6
    )


@pytest.mark.parametrize("angle", [0.0, 1.0, 2.5, 5.0])
def test_the_flow_runs_along_the_angle(angle):
    fields = DRAW(4, 64, 3, shock_angle=angle, shock_width=6.0, **QUIET).double()
    down, across = fields[:, 0].diff(dim=1).mean(dim=(1, 2)), fields[:, 0].diff(dim=2).mean(dim=(1, 2))
    turn = torch.atan2(down, across)
    assert (torch.remainder(turn - angle + math.pi, 2 * math.pi) - math.pi).abs().max() < 0.12
    assert (fields[:, 1] > 0).all()


@pytest.mark.parametrize("position", [0.2, 0.5, 0.8])
def test_the_position_is_the_share_upstream(position):
    fields = generate("shock_front", 64, 1, [0], shock_angle=math.pi / 2, shock_position=position, **SHARP)
    assert (fields[0, 0] < 1.5).double().mean().item() == pytest.approx(position, abs=0.02)


def test_angle_and_position_are_drawn_for_every_draw():
    fields = DRAW(64, 32, 6, **SHARP).double()
    share = (fields[:, 0] > 1.5).double().mean(dim=(1, 2))
    assert share.min() < 0.2 < 0.8 < share.max()
    assert (fields[:, 0] - fields[:, 3]).abs().amax(dim=(1, 2)).min() > 0.5


def test_fluctuations_are_relative_and_keep_the_signs():
    for kind in ("euler", "srhd"):
        options = {"kind": kind, "shock_width": 0.7}
        quiet, rough = (DRAW(32, 64, 3, fluctuation_amplitude=level, **options) for level in (0.0, 0.3))
        assert rough.min() > 0
        ratio = (rough / quiet).double()
        assert ratio.mean().item() == pytest.approx(1.0, abs=0.02)
        assert ratio.std().item() == pytest.approx(0.3, rel=0.1)
        for channel in range(3):
            other = ratio[:, (channel + 1) % 3].flatten() - 1
            assert torch.corrcoef(torch.stack((ratio[:, channel].flatten() - 1, other)))[0, 1].abs() < 0.05


def test_the_viscous_shock_solves_burgers():
    """w w′ = ν w″ in the frame of the shock, ν = width·Δ/4."""
    z = torch.linspace(-20, 20, 101, dtype=torch.float64).expand(1, 101, 101).clone().requires_grad_(True)
    width, ratio = (torch.full((1, 1, 1), value, dtype=torch.float64) for value in (3.0, 2.5))
    flow = burgers(z, width, ratio)
    relative = flow.velocity
    (first,) = torch.autograd.grad(relative.sum(), z, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), z)
    viscosity = 3.0 * 1.5 / 4
    assert (relative * first - viscosity * second).abs().max() < 1e-12
    assert torch.allclose(flow.pressure, -viscosity * first, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 5 / 3, "amplitude_ratio": 4.0}, r"\(γ \+ 1\)/\(γ − 1\) = 4"),
        ({"gamma_range": [1.2, 5 / 3], "amplitude_ratio": 4.0}, "out of reach"),
        ({"amplitude_ratio": 1.0}, "amplitude_ratio"),
        ({"kind": "srhd", "amplitude_ratio": 2.0}, "acts only where kind is euler or burgers"),
        ({"kind": "burgers", "gamma": 1.4}, "acts only where kind is euler or srhd"),
        ({"upstream_lorentz": 2.0}, "acts only where kind is srhd"),
        ({"shock_position": 0.1}, "shock_position"),
    ],
)
def test_what_no_shock_can_be_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        generate("shock_front", 32, **options)
