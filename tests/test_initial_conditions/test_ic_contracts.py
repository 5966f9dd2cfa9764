"""Every promise over every entry of the catalogue, every law, and controls that break each of them."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.initial_conditions import generate, registry
from spinlock.testing import contracts
from spinlock.testing.laws import blank, draw_from, holds, power_law_noise, uniform_noise, white_noise
from spinlock.testing.strategies import accepted, option_sets

ENTRIES = registry.entries()
LAWS = [
    pytest.param(entry, law, id=f"{entry.name}-{law.statement}") for entry in ENTRIES for law in entry.laws
]
COSTLY = {("check_length_scaling", "regulatory_network"), ("check_samples", "regulatory_network")}
CONTRACTS = [
    pytest.param(
        contract,
        entry,
        id=f"{contract.__name__}-{entry.name}",
        marks=[pytest.mark.slow] if (contract.__name__, entry.name) in COSTLY else [],
    )
    for contract in contracts.CONTRACTS
    for entry in ENTRIES
]
CONTROLS = [white_noise, power_law_noise, uniform_noise, blank]


@pytest.mark.parametrize(("contract", "entry"), CONTRACTS)
def test_contract(contract, entry):
    contract(entry)


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_large_grids(entry):
    contracts.check_output(entry, (17, 128, 255, 256))
    if entry.name != "regulatory_network":  # two minutes; its lengths are compared at 64 and 128 above
        contracts.check_length_scaling(entry, (128, 256))


@pytest.mark.parametrize(("entry", "law"), LAWS)
def test_law(entry, law):
    law(draw_from(entry))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("entry", "law"), LAWS)
def test_law_with_other_seeds(entry, law, seed):
    law(draw_from(entry, seed))


@pytest.mark.parametrize(("entry", "law"), LAWS)
def test_some_control_breaks_the_law(entry, law):
    assert not all(holds(law, control()) for control in CONTROLS)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_type_has_a_law_of_its_own(entry):
    """White noise obeys some laws of some types, but all laws of none."""
    assert entry.laws
    assert not all(holds(law, white_noise()) for law in entry.laws)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_accepted_options_give_a_field_that_its_values_reproduce(entry, data):
    options = accepted(entry, data.draw(option_sets(entry)), 24)
    index = data.draw(st.integers(0, 2**32 - 1))
    seed = data.draw(st.integers(0, 2**64 - 1))
    fields, values = generate(entry.name, 24, 2, [index], seed, return_options=True, **options)
    assert fields.isfinite().all()
    assert torch.equal(fields, generate(entry.name, 24, 2, [index], seed, **values[0]))


# --- the contracts find what they look for ---


def broken(name, function, **changes):
    """Return an entry of another function, registered for the time of a test under a name of its own."""
    return replace(registry[name], name="broken", function=function, laws=(), **changes)


@pytest.fixture
def register():
    def add(entry):
        registry.add(entry)
        return entry

    yield add
    if "broken" in registry:
        registry.remove("broken")


def test_batch_dependence_is_found(register):
    calls = []

    def counting(grid, keys, **_):
        calls.append(1)
        return keys.normal("white", 1, grid.size, grid.size) + len(calls)

    with pytest.raises(AssertionError, match="alone"):
        contracts.check_batch_invariance(register(broken("gaussian_random_field", counting)))


def test_global_randomness_is_found(register):
    def careless(grid, keys, **_):
        return torch.rand(len(keys), 1, grid.size, grid.size)

    with pytest.raises(AssertionError, match="global"):
        contracts.check_keys(register(broken("gaussian_random_field", careless)))


def test_copied_channels_are_found(register):
    def copying(grid, keys, **_):
        return keys.normal("white", 1, grid.size, grid.size).expand(-1, 3, -1, -1)

    entry = register(broken("gaussian_random_field", copying, native=3))
    with pytest.raises(AssertionError, match="channels correlate"):
        contracts.check_channels(entry)
    contracts.check_channels(replace(entry, copies=True))


def test_blank_and_equal_samples_are_found(register):
    def rarely_blank(grid, keys, **_):
        field = keys.normal("white", 1, grid.size, grid.size)
        return torch.where((keys.indices == 77)[:, None, None, None], 0.0, field)

    with pytest.raises(AssertionError, match="varies"):
        contracts.check_samples(register(broken("gaussian_random_field", rarely_blank)))
    registry.remove("broken")

    def constant(grid, keys, **_):
        return (grid.axis[:, None] * grid.axis).expand(len(keys), 1, -1, -1)

    with pytest.raises(AssertionError, match="samples correlate"):
        contracts.check_samples(register(broken("gaussian_random_field", constant)))


def test_wrong_output_is_found(register):
    def infinite(grid, keys, **_):
        return keys.normal("white", 1, grid.size, grid.size) / 0.0

    with pytest.raises(AssertionError, match="finite"):
        contracts.check_output(register(broken("gaussian_random_field", infinite)))


def test_lengths_fixed_in_pixels_are_found(register):
    function = registry["gaussian_random_field"].function

    def fixed(grid, keys, **options):
        options["length_scale"] = options["length_scale"] * 64 / grid.size
        return function(grid, keys, **options)

    with pytest.raises(AssertionError, match="octaves"):
        contracts.check_length_scaling(register(broken("gaussian_random_field", fixed)))


def test_a_seam_is_found(register):
    def ramp(grid, keys, **_):
        return keys.normal("white", 1, grid.size, grid.size) + 0.1 * grid.axis

    entry = register(broken("gaussian_random_field", ramp))
    with pytest.raises(AssertionError, match="seam"):
        contracts.check_roll_invariance(entry)
    contracts.check_roll_invariance(replace(entry, periodic=False))


def test_unstored_draws_are_found(register):
    """Where the values do not hold all that was drawn, they make another field."""
    function = registry["localized"].function

    def forgetful(grid, keys, **options):
        return function(grid, keys, **options) * options["num_blobs"].numel() * (1.0 + forgetful.calls)

    forgetful.calls = 0

    def counted(grid, keys, **options):
        forgetful.calls += 1
        return forgetful(grid, keys, **options)

    with pytest.raises(AssertionError, match="another field"):
        contracts.check_resolved_options(register(broken("localized", counted)))
