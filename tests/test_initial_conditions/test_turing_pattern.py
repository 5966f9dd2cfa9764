"""Media, wavelengths and characters of turing_pattern."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.laws import moments
from spinlock.initial_conditions.pattern_laws import band_share, coherence, relative_power, wave_number
from spinlock.initial_conditions.turing_pattern import DRIVE, fitzhugh_nagumo, schnakenberg
from spinlock.testing.laws import draw_from, holds, power_law_noise, white_noise

DRAW = draw_from(registry["turing_pattern"], seed=5)
KINDS = ["labyrinth", "spots", "holes", "stripes"]
MEDIA = [fitzhugh_nagumo(kappa) for kappa in sorted(set(DRIVE.values()))] + [schnakenberg()]


@pytest.fixture(scope="module")
def patterns():
    """Eight patterns of each kind at N = 64, wavelength 16 px of a 128 grid."""
    return {kind: generate("turing_pattern", 64, 3, range(8), 5, pattern_type=kind) for kind in KINDS}


# --- the media ---


@pytest.mark.parametrize("medium", MEDIA)
def test_the_steady_state_stands_still(medium):
    u, v = (torch.full((1, 2, 2), value, dtype=torch.float64) for value in (medium.u0, medium.v0))
    assert medium.rate(u, v).abs().max() < 1e-12
    zero = torch.zeros_like(u)
    assert medium.remainder(zero, zero).abs().max() == 0


@pytest.mark.parametrize("medium", MEDIA)
def test_rate_is_linear_part_and_remainder(medium):
    u = torch.linspace(-0.7, 0.9, 16, dtype=torch.float64).reshape(1, 4, 4)
    v = torch.linspace(0.4, -0.5, 16, dtype=torch.float64).reshape(1, 4, 4)
    whole = medium.rate(u + medium.u0, v + medium.v0)
    parts = medium.linear.fu * u + medium.linear.fv * v + medium.remainder(u, v)
    assert torch.allclose(whole, parts, atol=1e-12)


def test_the_inhibitor_of_schnakenberg_loses_what_the_activator_gains():
    """u²v is in both rates with opposite sign: v_t = b − u²v."""
    medium = schnakenberg()
    u, v = torch.full((1, 2, 2), 0.3), torch.full((1, 2, 2), -0.2)
    linear = medium.linear.gu * u + medium.linear.gv * v
    rate = linear + medium.share * medium.remainder(u, v)
    assert torch.allclose(rate, 0.9 - (u + 1.0).square() * (v + 0.9), atol=1e-6)


@pytest.mark.parametrize("medium", MEDIA)
def test_the_instability_is_driven_by_diffusion(medium):
    linear = medium.linear
    assert linear.fu + linear.gv < 0 < linear.fu * linear.gv - linear.fv * linear.gu
    growth = linear.growth(torch.tensor([0.0, linear.fastest() ** 2, 4.0], dtype=torch.float64))
    assert growth[0] < 0
    assert growth[1] > 0
    assert growth[2] < 0


# --- the patterns ---


@pytest.mark.parametrize("kind", KINDS)
def test_wavelength(patterns, kind):
    share, ratio = relative_power(patterns[kind].double(), 16.0)
    assert ((share * ratio).sum(dim=(1, 2)) - 1).abs().max() < 0.08
    inside = (share * ((ratio >= 0.7) & (ratio <= 1.3))).sum(dim=(1, 2))
    assert inside.min() > 0.85


@pytest.mark.parametrize("wavelength", [8.0, 24.0])
def test_other_wavelengths(wavelength):
    law = wave_number(wavelength)
    fields = generate("turing_pattern", 128, 1, range(2), wavelength=wavelength, pattern_type="labyrinth")
    assert holds(law, lambda _count, **_options: fields)
    longer = wave_number(1.2 * wavelength)
    assert not holds(longer, lambda _count, **_options: fields)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("labyrinth", -0.2, 0.2), ("stripes", -0.2, 0.2), ("spots", 0.6, 1.5), ("holes", -1.5, -0.6)],
)
def test_skewness(patterns, kind, low, high):
    skewness, _ = moments(patterns[kind][:, 0].flatten(1))
    assert skewness.min() > low
    assert skewness.max() < high


def test_only_stripes_have_a_direction(patterns):
    measured = {kind: coherence(fields[:, 0].double()) for kind, fields in patterns.items()}
    assert measured["stripes"].min() > 0.7
    assert max(measured[kind].max() for kind in KINDS[:3]) < 0.5
    assert coherence(power_law_noise()(16, 64, 1)[:, 0]).max() < 0.5


def test_stripes_point_anywhere():
    fields = DRAW(32, 64, 1, pattern_type="stripes", steps=50)[:, 0].double()
    down, across = fields.diff(dim=1)[:, :, :-1], fields.diff(dim=2)[:, :-1]
    mixed = (down * across).mean(dim=(1, 2)) / (down.square() + across.square()).mean(dim=(1, 2))
    upright = (down.square().mean(dim=(1, 2)) > across.square().mean(dim=(1, 2))).double().mean()
    assert mixed.min() < -0.2
    assert mixed.max() > 0.2
    assert 0.2 < upright < 0.8


def test_holes_and_spots_are_each_other_upside_down(patterns):
    """u → −u, v → −v, κ → −κ leaves the equations as they are, and both start from one seed but its sign."""
    spots, holes = (patterns[kind][:, 0].double() for kind in ("spots", "holes"))
    assert spots.mean() < -0.1 < 0.1 < holes.mean()
    assert spots.std().item() == pytest.approx(holes.std().item(), rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_activator_and_inhibitor_are_in_phase(patterns, kind):
    for u, v, _ in patterns[kind].double():
        assert torch.corrcoef(torch.stack((u.flatten(), v.flatten())))[0, 1] > 0.94
        assert u.std() > 1.5 * v.std()


@pytest.mark.parametrize("kind", KINDS)
def test_reaction_and_diffusion_balance(patterns, kind):
    """Channel 2 is −D∇²u where the pattern stands still: they nearly cancel after 150 steps."""
    medium = fitzhugh_nagumo(DRIVE[kind])
    diffusion = (medium.linear.fastest() * medium.stretch * 8.0 / (2 * math.pi)) ** 2
    u, _, rate = patterns[kind].double().unbind(dim=1)
    number = torch.fft.fftfreq(64, dtype=torch.float64) * 2 * math.pi
    squared = number[:, None].square() + number[:33].abs().square()
    laplacian = torch.fft.irfft2(-squared * torch.fft.rfft2(u), s=(64, 64))
    left_over = rate + diffusion * laplacian
    assert left_over.square().mean().sqrt() < 0.1 * rate.square().mean().sqrt()


def test_mixed_is_each_of_the_four():
    fields, values = generate("turing_pattern", 32, 1, range(24), return_options=True, steps=50)
    assert {value["pattern_type"] for value in values} == set(KINDS)
    alone = generate("turing_pattern", 32, 1, [3], pattern_type=values[3]["pattern_type"], steps=50)
    assert torch.equal(fields[3], alone[0])


def test_schnakenberg_makes_spots():
    fields = DRAW(8, 64, 3, model="schnakenberg").double()
    share, ratio = relative_power(fields, 16.0)
    assert ((share * ratio).sum(dim=(1, 2)) - 1).abs().max() < 0.08
    assert moments(fields[:, 0].flatten(1))[0].min() > 0.6
    assert fields[:, :2].min() > 0


def test_linear_theory_is_gaussian_and_scaled():
    fields = DRAW(32, 64, 3, model="linear", perturbation_amplitude=0.3)
    assert fields[:, 0].std(dim=(1, 2)).tolist() == pytest.approx([0.3] * 32, rel=1e-3)
    assert moments(fields[:, 0].flatten(1))[0].abs().mean() < 0.2
    assert holds(band_share(16.0, 0.85, model="linear"), DRAW)
    few, many = (DRAW(4, 64, 1, model="linear", steps=steps) for steps in (50, 400))
    inside = [((share * ((ratio - 1).abs() < 0.1)).sum(dim=(1, 2)).mean()) for share, ratio in
              (relative_power(fields.double(), 16.0) for fields in (few, many))]  # fmt: skip
    assert inside[0] < inside[1]


@pytest.mark.parametrize("amplitude", [0.1, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_any_seed_amplitude_grows_to_the_same_height(patterns, kind, amplitude):
    fields = generate("turing_pattern", 64, 1, range(2), pattern_type=kind, perturbation_amplitude=amplitude)
    assert fields.std().item() == pytest.approx(patterns[kind][:, 0].std().item(), rel=0.15)


def test_options_that_do_not_act_are_refused():
    with pytest.raises(OptionError, match="acts only where model is fitzhugh_nagumo"):
        generate("turing_pattern", 64, model="schnakenberg", pattern_type="stripes")


def test_noise_has_no_wavelength():
    for noise in (white_noise(), power_law_noise()):
        assert not holds(wave_number(16.0), noise)
        assert not holds(band_share(16.0, 0.85), noise)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_laws_at_full_size(kind, seed):
    fields = torch.cat([generate("turing_pattern", 128, 1, [i], seed, pattern_type=kind) for i in range(64)])
    share, ratio = relative_power(fields.double(), 16.0)
    assert ((share * ratio).sum(dim=(1, 2)) - 1).abs().max() < 0.08
    assert (share * ((ratio >= 0.7) & (ratio <= 1.3))).sum(dim=(1, 2)).min() > 0.85
    measured = coherence(fields[:, 0].double())
    assert measured.min() > 0.7 if kind == "stripes" else measured.max() < 0.5
