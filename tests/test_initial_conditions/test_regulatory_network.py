"""Energy, switching, oscillation and wiring of regulatory networks."""

import math

import numpy as np
import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.regulatory_network import (
    GAIN,
    RINGS,
    TIME_STEP,
    ring_production,
    sigmoid_production,
    steady_level,
    wiring,
)
from spinlock.keys import Key
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.relaxation import heat_kernel, relax
from spinlock.numerics.spectral import angular, rbf_spectrum, spectral
from spinlock.testing.laws import draw_from

ENTRY = registry["regulatory_network"]
DRAW = draw_from(ENTRY)
SIZE, GENES, DIFFUSION = 64, 6, 0.25
GRID = Grid(SIZE)
KERNEL = heat_kernel(GRID, torch.tensor([2 * DIFFUSION * TIME_STEP], dtype=torch.float64))


def network(topology="scale_free", count=4, **changes):
    keys = SampleKeys.of(Key(0, ENTRY.name), torch.arange(count), ENTRY.sites)
    options = {"size": GENES, "probability": 0.3, "symmetric": True, **changes}
    return wiring(keys, topology, **options)[1].double()


def start(genes, count=4):
    keys = SampleKeys.of(Key(1, ENTRY.name), torch.arange(count), ENTRY.sites)
    white = keys.normal("start", genes, SIZE, SIZE)
    return 0.2 * spectral(rbf_spectrum(angular(GRID) * 0.05 * SIZE), white).double()


def laplacian(state):
    around = state.roll(1, -1) + state.roll(-1, -1) + state.roll(1, -2) + state.roll(-1, -2)
    return DIFFUSION * (around - 4.0 * state)


def energy(state, weights):
    """Return ½⟨x, AWx⟩ − Σ ln(1 + exp(β(Wx − θ)))/β for each sample, A = (H⁻¹ − κ)/(1 − κ), κ = e^−dt.

    A step x' = H(κx + (1 − κ)F(x)) takes at least ½⟨d, AWd⟩ + κ/(1 − κ)⟨d, Wd⟩ from it, d = x' − x, as the
    second term is convex; for short steps A is 1 − D∇².
    """
    kept, inverse = math.exp(-TIME_STEP), torch.linalg.inv(KERNEL[0])
    driven = torch.einsum("bij,bjhw->bihw", weights, state)
    threshold = 0.5 * weights.sum(dim=-1)[..., None, None]
    resting = (inverse @ driven @ inverse - kept * driven) / (1.0 - kept)
    saturating = torch.nn.functional.softplus(GAIN * (driven - threshold), threshold=50) / GAIN
    return (0.5 * state * resting - saturating).sum(dim=(1, 2, 3))


def rate(state, production):
    return production(state) - state + laplacian(state)


@pytest.mark.parametrize("topology", ["scale_free", "random", "hub"])
def test_the_energy_of_a_symmetric_network_falls_until_it_rests(topology):
    weights = network(topology)
    production = sigmoid_production(weights)
    state = 0.5 + start(GENES)
    energies = [energy(state, weights)]
    for _ in range(24):
        state = relax(state, production, KERNEL, TIME_STEP, 5)
        energies.append(energy(state, weights))
    falls = -torch.stack(energies).diff(dim=0)
    assert (falls > -1e-9 * energies[0].abs()).all()
    assert (falls[0] > 20 * falls[-1].abs()).all()
    assert float(rate(state, production).abs().median()) < 0.02


def test_the_energy_of_other_regulation_may_rise():
    """A ring of repressors has no such function: the same formula with W = 1 − shift goes up and down."""
    shift = torch.eye(3, dtype=torch.float64).roll(1, 0)
    weights = (torch.eye(3, dtype=torch.float64) - 2.0 * shift)[None]
    state = 0.5 + start(3, 1)
    energies = [energy(state, weights)]
    for _ in range(30):
        state = relax(state, sigmoid_production(weights), KERNEL, TIME_STEP, 3)
        energies.append(energy(state, weights))
    assert (torch.stack(energies).diff(dim=0) > 1e-6 * energies[0].abs()).any()


def test_networks_without_symmetry_are_other_networks():
    same, other = (
        generate("regulatory_network", 32, 3, range(4), symmetric=value) for value in (True, False)
    )
    assert not torch.equal(same, other)
    assert torch.equal(network("scale_free", symmetric=True), network("scale_free").transpose(1, 2))


def bimodality(values):
    """Return (skewness² + 1)/kurtosis: 5/9 for uniform, 1 for two values."""
    centred = values - values.mean()
    second = centred.square().mean()
    skewness = centred.pow(3).mean() / second.pow(1.5)
    return float((skewness.square() + 1) / (centred.pow(4).mean() / second.square()))


