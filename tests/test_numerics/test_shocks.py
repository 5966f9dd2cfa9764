"""End states of shocks against the textbook's relations, and the flow between them."""

import pytest
import torch

from spinlock.numerics.shocks import (
    energy_flux,
    euler_flow,
    euler_upstream,
    relativistic_density,
    relativistic_flow,
    relativistic_upstream,
    squared_mach,
)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("gamma", [1.1, 1.4, 5.0 / 3.0])
@pytest.mark.parametrize("ratio", [1.1, 2.0, 3.5])
def test_rankine_hugoniot(gamma, ratio):
    upstream = euler_upstream(number(ratio), number(gamma))
    behind = euler_flow(upstream, number(ratio))
    mach = float(squared_mach(ratio, gamma)) ** 0.5
    assert upstream.velocity.item() == pytest.approx(mach)
    assert (gamma + 1) * mach**2 / ((gamma - 1) * mach**2 + 2) == pytest.approx(ratio)
    jump = 1 + 2 * gamma / (gamma + 1) * (mach**2 - 1)
    assert behind.pressure.item() == pytest.approx(jump / gamma)
    assert behind.velocity.item() == pytest.approx(mach / ratio)


def test_the_card_of_pressures():
    """At a density ratio of 5 the pressure is 29 times that upstream for γ = 1.4."""
    upstream = euler_upstream(number(5.0), number(1.4))
    ratio = euler_flow(upstream, number(5.0)).pressure / upstream.pressure
    assert ratio.item() == pytest.approx(29.0)


@pytest.mark.parametrize("gamma", [1.1, 4.0 / 3.0, 5.0 / 3.0])
@pytest.mark.parametrize("lorentz", [1.2, 2.0, 5.0, 10.0])
def test_the_taub_adiabat(lorentz, gamma):
    """h₂² − h₁² = (p₂ − p₁)(h₁/ρ₁ + h₂/ρ₂), which the solver does not use; and energy passes."""
    upstream = relativistic_upstream(number(lorentz))
    density = relativistic_density(upstream, number(gamma))
    behind = relativistic_flow(upstream, density, number(gamma))
    enthalpy = [1 + gamma / (gamma - 1) * flow.pressure / flow.density for flow in (upstream, behind)]
    left = enthalpy[1] ** 2 - enthalpy[0] ** 2
    right = (behind.pressure - upstream.pressure) * (enthalpy[0] / upstream.density + enthalpy[1] / density)
    assert left.item() == pytest.approx(right.item(), rel=1e-9)
    passed = [energy_flux(flow, number(gamma)).item() for flow in (upstream, behind)]
    assert passed[0] == pytest.approx(passed[1], rel=1e-9)
    sound = (gamma * behind.pressure / (density * enthalpy[1])).sqrt()
    speed = behind.velocity / (1 + behind.velocity**2).sqrt()
    assert density > 1.1
    assert behind.pressure > upstream.pressure
    assert speed < sound


def test_columns_are_solved_each_alone():
    lorentz, gamma = number([[1.2], [3.0], [9.0]]), number([[1.4], [5 / 3], [1.2]])
    together = relativistic_density(relativistic_upstream(lorentz), gamma)
    for row in range(3):
        alone = relativistic_density(relativistic_upstream(lorentz[row]), gamma[row])
        assert torch.equal(together[row], alone)
