"""One factor for all channels of a sample, and the values that make it again."""

import pytest
import torch

from spinlock.errors import SpinlockError
from spinlock.initial_conditions import generate
from spinlock.initial_conditions.normalization import normalize

SIZES = {
    "rms": lambda field: field.double().square().mean().sqrt(),
    "maxabs": lambda field: field.abs().max(),
    "minmax": lambda field: field.max() - field.min(),
}


@pytest.mark.parametrize("mode", SIZES)
def test_the_size_of_a_sample_becomes_one(mode):
    plain = generate("localized", 32, 3, range(6))
    scaled, values = generate("localized", 32, 3, range(6), return_options=True, normalize=mode)
    for before, after, value in zip(plain, scaled, values, strict=True):
        assert float(SIZES[mode](after)) == pytest.approx(1.0, rel=1e-6)
        offset = value.get("normalize_offset", 0.0)
        assert torch.allclose(after, (before - offset) * value["normalize_factor"], atol=1e-6)
        assert ("normalize_offset" in value) == (mode == "minmax")
    assert len({value["normalize_factor"] for value in values}) == 6


def test_minmax_goes_from_zero_to_one():
    scaled = generate("composite", 32, 3, range(4), normalize="minmax").flatten(1)
    assert scaled.amin(dim=1).tolist() == [0.0] * 4
    assert scaled.amax(dim=1).tolist() == [1.0] * 4


def test_ratios_of_channels_stay():
    plain, scaled = (
        generate("localized", 32, 3, range(4), normalize=mode).double() for mode in ("none", "rms")
    )
    ratio = scaled / plain
    spread = ratio.flatten(1).amax(dim=1) / ratio.flatten(1).amin(dim=1)
    assert torch.allclose(spread, torch.ones(4, dtype=torch.float64), atol=1e-4)


def test_none_leaves_the_field_and_stores_no_factor():
    fields, values = generate("localized", 32, 3, [0], return_options=True)
    assert not {"normalize_factor", "normalize_offset"} & values[0].keys()
    assert torch.equal(fields, generate("localized", 32, 3, [0], normalize="none"))


def test_a_factor_that_is_given_is_used():
    plain = generate("localized", 32, 3, [0])
    given = generate("localized", 32, 3, [0], normalize="rms", normalize_factor=0.5)
    assert torch.equal(given, plain * 0.5)


@pytest.mark.parametrize(("mode", "value"), [("rms", 0.0), ("maxabs", 0.0), ("minmax", 3.0)])
def test_a_field_without_a_size_is_refused(mode, value):
    with pytest.raises(SpinlockError, match="cannot be normalized"):
        normalize(torch.full((1, 4, 4), value), {"normalize": mode})
