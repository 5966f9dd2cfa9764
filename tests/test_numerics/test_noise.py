"""Noise: equal strength of all types, distributions, schedules, places, dropout, independence."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from spinlock.errors import UsageError
from spinlock.keys import MAX_STEP, Key, Purpose, words
from spinlock.numerics import noise as noise_module
from spinlock.numerics.noise import SITE_HIDDEN, SITE_OUTPUT, SITE_STATE, noise
from test_numerics.noise_samples import (
    ADDITIVE,
    SCALED,
    TYPES,
    added,
    deviation,
    rms,
    stream,
    uneven_state,
)

# --- strength ---


@pytest.mark.parametrize("scale", [0.01, 0.3, 2.0])
@pytest.mark.parametrize("noise_type", TYPES)
def test_mean_square_over_the_field_is_scale_squared_for_every_type(noise_type, scale):
    x = uneven_state()
    noised = torch.cat(
        [stream(noise_type=noise_type, noise_scale=scale).state(x, step) for step in range(12)]
    )
    measured = rms(noised.double() - x.double()) / scale
    assert measured == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("noise_type", TYPES)
def test_noise_has_zero_mean(noise_type):
    x = uneven_state()
    values = added(stream(noise_type=noise_type), x)
    spread = 1.0
    assert deviation(values, 0.0, spread) < 4.5


@pytest.mark.parametrize("noise_type", SCALED)
def test_types_that_scale_with_the_state_do_not_see_its_unit(noise_type):
    x = uneven_state()
    ours = added(stream(noise_type=noise_type), x)
    assert torch.allclose(ours, added(stream(noise_type=noise_type), x * 1e-3), rtol=1e-3, atol=1e-3)
    relative = ours / x
    assert not torch.allclose(relative.abs().amax(dim=(-2, -1)), ours.abs().amax(dim=(-2, -1)), rtol=0.1)


@pytest.mark.parametrize("noise_type", ADDITIVE)
def test_additive_types_do_not_see_the_state(noise_type):
    x = uneven_state()
    zero = torch.zeros_like(x)
    assert torch.allclose(
        added(stream(noise_type=noise_type), x), added(stream(noise_type=noise_type), zero), atol=1e-5
    )


@pytest.mark.parametrize("noise_type", SCALED)
def test_zero_pixels_stay_zero_under_scaled_noise(noise_type):
    x = uneven_state()
    x[..., :10] = 0.0
    noised = stream(noise_type=noise_type).state(x, 0)
    assert torch.equal(noised[..., :10], x[..., :10])
    assert not torch.equal(noised[..., 10:], x[..., 10:])
    nothing = torch.zeros_like(x)
    assert torch.equal(stream(noise_type=noise_type).state(nothing, 0), nothing)


@pytest.mark.parametrize("noise_type", TYPES)
def test_no_scale_leaves_the_very_same_tensor(noise_type):
    x = uneven_state()
    silent = stream(noise_type=noise_type, noise_scale=0.0)
    assert silent.state(x, 0) is x
    assert silent.model.silent
    assert not stream(noise_type=noise_type, noise_scale=0.0, dropout_rate=0.1).model.silent
    assert not stream(noise_type=noise_type, noise_scale=1e-9).model.silent


@pytest.mark.parametrize(
    ("scale", "regime"),
    [
        (0.0, "none"),
        (1e-9, "low"),
        (0.00999, "low"),
        (0.01, "medium"),
        (0.0999, "medium"),
        (0.1, "high"),
        (5.0, "high"),
    ],
)
def test_regimes_begin_at_their_edges(scale, regime):
    assert noise(noise_scale=scale).regime == regime


# --- distribution ---


@pytest.mark.parametrize(
    ("noise_type", "law", "wrong", "kurtosis"),
    [
        ("gaussian", stats.norm(), stats.laplace(scale=math.sqrt(0.5)), 3.0),
        ("laplace", stats.laplace(scale=math.sqrt(0.5)), stats.norm(), 6.0),
        ("multiplicative", stats.norm(), stats.laplace(scale=math.sqrt(0.5)), 3.0),
    ],
)
def test_variates_follow_their_law_and_not_another(noise_type, law, wrong, kurtosis):
    x = uneven_state()
    values = added(
        stream(noise_type=noise_type), x if noise_type == "multiplicative" else torch.zeros_like(x)
    )
    if noise_type == "multiplicative":
        values = values[:, 2] * rms(x) / x[:, 2]
    flat = values.double().flatten().numpy()
    assert stats.kstest(flat, law.cdf).pvalue > 1e-3
    assert stats.kstest(flat, wrong.cdf).pvalue < 1e-12
    assert stats.kurtosis(flat, fisher=False) == pytest.approx(kurtosis, rel=0.06)
    assert abs(stats.skew(flat)) < 0.06


def test_dropout_noise_doubles_or_silences_at_the_state_s_own_rms():
    x = uneven_state()
    noised = stream(noise_type="dropout", noise_scale=rms(x)).state(x, 0)
    silenced = noised.abs() < 1e-4 * x.abs()
    assert torch.allclose(noised[~silenced], 2 * x[~silenced], rtol=1e-4)
    assert stats.binomtest(int(silenced.sum()), x.numel()).pvalue > 1e-3


def test_tails_reach_as_far_as_their_words_allow():
    extremes = torch.zeros(4, 1, 2, dtype=torch.int64)
    extremes[:, :, 1] = 2**32 - 1
    laplace = noise_module.laplace_from_words(extremes, 8)
    assert torch.isfinite(laplace).all()
    assert float(laplace.max()) == pytest.approx(32 * math.log(2) / math.sqrt(2), rel=1e-6)
    signs = noise_module.signs_from_words(extremes, 8)
    assert signs.tolist() == [[1.0] * 4 + [-1.0] * 4]


def test_laplace_variates_are_those_of_the_numbered_words():
    count = 37
    drawn = words(Key(5), Purpose.NOISE, [11], count, site=SITE_STATE, step=3, realization=2)[0]
    expected = -np.log((drawn // 2 + 0.5) / 2.0**31) * np.where(drawn % 2, -1, 1) / np.sqrt(2)
    source = stream(seed=5, sample=11, realization=2, noise_type="laplace", size=16)
    ours = added(source, torch.zeros(1, 1, 16, 16), [3]).flatten()[:count]
    assert np.allclose(ours.numpy(), expected, rtol=1e-4, atol=1e-6)


# --- schedules ---


@pytest.mark.parametrize("period", [3.0, 20.0, 77.5])
@pytest.mark.parametrize(
    ("schedule", "law"),
    [
        ("constant", lambda t, _: 1.0),
        ("annealing", lambda t, period: math.exp(-t / period)),
        ("periodic", lambda t, period: (1 + math.cos(2 * math.pi * t / period)) / 2),
    ],
)
def test_schedule_measured_on_the_noise_itself(schedule, law, period):
    zero = torch.zeros(1, 3, 16, 16)
    scheduled = stream(noise_schedule=schedule, schedule_period=period, noise_scale=0.5, size=16)
    steady = stream(noise_scale=1.0, size=16)
    for step in (0, 1, 2, 7, 20, 100, 1000):
        expected = 0.5 * law(step, period) * added(steady, zero, [step])
        assert torch.allclose(added(scheduled, zero, [step]), expected, rtol=1e-5, atol=1e-7)


def test_schedules_differ_from_each_other():
    amplitudes = {
        schedule: [noise(noise_scale=1.0, noise_schedule=schedule).amplitude(t) for t in (5, 10, 20)]
        for schedule in ("constant", "annealing", "periodic")
    }
    assert amplitudes["periodic"][1] == pytest.approx(0.0, abs=1e-12)
    assert amplitudes["periodic"][2] == pytest.approx(1.0)
    assert len({tuple(values) for values in amplitudes.values()}) == 3


# --- what a number depends on ---


@pytest.mark.parametrize("options", [{}, {"spatial_correlation": 0.1}, {"noise_type": "laplace"}])
def test_a_step_s_noise_does_not_depend_on_the_order_of_asking(options):
    zero = torch.zeros(1, 3, 16, 16)
    block = noise_module.BLOCK // zero.numel()
    order = [block + 1, 0, 57, 3, block - 1, 3, block, 5, 2 * block, 0, 1]
    asked = stream(size=16, **options)
    for step in order:
        assert torch.equal(asked.state(zero, step), stream(size=16, **options).state(zero, step))


@pytest.mark.parametrize("num_timesteps", [1, 2, 57, MAX_STEP])
def test_a_step_s_noise_does_not_depend_on_how_many_are_drawn_with_it(num_timesteps):
    zero = torch.zeros(1, 3, 16, 16)
    steps = [step for step in (0, 1, 41, 56) if step < num_timesteps]
    ours = added(stream(size=16, num_timesteps=num_timesteps), zero, steps)
    assert torch.equal(ours, added(stream(size=16), zero, steps))


def test_the_last_step_of_the_counter_can_be_drawn():
    zero = torch.zeros(1, 3, 16, 16)
    source = stream(size=16)
    late = added(source, zero, range(MAX_STEP - 3, MAX_STEP))
    assert torch.equal(late[-1:], added(stream(size=16), zero, [MAX_STEP - 1]))


def test_nothing_is_drawn_beyond_the_run(monkeypatch):
    drawn = []
    original = noise_module.random_words

    def counted(*arguments, steps, **options):
        drawn.append(len(steps))
        return original(*arguments, steps=steps, **options)

    monkeypatch.setattr(noise_module, "random_words", counted)
    source = stream(size=16, num_timesteps=3)
    for step in range(3):
        source.state(torch.zeros(1, 3, 16, 16), step)
    assert drawn == [3]


def test_a_twin_that_asks_again_gets_the_same():
    x = uneven_state()
    source = stream(noise_location="hidden", dropout_rate=0.3)
    for step, layer in itertools.product((0, 5, 4), (0, 2)):
        assert torch.equal(source.hidden(layer, x, step), source.hidden(layer, x, step))


def test_noise_of_more_channels_begins_with_that_of_fewer():
    few = stream(size=16).state(torch.zeros(1, 2, 16, 16), 4)
    many = stream(size=16).state(torch.zeros(1, 5, 16, 16), 4)
    assert torch.equal(many[:, :2], few)


def test_no_two_samples_realizations_steps_places_or_seeds_share_noise():
    zero = torch.zeros(1, 1, 64, 64)
    rows, names = [], []
    coordinates = itertools.product((0, 1), (0, 1, 65_536), (0, 1, 2), (0, 1))
    for seed, sample, realization, step in coordinates:
        where = {"seed": seed, "sample": sample, "realization": realization}
        rows.append(stream(noise_location="state", **where).state(zero, step))
        rows.append(stream(noise_location="output", **where).output(zero, step))
        hidden = stream(noise_location="hidden", **where)
        rows += [hidden.hidden(layer, zero, step) for layer in (0, 1, 15)]
        names += [(*where.values(), step, place) for place in range(5)]
    assert len(set(names)) == len(rows) == 180
    table = torch.cat(rows).flatten(1).double()
    correlation = torch.corrcoef(table) - torch.eye(len(table), dtype=torch.float64)
    assert float(correlation.abs().max()) < 6 / math.sqrt(table.shape[1])
    assert len(torch.unique(table, dim=0)) == len(table)


def test_places_have_sites_of_their_own():
    assert len({SITE_STATE, SITE_OUTPUT, *(SITE_HIDDEN + layer for layer in range(64))}) == 66


@pytest.mark.parametrize(
    ("where", "step"),
    [({"realization": 2**16}, 0), ({"sample": 2**32}, 0), ({}, MAX_STEP), ({"sample": -1}, 0)],
)
def test_coordinates_that_do_not_fit_the_counter_are_refused(where, step):
    with pytest.raises(UsageError, match="out of range"):
        stream(**where).state(torch.zeros(1, 1, 16, 16), step)


# --- places ---


@pytest.mark.parametrize("location", ["state", "hidden", "output"])
def test_noise_acts_at_its_place_alone(location):
    x = uneven_state()
    source = stream(noise_location=location)
    results = {"state": source.state(x, 0), "hidden": source.hidden(0, x, 0), "output": source.output(x, 0)}
    for place, result in results.items():
        assert (result is x) == (place != location)


@pytest.mark.parametrize(
    ("options", "touches"),
    [
        ({"noise_location": "output"}, False),
        ({"noise_location": "state"}, True),
        ({"noise_location": "hidden"}, True),
        ({"noise_location": "output", "dropout_rate": 0.1}, True),
        ({"noise_location": "state", "noise_scale": 0.0}, False),
    ],
)
def test_whether_the_operator_sees_the_noise(options, touches):
    assert stream(**options).model.touches_operator == touches


def test_half_precision_values_keep_their_format():
    x = uneven_state().to(torch.bfloat16)
    noised = stream(noise_location="hidden", dropout_rate=0.2).hidden(0, x, 0)
    assert noised.dtype == torch.bfloat16
    assert float(((noised - x).float().abs() > 0).float().mean()) > 0.9


# --- dropout ---


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_dropout_silences_its_share_and_scales_the_rest(rate, scale):
    x = uneven_state().abs() + 1.0
    source = stream(noise_scale=scale, noise_location="state", dropout_rate=rate)
    for step in (0, 7):
        dropped = source.hidden(0, x, step)
        kept = dropped != 0
        assert torch.allclose(dropped[kept], x[kept] / (1 - rate), rtol=1e-6)
        assert stats.binomtest(int((~kept).sum()), x.numel(), rate).pvalue > 1e-3


def test_dropout_masks_are_new_in_every_step_and_layer_and_realization():
    ones = torch.ones(1, 4, 64, 64)
    masks = [
        stream(noise_scale=0.0, dropout_rate=0.5, realization=realization).hidden(layer, ones, step) != 0
        for realization, layer, step in itertools.product((0, 1), (0, 1), (0, 1, 2))
    ]
    table = torch.cat(masks).flatten(1).double()
    correlation = torch.corrcoef(table) - torch.eye(len(table), dtype=torch.float64)
    assert float(correlation.abs().max()) < 5 / math.sqrt(table.shape[1])


def test_dropout_does_not_follow_the_schedule():
    ones = torch.ones(1, 4, 64, 64)
    source = stream(noise_schedule="annealing", schedule_period=1.0, dropout_rate=0.5)
    late = source.hidden(0, ones, 500)
    assert float((late == 0).float().mean()) == pytest.approx(0.5, abs=0.03)


def test_dropout_and_noise_of_one_place_are_unrelated():
    zero, ones = torch.zeros(1, 4, 64, 64), torch.ones(1, 4, 64, 64)
    mask = stream(noise_scale=0.0, dropout_rate=0.5).hidden(0, ones, 0)
    field = stream(noise_location="hidden").hidden(0, zero, 0)
    table = torch.stack((mask.flatten(), field.flatten(), field.flatten().abs())).double()
    assert float(torch.corrcoef(table)[0, 1:].abs().max()) < 5 / math.sqrt(table.shape[1])
