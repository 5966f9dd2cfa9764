"""The blend of mixed: its parts, their correlation with it, and the choice between them."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.options import resolve_options
from spinlock.keys import Key
from spinlock.numerics.columns import spread
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.testing.contracts import correlations
from spinlock.testing.laws import draw_from

COUNT = 64
DRAW = draw_from(registry["mixed"])


def part(name, label, draws, **columns):
    """Return the fields of a part from its own function and keys, each channel scaled to variance 1."""
    entry = registry[name]
    indices = torch.arange(COUNT).repeat_interleave(draws)
    keys = SampleKeys.of(Key(0, f"mixed/{label}"), indices, entry.sites, torch.arange(draws).repeat(COUNT))
    rows = len(indices)
    options = {key: torch.full((rows,), value) for key, value in columns.items()}
    fields = entry.function(Grid(64), keys, **options)
    fields = fields.reshape(COUNT, 3, 64, 64)
    return fields / spread(fields)[..., None, None].float()


def clouds():
    return part("gaussian_random_field", "grf", 3, length_scale=0.1, variance=1.0, nu=1.5)


def shapes():
    return part("structured", "structured", 1, num_structures=5, amplitude=2.0)


def mixed(**options):
    return DRAW(COUNT, 64, 3, **options)


def test_weights_one_and_zero_are_the_parts():
    assert torch.allclose(mixed(weight=1.0), clouds(), atol=1e-4)
    assert torch.allclose(mixed(weight=0.0), shapes(), atol=1e-4)
    assert not torch.allclose(mixed(weight=0.9), clouds(), atol=1e-1)


@pytest.mark.parametrize("weight", [0.2, 0.5, 0.8])
def test_a_blend_correlates_with_its_part_by_the_root_of_its_weight(weight):
    pairs = zip(mixed(weight=weight).flatten(0, 1), clouds().flatten(0, 1), strict=True)
    measured = [float(correlations(torch.stack(pair))[0, 1]) for pair in pairs]
    assert sum(measured) / len(measured) == pytest.approx(math.sqrt(weight), abs=0.03)


def test_select_takes_one_part_for_all_channels():
    fields = DRAW(100, 16, 4, mode="select", weight=0.3)
    whole, none = (DRAW(100, 16, 4, weight=weight) for weight in (1.0, 0.0))
    is_cloud = (fields == whole).flatten(1).all(dim=1)
    is_shape = (fields == none).flatten(1).all(dim=1)
    assert (is_cloud ^ is_shape).all()
    assert is_cloud.double().mean().item() == pytest.approx(0.3, abs=0.12)


def test_the_weight_is_drawn_by_default():
    weights = torch.tensor(
        [resolve_options(registry["mixed"], {}, 0, index)["weight"] for index in range(200)]
    )
    assert 0.2 <= weights.min() < 0.23
    assert 0.77 < weights.max() <= 0.8
    assert weights.mean().item() == pytest.approx(0.5, abs=0.04)


def test_options_of_the_parts_act_and_are_drawn():
    options = {"grf": {"length_scale_range": [0.02, 0.2]}, "structured": {"structure_types": ["circle"]}}
    fields, values = generate("mixed", 32, 3, range(6), return_options=True, **options)
    lengths = {value["grf"]["length_scale"] for value in values}
    assert len(lengths) == 6
    assert all(0.02 <= length <= 0.2 for length in lengths)
    assert values[0]["structured"]["structure_types"] == ["circle"]
    assert not torch.equal(fields, generate("mixed", 32, 3, range(6)))
    for index, value in enumerate(values):
        assert torch.equal(fields[index], generate("mixed", 32, 3, [index], **value)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grf": {"lenght_scale": 0.1}}, r"grf\.lenght_scale.*did you mean 'length_scale'"),
        ({"grf": {"variance": 2.0}}, "grf.variance has no effect"),
        ({"structured": {"amplitude_range": [1, 2]}}, "structured.amplitude has no effect"),
        ({"grf": {"normalize": "rms"}}, "normalize"),
        ({"structured": {"frequency_range": [1, 9]}}, "too high for a 16 grid"),
        ({"weight_range": [0.5, 1.5]}, "weight"),
        ({"grf": 3}, "options of gaussian_random_field"),
    ],
)
def test_options_that_do_not_exist_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        generate("mixed", 16, **options)
