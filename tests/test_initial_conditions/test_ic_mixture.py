"""Mixtures: shares, cuts, and every fault of a configuration with its place."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinlock.errors import UsageError
from spinlock.initial_conditions.mixture import Component, Mixture, MixtureError, parse_mixture

WEIGHTS = {"multiscale_grf": 0.30, "localized": 0.25, "composite": 0.25, "random": 0.15, "heavy_tailed": 0.05}


def mixture_of(*weights):
    return Mixture(
        tuple(Component(str(number), "localized", {}, weight) for number, weight in enumerate(weights))
    )


def faults(*arguments, **options):
    with pytest.raises(MixtureError) as caught:
        parse_mixture(*arguments, **options)
    assert all(message in str(caught.value) for _, message in caught.value.faults)
    return dict(caught.value.faults)


# --- shares and cuts ---


def test_labels_are_in_order_and_shares_sum_to_one():
    mixture = parse_mixture("sampled", WEIGHTS)
    assert [component.label for component in mixture.components] == sorted(WEIGHTS)
    assert sum(component.weight for component in mixture.components) == pytest.approx(1.0, rel=1e-15)
    assert {component.label: component.type for component in mixture.components}[
        "random"
    ] == "gaussian_random_field"


def test_order_and_scale_of_weights_make_no_difference():
    turned = {label: 4 * weight for label, weight in reversed(WEIGHTS.items())}
    assert parse_mixture("sampled", WEIGHTS) == parse_mixture("sampled", turned)


def test_an_equidistributed_coordinate_gives_every_label_its_share():
    mixture = parse_mixture("sampled", WEIGHTS)
    counts = np.bincount(mixture.pick((np.arange(10_000) + 0.5) / 10_000), minlength=5)
    expected = [10_000 * component.weight for component in mixture.components]
    assert np.abs(counts - expected).max() <= 1


def test_intervals_are_half_open():
    mixture = mixture_of(0.25, 0.25, 0.5)
    coordinates = [0.0, 0.25 - 2**-54, 0.25, 0.5 - 2**-54, 0.5, 1 - 2**-53]
    assert mixture.pick(np.array(coordinates)).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_label_of_weight_zero_is_never_picked():
    mixture = mixture_of(0.0, 0.5, 0.0, 0.5, 0.0)
    ends = np.array([0.0, 0.5 - 2**-54, 0.5, 1 - 2**-53])
    assert mixture.pick(ends).tolist() == [1, 1, 3, 3]


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=8).filter(any), st.floats(0, 1, exclude_max=True))
def test_any_weights_cut_the_unit_interval(weights, coordinate):
    labels = [f"localized_v{number}" for number in range(len(weights))]
    mixture = parse_mixture("sampled", dict(zip(labels, weights, strict=True)))
    assert math.fsum(component.weight for component in mixture.components) == pytest.approx(1.0, rel=1e-12)
    assert mixture.cuts[-1] == 1.0
    picked = mixture.components[int(mixture.pick(np.array([coordinate]))[0])]
    assert picked.weight > 0


@pytest.mark.parametrize("coordinate", [-0.1, 1.0, math.nan])
def test_a_coordinate_outside_is_refused(coordinate):
    with pytest.raises(UsageError, match=r"\[0, 1\)"):
        mixture_of(1.0).pick(np.array([0.5, coordinate]))


def test_no_coordinate_gives_no_label():
    assert mixture_of(1.0).pick(np.array([])).shape == (0,)


# --- what a configuration may say ---


def test_one_type_as_the_method():
    (component,) = parse_mixture("localized", None, {"localized": {"num_blobs": 3}}).components
    assert component == Component("localized", "localized", {"num_blobs": 3}, 1.0)


def test_an_alias_as_the_method_has_its_preset():
    (component,) = parse_mixture("multiscale_grf_low").components
    assert (component.type, component.options) == ("multiscale_grf", {"bands": ((1.0, 4.0),)})


def test_blocks_of_labels():
    blocks = {
        "tiny": {"type": "localized", "max_width": 6},
        "random_v2": {"length_scale_range": [0.02, 0.1]},
        "multiscale_grf_mid": {"type": "multiscale_grf", "variance": 2},
        "multiscale_grf_high": {"scales": [0.02]},
        "clouds": {"type": "multiscale_grf_low"},
    }
    mixture = parse_mixture("sampled", dict.fromkeys(blocks, 1), blocks)
    parsed = {component.label: (component.type, component.options) for component in mixture.components}
    assert parsed == {
        "tiny": ("localized", {"max_width": 6.0}),
        "random_v2": ("gaussian_random_field", {"length_scale_range": (0.02, 0.1)}),
        "multiscale_grf_mid": ("multiscale_grf", {"bands": ((6.0, 14.0),), "variance": 2.0}),
        "multiscale_grf_high": ("multiscale_grf", {"scales": (0.02,)}),
        "clouds": ("multiscale_grf", {"bands": ((1.0, 4.0),)}),
    }


# --- what it may not say ---


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf, "1", None, True, [1]])
def test_a_weight_that_is_none_is_refused(weight):
    found = faults("sampled", {"localized": 1, "composite": weight})
    assert list(found) == [("ic_type_weights", "composite")]


@pytest.mark.parametrize("weights", [None, {}, {"localized": 0}, {"localized": 0.0, "composite": 0}])
def test_a_mixture_of_nothing_is_refused(weights):
    assert list(faults("sampled", weights)) == [("ic_type_weights",)]


def test_weights_beside_one_type_are_refused():
    assert list(faults("localized", {"localized": 1})) == [("ic_type_weights",)]


@pytest.mark.parametrize(
    ("method", "near"), [("sample", "sampled"), ("localised", "localized"), ("x", None), (5, None)]
)
def test_an_unknown_method_is_refused(method, near):
    message = faults(method)[("method",)]
    assert "sampled" in message
    assert near is None or f"did you mean {near!r}" in message


def test_every_fault_is_found_with_its_place():
    found = faults(
        "sampled",
        {
            "localized": 1,
            "composit": 1,
            "mine": -2,
            "heavy_tailed": 1,
            "composite": 1,
            "mixed": 1,
            "structured": 1,
        },
        {
            "localized": {"num_blobs": 0, "widht": 3},
            "mine": {"type": "localised"},
            "localised": {"num_blobs": 3},
            "heavy_tailed": 3,
            "composite": {"type": "localized"},
            "mixed": {"grf": {"kernel": "rfb"}},
            "structured": {"frequency_range": [1, 40]},
        },
        grid_sizes=(128, 64),
    )
    assert set(found) == {
        ("localized", "num_blobs"),
        ("localized", "widht"),
        ("ic_type_weights", "composit"),
        ("ic_type_weights", "mine"),
        ("mine", "type"),
        ("localised",),
        ("heavy_tailed",),
        ("composite", "type"),
        ("mixed", "grf", "kernel"),
        ("structured",),
    }
    assert "did you mean 'composite'" in found[("ic_type_weights", "composit")]
    assert "did you mean 'localized'" in found[("localised",)]
    assert "64 grid" in found[("structured",)]


def test_a_band_beyond_the_smallest_grid_is_refused():
    assert parse_mixture("multiscale_grf_high", grid_sizes=(64, 128))
    assert "16 grid" in faults("multiscale_grf_high", grid_sizes=(64, 16))[("multiscale_grf_high",)]
