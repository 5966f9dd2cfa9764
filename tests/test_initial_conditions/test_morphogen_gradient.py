"""Profiles, sources, counting and readout of morphogen_gradient."""

import math

import pytest
import torch
from scipy.special import k0

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.gradient_laws import decay, screened_diffusion, shot_noise
from spinlock.initial_conditions.morphogen_gradient import shape
from spinlock.numerics.grid import Grid
from spinlock.testing.laws import draw_from, holds, white_noise

DRAW = draw_from(registry["morphogen_gradient"], seed=2)
QUIET = {"molecules": None}


def centred(field):
    """Return a field rolled so that its peak stands in the middle."""
    size = field.shape[-1]
    return field.roll([size // 2 - part for part in divmod(int(field.argmax()), size)], (0, 1))


@pytest.mark.parametrize("decay_length", [6.0, 10.0])
def test_a_point_source_gives_the_bessel_function(decay_length):
    """c ~ K₀(r/λ) outside the source, for λ below N/12, where images do not matter."""
    for field in generate("morphogen_gradient", 128, 1, range(2), decay_length=decay_length, **QUIET)[:, 0]:
        line = centred(field.double())[64, 64:]
        r = torch.arange(10, round(3 * decay_length), dtype=torch.float64)
        ratio = line[r.long()] / torch.from_numpy(k0(r.numpy() / decay_length))
        assert (ratio / ratio[0] - 1).abs().max() < 0.02


def test_an_exponential_round_a_point_is_found():
    grid = Grid(64)

    def exponential(count, **_):
        way = torch.hypot(grid.offset(torch.tensor(20.0))[:, None], grid.offset(torch.tensor(30.0)))
        return torch.exp(-way / 10.0).expand(count, 3, 64, 64)

    assert holds(screened_diffusion(20.0), DRAW)
    assert not holds(screened_diffusion(20.0), exponential)
    assert not holds(screened_diffusion(25.0), lambda count, **_: DRAW(count, decay_length=20.0, **QUIET))


@pytest.mark.parametrize("decay_length", [5.0, 20.0, 50.0])
def test_an_edge_decays_exponentially(decay_length):
    law = decay(decay_length)
    assert holds(law, draw_from(registry["morphogen_gradient"], seed=8))
    other = {"source": "edge", "decay_length": 1.1 * min(decay_length, 45.0), **QUIET}
    if decay_length < 45.0:
        assert not holds(law, lambda count, **_: DRAW(count, **other))


def test_edges_are_on_any_side():
    """The peak is at the corner that the source's line touches: each of the four, over the draws."""
    fields = DRAW(64, 32, 1, source="edge", **QUIET)[:, 0]
    corners = {divmod(int(field.argmax()), 32) for field in fields}
    assert corners == {(0, 0), (0, 31), (31, 0), (31, 31)}


@pytest.mark.parametrize("source", ["point", "edge", "both"])
@pytest.mark.parametrize("gradient_type", ["exponential", "power_law", "sigmoidal"])
def test_the_peak_is_one(source, gradient_type):
    fields = DRAW(8, 64, 1, source=source, gradient_type=gradient_type, **QUIET)
    assert fields.amax(dim=(1, 2, 3)).tolist() == pytest.approx([1.0] * 8)
    assert fields.min() >= 0


def test_profiles_with_distance():
    d = torch.linspace(0, 200, 401, dtype=torch.float64)
    length = torch.tensor(20.0, dtype=torch.float64)
    exponential, power, sigmoid = (
        shape(kind, d, length) for kind in ("exponential", "power_law", "sigmoidal")
    )
    for profile in (exponential, power, sigmoid):
        assert profile[0].item() == pytest.approx(1.0)
        assert (profile.diff() < 0).all()
    assert (power[1] - power[0]).item() == pytest.approx((exponential[1] - exponential[0]).item(), rel=0.02)
    tail = (power[400] / power[200]).log() / math.log((40.0 + 200.0) / (40.0 + 100.0))
    assert tail.item() == pytest.approx(-2.0)
    assert sigmoid[40].item() == pytest.approx(0.5, abs=0.01)
    assert sigmoid.diff().argmin() == pytest.approx(40, abs=1)


def test_second_order_degradation_has_that_power_law():
    """c″ = (3/2λ²)c² for c = (1 + x/2λ)^−2, with c′(0) = −1/λ."""
    x = torch.linspace(0, 60, 6001, dtype=torch.float64)
    profile = shape("power_law", x, torch.tensor(20.0, dtype=torch.float64))
    second = (profile[2:] - 2 * profile[1:-1] + profile[:-2]) / 0.01**2
    assert torch.allclose(second, 1.5 / 400 * profile[1:-1].square(), rtol=1e-4)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_number_of_sources(number):
    """Each source is a local maximum of its own, unless two overlap."""
    fields = DRAW(32, 64, 1, num_sources=number, decay_length=5.0, **QUIET)[:, 0]
    above = torch.ones_like(fields, dtype=torch.bool)
    for move in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        above &= fields > fields.roll(move, (1, 2))
    peaks = (above & (fields > 0.2)).sum(dim=(1, 2))
    assert peaks.max() == number
    assert peaks.double().mean() > 0.85 * number


def test_a_wider_source_is_flatter():
    narrow, wide = (DRAW(4, 64, 1, source_width=width, **QUIET) for width in (1.0, 10.0))
    assert (wide.mean(dim=(1, 2, 3)) > 1.5 * narrow.mean(dim=(1, 2, 3))).all()


@pytest.mark.parametrize("molecules", [50, 1000, 100_000])
def test_shot_noise(molecules):
    assert holds(shot_noise(molecules), DRAW)


def test_noise_of_another_size_is_found():
    law = shot_noise(1000)
    assert not holds(law, lambda count, molecules, **_: DRAW(count, molecules=molecules and 1200))
    assert not holds(law, white_noise())


def test_many_molecules_are_no_noise():
    few, many, none = (DRAW(8, 64, 1, molecules=number) for number in (50.0, 1e6, None))
    assert (many - none).abs().max() < 0.005
    assert (few - none).abs().max() > 0.05


@pytest.mark.parametrize("hill", [1.0, 4.0, 16.0])
def test_responses_are_nested_territories(hill):
    """Without noise channel c is above 1/2 exactly where the concentration is above its threshold."""
    c, high, low = DRAW(8, 64, 3, source="edge", hill=hill, **QUIET).double().unbind(dim=1)
    for field, threshold in ((high, 0.6), (low, 0.2)):
        clear = (c - threshold).abs() > 1e-4
        assert torch.equal((field > 0.5)[clear], (c > threshold)[clear])
        assert torch.allclose(field, c**hill / (threshold**hill + c**hill), atol=1e-6)
    assert (low > 0.5).double().mean() > (high > 0.5).double().mean() > 0


def test_options_of_absent_sources_are_refused():
    with pytest.raises(OptionError, match="acts only where source is point or both"):
        generate("morphogen_gradient", 64, source="edge", num_sources=2)