def test_a_toggle_switch_has_two_states():
    for first, second, difference in DRAW(8, 64, 3, network_topology="toggle").double().flatten(2):
        assert float(torch.corrcoef(torch.stack([first, second]))[0, 1]) < -0.8
        assert bimodality(difference) > 0.7
        assert 0.2 < float((difference > 0).double().mean()) < 0.8
    assert bimodality(start(1).flatten()) < 0.45


def test_toggle_states_are_the_roots_of_its_equations():
    """x = 4/(1 + y³), y = 4/(1 + x³): 3.984… and 0.062…, divided by 4."""
    x, y = 4.0, 0.0
    for _ in range(50):
        x, y = 4.0 / (1 + y**3), 4.0 / (1 + x**3)
    fields = DRAW(4, 64, 2, network_topology="toggle", diffusion=0.0, steps=300).double()
    for level in (x, y):
        assert float((fields - level / 4).abs().min()) < 1e-4
    settled = torch.minimum((fields - x / 4).abs(), (fields - y / 4).abs())
    assert float((settled < 1e-2).double().mean()) > 0.97


def test_a_repressilator_oscillates_at_thirds_of_a_turn():
    """Phases by the first harmonic in time of each gene, over pixels in unison."""
    genes, top, hill = RINGS["repressilator"]
    level = steady_level(top, hill)
    state = level * torch.exp(start(genes, 1)[..., :1, :1].expand(-1, -1, 16, 16))
    kernel = heat_kernel(Grid(16), torch.tensor([0.1], dtype=torch.float64))
    production = ring_production(top, hill)
    state = relax(state, production, kernel, TIME_STEP, 200)
    series = []
    for _ in range(200):
        state = relax(state, production, kernel, TIME_STEP, 1)
        series.append(state[0, :, 0, 0])
    series = torch.stack(series)
    assert (series.std(dim=0) > 0.2 * level).all()
    amplitudes = torch.fft.rfft(series - series.mean(dim=0), dim=0)
    main = int(amplitudes[:, 0].abs().argmax())
    phases = torch.rad2deg(amplitudes[main].angle())
    gaps = torch.stack([(phases[(i + 1) % 3] - phases[i]) % 360 for i in range(3)])
    gaps = torch.minimum(gaps, 360 - gaps)
    assert torch.allclose(gaps, torch.full_like(gaps, 120.0), atol=15.0)


def test_a_repressilator_still_moves_at_the_end():
    early, late = (
        generate("regulatory_network", 32, 3, range(4), network_topology="repressilator", steps=steps)
        for steps in (118, 120)
    )
    moved = (late - early).abs().mean(dim=(1, 2, 3))
    assert (moved > 0.02).all()
    rested = [generate("regulatory_network", 32, 3, range(4), network_size=6, steps=s) for s in (118, 120)]
    assert float((rested[1] - rested[0]).abs().median()) < 0.004


@pytest.mark.parametrize("ring", RINGS)
def test_the_steady_level_solves_the_polynomial(ring):
    """x·(1 + xⁿ) = a has one positive root."""
    _, top, hill = RINGS[ring]
    roots = np.roots([1.0] + (hill - 1) * [0.0] + [1.0, -top])
    positive = roots[(abs(roots.imag) < 1e-9) & (roots.real > 0)].real
    assert steady_level(top, hill) == pytest.approx(positive.item(), rel=1e-10)


def test_channels_are_the_most_linked_genes():
    hub = generate("regulatory_network", 32, 3, range(4), network_topology="hub", network_size=8, steps=60)
    weights = network("hub", 4, size=8)
    drive = (weights[:, 1:3, 0] ** 2).flatten()
    assert torch.allclose(drive, torch.full_like(drive, 1 / 7), atol=1e-6)
    assert hub.shape == (4, 3, 32, 32)
    assert math.isfinite(float(hub.sum()))


def test_a_longer_start_makes_wider_domains():
    def walls(length):
        fields = DRAW(4, 64, 1, network_size=4, spatial_decay=length)
        return float(fields.diff(dim=-1).abs().mean())

    assert walls(0.03) > 1.3 * walls(0.12)


@pytest.mark.parametrize(
    "options",
    [
        {"network_topology": "toggle", "network_size": 5},
        {"network_topology": "repressilator", "symmetric": False},
        {"connection_probability": 0.5},
    ],
)
def test_options_of_other_topologies_are_refused(options):
    with pytest.raises(OptionError, match="no effect"):
        generate("regulatory_network", 32, **options)
