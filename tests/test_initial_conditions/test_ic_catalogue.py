"""Declaring a type: one function in one module is all it takes; declarations that cannot work are refused."""

import subprocess
import sys
from types import MappingProxyType
from typing import Annotated

import pytest
import torch

from spinlock.errors import OptionError, UsageError
from spinlock.initial_conditions import generate, initial_condition, registry
from spinlock.initial_conditions.laws import unit_spread, variance
from spinlock.initial_conditions.options import resolve_options
from spinlock.registry import Integer, Real
from spinlock.shapes import PerSample
from spinlock.testing.contracts import CONTRACTS
from spinlock.testing.laws import draw_from

BASELINE = {
    "composite",
    "gaussian_random_field",
    "heavy_tailed",
    "localized",
    "mixed",
    "multiscale_grf",
    "structured",
}
DECLARED = MappingProxyType(
    {"domain": "test", "tier": 1, "source": "none", "sites": ("white",), "native": 1, "cost": "closed"}
)


@pytest.fixture
def declare():
    """Declare a type for the time of one test."""
    names = []

    def register(function, **changes):
        initial_condition(**{**DECLARED, **changes})(function)
        names.append(function.__name__)
        return registry[function.__name__]

    yield register
    for name in names:
        registry.remove(name)


def test_the_baseline_types_are_there():
    assert {entry.name for entry in registry.entries() if entry.tier == "baseline"} == BASELINE


def test_every_entry_says_what_it_is():
    for entry in registry.entries():
        assert entry.summary
        assert entry.source
        assert entry.facts["tier"] == entry.tier
        assert all(option.allowed() for option in entry.options.values())


def test_a_new_type_is_one_function(declare):
    def bumps(
        grid,
        keys,
        *,
        variance: Annotated[PerSample, Real(0.1, 10.0)] = 1.0,
        power: Annotated[PerSample, Integer(1, 3)] = 1,
        upright: bool = False,
    ):
        """White noise raised to a power."""
        noise = keys.normal("white", 1, grid.size, grid.size)
        noise = noise.abs() if upright else noise
        return variance.sqrt()[:, None, None, None] * noise.pow(power[:, None, None, None])

    entry = declare(bumps, laws=(variance(2.0),), drawn={"power": (1, 3)})
    for contract in CONTRACTS:
        contract(entry)
    variance(2.0, power=1)(draw_from(entry))
    with pytest.raises(AssertionError, match="spread"):
        unit_spread()(draw_from(entry))
    assert entry.summary == "White noise raised to a power."
    assert {resolve_options(entry, {}, 0, index)["power"] for index in range(30)} == {1, 2, 3}


def test_columns_have_the_kind_their_option_declares(declare):
    seen = {}

    def columns(
        grid,
        keys,
        *,
        length: Annotated[PerSample, Real(0.0, 1.0)] = 0.5,
        count: Annotated[PerSample, Integer(1, 9, odd=True)] = 3,
        cut: Annotated[PerSample | None, Real(0.0, 1.0)] = None,
        scale: Annotated[float, Real(0.0, 1.0)] = 0.25,
    ):
        """Record what arrives."""
        seen.update(length=length, count=count, cut=cut, scale=scale)
        return keys.normal("white", 1, grid.size, grid.size)

    declare(columns)
    generate("columns", 16, 1, [0])
    assert (seen["length"].dtype, seen["count"].dtype) == (torch.float32, torch.int64)
    assert seen["length"].shape == seen["count"].shape == (1,)
    assert seen["cut"] is None
    assert seen["scale"] == 0.25
    generate("columns", 16, 1, [0], cut=0.5, count_range=[3, 9])
    assert seen["cut"].tolist() == [0.5]
    assert seen["count"].item() in (3, 5, 7, 9)


def plain(grid, keys):
    """White noise."""
    return keys.normal("white", 1, grid.size, grid.size)


def undescribed(grid, keys):
    return plain(grid, keys)


def normalizing(grid, keys, *, strength: Annotated[float, Real(0.0, 1.0)] = 1.0):
    """White noise, scaled."""
    return strength * plain(grid, keys)


@pytest.mark.parametrize(
    ("function", "changes", "error"),
    [
        (undescribed, {}, TypeError),
        (normalizing, {"drawn": {"strength": (0, 1)}}, TypeError),
        (plain, {"drawn": {"strength": (0, 1)}}, TypeError),
    ],
)
def test_declarations_that_cannot_work_are_refused(function, changes, error):
    with pytest.raises(error):
        initial_condition(**{**DECLARED, **changes})(function)
    assert function.__name__ not in registry


def test_a_name_that_another_module_took_is_refused():
    def localized(grid, keys):
        """White noise under a known name."""
        return plain(grid, keys)

    with pytest.raises(UsageError, match="declared twice"):
        initial_condition(**DECLARED)(localized)


def test_an_undeclared_site_is_refused(declare):
    def careless(grid, keys):
        """White noise from a site of no name."""
        return keys.normal("noise", 1, grid.size, grid.size)

    declare(careless)
    with pytest.raises(KeyError, match="'noise' is not declared"):
        generate("careless", 16, 1, [0])


def test_all_faults_are_named_at_once():
    entry = registry["gaussian_random_field"]
    with pytest.raises(OptionError) as caught:
        entry.check_options({"lenght_scale": 0.1, "variance": -1, "kernel": "rfb"})
    assert all(word in str(caught.value) for word in ("'length_scale'", "variance = -1", "'rbf'"))


@pytest.mark.parametrize(
    ("options", "acts"),
    [
        ({"nu": 2.0}, False),
        ({"nu": 2.0, "kernel": "matern"}, True),
        ({"nu_range": [1, 2]}, False),
        ({"length_scale": 0.1, "kernel": "white"}, False),
        ({"normalize_factor": 2.0}, False),
        ({"normalize_factor": 2.0, "normalize": "rms"}, True),
        ({"normalize_factor": 2.0, "normalize": "minmax"}, False),
        ({"normalize_offset": 2.0, "normalize": "rms"}, False),
    ],
)
def test_an_option_without_effect_is_refused(options, acts):
    entry = registry["gaussian_random_field"]
    assert (entry.examine(options)[1] == []) == acts


def test_the_catalogue_does_without_torch():
    """The modules that plans and listings read import no torch."""
    light = "from spinlock.initial_conditions import aliases, catalogue, mixture, options"
    subprocess.run(
        [sys.executable, "-c", f"{light}; import sys; assert 'torch' not in sys.modules"], check=True
    )


def test_generating_leaves_the_generator_of_python_alone():
    """Beside the contract, in a process where no checker of types draws from it."""
    code = (
        "import random; from spinlock.initial_conditions import generate; state = random.getstate(); "
        "generate('mixed', 16, 3, [0]); assert state == random.getstate()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
