"""Normalizations against torch's own, and batch statistics over an ensemble."""

import math

import pytest
import torch
from torch.nn import functional

from spinlock.operators.normalization import EPSILON, batch_normalize, groups, normalize
from test_operators.network_samples import keyed_states


def uneven_states(batch=4, channels=12, size=16):
    """States whose channels and members have means and spreads of their own."""
    states = keyed_states(batch, channels, size)
    channel = torch.arange(1.0, channels + 1)[None, :, None, None]
    member = torch.arange(1.0, batch + 1)[:, None, None, None]
    return states * channel * member + 10 * channel - member


def everyone(states):
    return [range(len(states))] * len(states)


def batch(x, peers=None):
    states = list(x.split(1))
    return torch.cat(batch_normalize(states, everyone(states) if peers is None else peers))


# --- within one state ---


@pytest.mark.parametrize("channels", [1, 5, 12, 16])
def test_against_torch(channels):
    x = uneven_states(channels=channels)
    precise = x.double()
    expected = {
        "instance": functional.instance_norm(precise, eps=EPSILON),
        "layer": functional.layer_norm(precise, precise.shape[1:], eps=EPSILON),
        "group": functional.group_norm(precise, math.gcd(channels, 8), eps=EPSILON),
    }
    for name, y in expected.items():
        assert torch.allclose(normalize(x, name).double(), y, atol=2e-5), name


def test_the_three_differ_where_their_groups_do():
    x = uneven_states(channels=12)
    assert [groups(name, 12) for name in ("instance", "layer", "group")] == [12, 1, 4]
    results = [normalize(x, name) for name in ("instance", "layer", "group")]
    for first in range(3):
        assert not torch.allclose(results[first], results[first - 1], atol=1e-2)
    one = uneven_states(channels=1)
    assert torch.equal(normalize(one, "instance"), normalize(one, "layer"))


@pytest.mark.parametrize(("channels", "count"), [(1, 1), (6, 2), (8, 8), (12, 4), (20, 4), (64, 8), (7, 1)])
def test_number_of_groups_is_the_common_divisor_with_eight(channels, count):
    assert groups("group", channels) == count


@pytest.mark.parametrize("name", ["instance", "layer", "group"])
def test_moments_after_normalization(name):
    y = normalize(uneven_states(batch=1), name).double().reshape(groups(name, 12), -1)
    assert torch.allclose(y.mean(dim=1), torch.zeros(len(y), dtype=torch.float64), atol=1e-5)
    assert torch.allclose(y.var(dim=1, correction=0), torch.ones(len(y), dtype=torch.float64), atol=1e-3)


@pytest.mark.parametrize("name", ["instance", "layer", "group"])
def test_a_member_does_not_see_the_others(name):
    x = uneven_states()
    changed = x.clone()
    changed[1:] *= 100.0
    assert torch.equal(normalize(x, name)[:1], normalize(changed, name)[:1])


@pytest.mark.parametrize("name", ["instance", "layer", "group"])
def test_a_constant_state_becomes_zero_not_nan(name):
    assert torch.equal(normalize(torch.full((1, 4, 16, 16), 3.0), name), torch.zeros(1, 4, 16, 16))


# --- over an ensemble ---


def test_batch_against_torch():
    x = uneven_states()
    expected = functional.batch_norm(x.double(), None, None, training=True, eps=EPSILON)
    assert torch.allclose(batch(x).double(), expected, atol=2e-5)
    assert not torch.allclose(batch(x), normalize(x, "instance"), atol=1e-2)


def test_batch_of_one_is_instance_normalization():
    x = uneven_states(batch=1)
    assert torch.allclose(batch(x), normalize(x, "instance"), atol=2e-5)


def test_batch_statistics_keep_their_precision_far_from_zero():
    x = keyed_states(4, 3, 16) + 3000.0
    expected = functional.batch_norm(x.double(), None, None, training=True, eps=EPSILON)
    assert torch.allclose(batch(x).double(), expected, atol=1e-3)


def test_members_that_are_no_peers_do_not_count():
    x = uneven_states()
    alive = [0, 2]
    alone = batch(x[alive])
    among = batch(x, [alive] * 4)
    assert torch.equal(among[alive], alone)
    assert not torch.allclose(batch(x)[alive], alone, atol=1e-2)


def test_a_broken_member_spoils_only_those_who_count_it():
    x = uneven_states()
    x[3] = float("inf")
    clean = batch(x[:3])
    assert torch.equal(batch(x, [range(3)] * 4)[:3], clean)
    assert torch.isnan(batch(x)[:3]).all()


def test_a_twin_in_the_place_of_the_first_changes_nobody_else():
    x = uneven_states(batch=3)
    twin = x[:1] + 1e-3
    peers = [(0, 1, 2)] * 3 + [(3, 1, 2)]
    together = batch(torch.cat((x, twin)), peers)
    assert torch.equal(together[:3], batch(x))
    assert torch.equal(together[3:], batch(torch.cat((twin, x[1:])))[:1])


def test_an_equal_twin_gets_equal_bits():
    x = uneven_states(batch=3)
    together = batch(torch.cat((x, x[:1])), [(0, 1, 2)] * 3 + [(3, 1, 2)])
    assert torch.equal(together[3], together[0])


def test_half_precision_states_keep_their_format():
    x = uneven_states().to(torch.bfloat16)
    y = batch(x)
    assert y.dtype == torch.bfloat16
    assert torch.allclose(y.float(), batch(x.float()), atol=0.02)
