"""Momentum, width, density and interference of quantum_wave_packet."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.wave_laws import least_uncertainty, mean_momentum, squared_modulus
from spinlock.testing.laws import draw_from, holds, white_noise

DRAW = draw_from(registry["quantum_wave_packet"], seed=3)
NUMBER = torch.fft.fftfreq(128, dtype=torch.float64) * 2 * math.pi


def psi(count=8, size=128, **options):
    fields = DRAW(count, size, 3, **options).double()
    return torch.complex(fields[:, 0], fields[:, 1])


def momenta(waves):
    """Return ⟨k⟩ along rows and columns and ⟨k²⟩ − ⟨k⟩² along both together, rad/px."""
    share = torch.fft.fft2(waves).abs().square()
    share = share / share.sum(dim=(1, 2), keepdim=True)
    rows, columns = ((share.sum(dim=axis) * NUMBER).sum(dim=1) for axis in (2, 1))
    squares = (share * (NUMBER[:, None].square() + NUMBER.square())).sum(dim=(1, 2))
    return rows, columns, squares - rows.square() - columns.square()


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.5, math.pi / 2])
@pytest.mark.parametrize("sigma", [3.0, 10.0])
def test_momentum_and_its_spread(momentum, sigma):
    rows, columns, variance = momenta(psi(momentum=momentum, sigma=sigma))
    assert torch.hypot(rows, columns).tolist() == pytest.approx([momentum] * 8, abs=1e-3)
    assert variance.sqrt().tolist() == pytest.approx([math.sqrt(2) / (2 * sigma)] * 8, rel=5e-3)


def test_directions_are_anywhere():
    rows, columns, _ = momenta(psi(64, momentum=0.4))
    turn = torch.atan2(rows, columns)
    assert all(
        ((turn > low) & (turn <= low + math.pi / 2)).any() for low in (-math.pi, -math.pi / 2, 0, 1.57)
    )
    assert rows.mean().abs() < 0.1


@pytest.mark.parametrize("sigma", [3.0, 6.0, 10.0])
def test_the_density_is_a_gaussian_of_its_width(sigma):
    """|ψ|² falls by e^(−d²/2σ²) and has the peak N²/2πσ² once its mean is 1."""
    density = psi(sigma=sigma).abs().square()
    assert density.mean(dim=(1, 2)).tolist() == pytest.approx([1.0] * 8, abs=1e-4)
    for field in density:
        middle = field.roll([64 - part for part in divmod(int(field.argmax()), 128)], (0, 1))
        step = round(sigma)
        fall = middle[64 - step, 64] * middle[64 + step, 64] / middle[64, 64] ** 2
        assert fall.item() == pytest.approx(math.exp(-((step / sigma) ** 2)), rel=1e-4)
        assert field.max().item() == pytest.approx(128**2 / (2 * math.pi * sigma**2), rel=0.06)


def test_packets_interfere():
    """The density of two packets is not the sum of theirs: that would fail the law."""
    law = squared_modulus()

    def incoherent(count, **_):
        first, second = DRAW(count, 128), draw_from(registry["quantum_wave_packet"], seed=4)(count, 128)
        return first + second

    assert holds(law, lambda count, **_: DRAW(count, 128, num_packets=5))
    assert not holds(law, incoherent)


def test_a_packet_too_wide_for_its_momenta_is_found():
    """Noise has no momentum and no least uncertainty; a chirped packet has the width but not the product."""
    assert not holds(mean_momentum(0.3), white_noise())

    def chirped(count, **_):
        waves = torch.stack([wave.roll([64 - p for p in divmod(int(wave.abs().argmax()), 128)], (0, 1))
                             for wave in psi(count)])  # fmt: skip
        x = torch.arange(128, dtype=torch.float64) - 64
        waves = waves * torch.polar(torch.ones_like(x), 0.005 * x.square())
        return torch.stack((waves.real, waves.imag, waves.abs().square()), dim=1)

    assert not holds(least_uncertainty(), chirped)


def test_all_packets_of_a_sample_have_one_energy():
    """⟨k²⟩ = k₀² + 2σ_k² however many packets there are, but for their overlaps."""
    waves = psi(64, num_packets=5, momentum=0.5, sigma=6.0)
    rows, columns, variance = momenta(waves)
    total = variance + rows.square() + columns.square()
    assert total.mean().item() == pytest.approx(0.25 + 2 / 144, rel=0.02)
    assert torch.hypot(rows, columns).mean() < 0.4


@pytest.mark.parametrize("size", [16, 32, 50])
def test_no_momentum_is_beyond_a_small_grid(size):
    """The power at the highest wave numbers of the grid stays small."""
    fields = psi(16, size, momentum=math.pi / 2, sigma=10.0)
    share = torch.fft.fftshift(torch.fft.fft2(fields).abs().square(), dim=(1, 2))
    assert ((share[:, 0].sum(dim=1) + share[:, :, 0].sum(dim=1)) / share.sum(dim=(1, 2))).max() < 0.05


def test_the_momentum_drawn_is_stored():
    fields, values = generate("quantum_wave_packet", 128, 3, range(16), return_options=True)
    drawn = torch.tensor([value["momentum"] for value in values])
    assert drawn.min() >= 0.1
    assert drawn.max() <= 0.5
    rows, columns, _ = momenta(torch.complex(*fields[:, :2].double().unbind(dim=1)))
    assert torch.hypot(rows, columns).tolist() == pytest.approx(drawn.tolist(), abs=1e-3)


def test_a_packet_wider_than_a_twelfth_of_the_side_is_refused():
    with pytest.raises(OptionError, match="sigma"):
        generate("quantum_wave_packet", 64, sigma=12.0)
