"""Names that resolve to a type, and names that do not."""

import pytest
import torch

from spinlock.errors import UnknownNameError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.aliases import ALIASES, resolve_name


@pytest.mark.parametrize("name", registry)
def test_a_type_names_itself(name):
    assert resolve_name(name) == (name, {})


@pytest.mark.parametrize("suffix", ["_v1", "_v27", "_low", "_mid", "_high", "_low_v2"])
def test_variants_resolve_to_their_base(suffix):
    assert resolve_name(f"localized{suffix}") == ("localized", {})


def test_random_is_a_gaussian_random_field():
    assert resolve_name("random") == resolve_name("random_v3") == ("gaussian_random_field", {})
    assert torch.equal(generate("random", 16), generate("gaussian_random_field", 16))


@pytest.mark.parametrize(("band", "ends"), [("low", [1, 4]), ("mid", [6, 14]), ("high", [20, 48])])
def test_multiscale_variants_are_bands(band, ends):
    assert resolve_name(f"multiscale_grf_{band}") == ("multiscale_grf", {"bands": [ends]})
    assert resolve_name(f"multiscale_grf_{band}_v2") == ("multiscale_grf", {"bands": [ends]})


def test_a_preset_cannot_be_changed_from_outside():
    resolve_name("multiscale_grf_low")[1]["bands"] = None
    assert resolve_name("multiscale_grf_low")[1] == {"bands": [[1, 4]]}


def test_aliases_hide_no_type_and_their_options_are_allowed():
    for name, (base, preset) in ALIASES.items():
        assert name not in registry
        assert registry[base].examine(preset, 128)[1] == []


@pytest.mark.parametrize(
    "name", ["_v2", "nonsense", "localized_v", "localized_vx", "v2_localized", "", None, 3, ["localized"]]
)
def test_other_names_are_refused(name):
    with pytest.raises(UnknownNameError, match=f"known: {min(registry)}"):
        resolve_name(name)


@pytest.mark.parametrize(
    ("name", "near"), [("localised", "localized"), ("heavy_tail", "heavy_tailed"), ("randon", "random")]
)
def test_the_near_miss_is_named(name, near):
    with pytest.raises(UnknownNameError, match=f"did you mean '{near}'"):
        generate(name, 16)
