"""Stacked rollouts are the rollouts of their samples; no sample notices its neighbours."""

import math

import numpy as np
import pytest
import torch

from spinlock.errors import UsageError
from spinlock.keys import Key
from spinlock.numerics.noise import SITE_STATE, NoiseStream, noise
from spinlock.operators.stacked import InTurn, StackedCnn
from spinlock.rollout.dynamics import COLLAPSED, TORN
from spinlock.rollout.stacked import OperatorStack
from spinlock.rollout.stacked_noise import StackedNoise
from test_operators.stack_samples import DEVICE, needs_triton
from test_rollout.stacked_samples import (
    CPU,
    NOISES,
    POLICIES,
    SCALED_NOISES,
    SEED,
    Known,
    KnownTogether,
    facts,
    network,
    one_by_one,
    same_bits,
    start,
    together,
)
from test_rollout.stub_operators import keyed_field

MANY = len(NOISES) * len(POLICIES)


def identity():
    return Known(lambda x: x.clone())


def scaled(factor):
    return Known(lambda x: x * factor)


def close(a, b, tolerance):
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


# --- the same as one by one ---


@pytest.mark.parametrize("steps", [1, 3, pytest.param(17, marks=pytest.mark.slow)])
def test_on_a_cpu_the_bits_are_those_of_each_sample_alone(steps):
    networks, starts = [network(k) for k in range(MANY)], [start(k) for k in range(MANY)]
    stacked, alone = together(networks, starts, steps=steps), one_by_one(networks, starts, steps=steps)
    assert all(same_bits(a, b) for a, b in zip(stacked, alone, strict=True))
    for a, b in zip(stacked, alone, strict=True):
        assert math.isclose(a.lyapunov, b.lyapunov, rel_tol=1e-6) or steps < 16 or b.dynamics == "diverged"


@pytest.mark.parametrize("steps", [1, 3])
def test_noise_that_scales_with_the_state_agrees_to_rounding(steps):
    networks, starts = [network(k) for k in range(6)], [start(k, SCALED_NOISES) for k in range(6)]
    pairs = zip(
        together(networks, starts, steps=steps), one_by_one(networks, starts, steps=steps), strict=True
    )
    for a, b in pairs:
        assert facts(a) == facts(b)
        assert close(a.frames, b.frames, 1e-5)


@needs_triton
@pytest.mark.parametrize("steps", [1, 2])
def test_kernels_agree_to_rounding_after_a_few_steps(steps):
    networks, starts = [network(k) for k in range(5)], [start(k, size=9) for k in range(5)]
    stacked = together(networks, starts, StackedCnn, DEVICE, realizations=2, steps=steps)
    for a, b in zip(stacked, one_by_one(networks, starts, realizations=2, steps=steps), strict=True):
        assert facts(a) == facts(b)
        assert close(a.frames, b.frames, 1e-4)


INSIDE = [
    {"noise_scale": 0.3, "noise_location": "hidden"},
    {"noise_scale": 0.3, "noise_location": "hidden", "noise_type": "laplace", "dropout_rate": 0.3},
    {"dropout_rate": 0.9},
    {"noise_scale": 0.3, "noise_location": "hidden", "noise_type": "multiplicative", "dropout_rate": 0.1},
    {"noise_scale": 0.3, "noise_location": "hidden", "spatial_correlation": 0.2},
    {"noise_scale": 0.3, "noise_location": "hidden", "noise_schedule": "annealing", "schedule_period": 1.0},
]


@needs_triton
def test_noise_that_kernels_draw_inside_has_the_numbers_of_a_stream():
    """Samples, realizations, steps and layers all differ; where a draw were another one, all would."""
    networks = [network(k, num_layers=2, normalization="none") for k in range(len(INSIDE))]
    starts = [start(k, INSIDE, size=9, policy=("autoregressive", {})) for k in range(len(INSIDE))]
    stacked = together(networks, starts, StackedCnn, DEVICE, realizations=2, steps=2)
    for a, b in zip(stacked, one_by_one(networks, starts, realizations=2, steps=2), strict=True):
        assert close(a.frames, b.frames, 1e-4)
        assert not close(a.frames[0, 1:], a.frames[1, 1:], 1e-2)
    plain = together(networks, [start(k, [{}], size=9) for k in range(len(INSIDE))], realizations=2, steps=2)
    assert not any(close(a.frames[:, 1], b.frames[:, 1], 1e-2) for a, b in zip(stacked, plain, strict=True))


@pytest.mark.parametrize("model", [*NOISES[1:4], *SCALED_NOISES], ids=str)
def test_noise_drawn_for_many_rows_has_the_numbers_of_each(model):
    samples, size = [3, 11], 17
    model = noise(**{**model, "noise_location": "state"})
    stacked = StackedNoise([model, model], samples, SEED, size, CPU, 10)
    owners, realizations = np.array([0, 0, 1, 1, 1]), np.array([0, 2, 0, 1, 5])
    (group,) = stacked.rows_at("state", owners, realizations)
    for step in (0, 7):
        variates = stacked._variates(group, torch.Size((2, size, size)), step, SITE_STATE)
        for row, (owner, realization) in enumerate(zip(owners, realizations, strict=True)):
            stream = NoiseStream(model, Key(SEED), samples[owner], int(realization), size, CPU, 10)
            zero = torch.zeros(1, 2, size, size)
            if model.noise_type in ("gaussian", "laplace"):
                expected = stream.state(zero, step)[0]
                moved = stacked.perturb(zero.expand(5, -1, -1, -1), [group], step, SITE_STATE)[row]
                assert torch.equal(moved, expected)
                assert not torch.equal(moved, torch.zeros_like(moved))
            assert torch.equal(
                variates[row], stream._variate(torch.Size((2, size, size)), step, SITE_STATE)[0]
            )


ACTING = [
    {"noise_scale": 0.1},
    {"dropout_rate": 0.25},
    {"noise_scale": 0.1, "noise_location": "hidden"},
    {"noise_scale": 0.1, "noise_location": "hidden", "noise_type": "laplace", "dropout_rate": 0.5},
    {"noise_scale": 0.1, "noise_location": "hidden", "noise_type": "multiplicative"},
    {"noise_scale": 0.1, "noise_location": "hidden", "spatial_correlation": 0.2},
    {},
]
"""Models 1 to 5 act inside the operator; of these a stack can draw 1, 2 and 3 itself."""


def test_noise_inside_is_a_hook_or_is_drawn_and_only_where_it_acts():
    stacked = StackedNoise([noise(**model) for model in ACTING], range(10, 17), SEED, 16, CPU, 10)
    owners, realizations = np.array([0, 1, 2, 3, 4, 5, 6, 1]), np.array([0, 0, 0, 0, 0, 0, 0, 3])
    assert stacked.hooks(owners, realizations, 2, drawn=False).keys() == {1, 2, 3, 4, 5, 7}
    assert stacked.hooks(owners, realizations, 2, drawn=True).keys() == {4, 5}
    inside = stacked.inside(owners, realizations, 2)
    assert inside is not None
    assert inside.numbers.tolist() == [
        [10, 0, 0], [11, 0, 0], [12, 0, 1], [13, 0, 2], [14, 0, 0], [15, 0, 0], [16, 0, 0], [11, 3, 0],
    ]  # fmt: skip
    none, dropout = [0.0, 0.0, 0.0], [0.0, 0.25, 1 / 0.75]
    levels = [none, dropout, [0.1, 0.0, 1.0], [0.1, 0.5, 2.0], none, none, none, dropout]
    assert torch.allclose(inside.levels, torch.tensor(levels))
    assert (inside.key, inside.step) == (Key(SEED).words, 2)


def test_a_stack_without_noise_inside_draws_none_there():
    stacked = StackedNoise([noise(noise_scale=0.1), noise()], [3, 4], SEED, 16, CPU, 10)
    rows = np.array([0, 1]), np.array([0, 0])
    assert stacked.inside(*rows, 0) is None
    assert stacked.hooks(*rows, 0, drawn=False) == {}
    assert [stacked.touches(owner) for owner in range(2)] == [True, False]


# --- neighbours ---


@pytest.mark.parametrize(
    ("kind", "device"), [(InTurn, CPU), pytest.param(StackedCnn, DEVICE, marks=needs_triton)]
)
def test_place_and_neighbours_change_no_bit(kind, device):
    size, chosen = (16, range(9)) if kind is InTurn else (8, range(5))
    networks = {k: network(k) for k in chosen}
    starts = {k: start(k, [*SCALED_NOISES, *NOISES], size) for k in chosen}

    def run(order):
        how = {"realizations": 2, "steps": 2}
        results = together([networks[k] for k in order], [starts[k] for k in order], kind, device, **how)
        return dict(zip(order, results, strict=True))

    whole = run(list(chosen))
    for order in (list(chosen)[::-1], *([k] for k in chosen)):
        assert all(same_bits(result, whole[k]) for k, result in run(order).items())


def test_more_realizations_leave_the_first_ones_as_they_are():
    chosen = [k for k in range(MANY) if k % 5 != 4]
    networks, starts = [network(k) for k in chosen], [start(k) for k in chosen]
    few, many = (together(networks, starts, realizations=count) for count in (2, 4))
    for a, b in zip(few, many, strict=True):
        assert torch.equal(a.frames, b.frames[:2])


def explosive(factor, **options):
    return network(0, normalization="none", activation="relu", gain=factor, **options)


@pytest.mark.parametrize("steps", [6, 20])
def test_a_neighbour_that_diverges_changes_nothing(steps):
    networks = [network(1), explosive(100.0), network(4), explosive(50.0), network(2)]
    starts = [start(k, noise={"noise_scale": 0.1}, policy=("autoregressive", {})) for k in range(5)]
    stacked, alone = together(networks, starts, steps=steps), one_by_one(networks, starts, steps=steps)
    assert [a.dynamics == "diverged" for a in stacked] == [False, True, False, True, False]
    assert all(same_bits(a, b) for a, b in zip(stacked, alone, strict=True))
    assert max(stacked[1].finite_steps) < 6
    calm = together(networks[::2], starts[::2], steps=steps)
    assert all(same_bits(a, b) for a, b in zip(calm, stacked[::2], strict=True))


def jump(limit):
    """x → x + 1, but beyond all bounds where the field's first value has passed a limit."""
    return Known(lambda x: x * 1e20 if float(x[0, 0, 0, 0]) > limit else x + 1.0)


@pytest.mark.parametrize("last", [1, 7, 8, 9, 15, 16, 17])
def test_finite_steps_are_exact_whenever_the_host_looks(last):
    """It looks every eight steps; a row ends at its own step, and a twin with its original."""
    operators = [identity(), jump(last - 0.5), identity()]
    starts = [
        start(k, noise={"noise_scale": 1e-6}, initial=torch.zeros(1, 8, 8), policy=("autoregressive", {}))
        for k in range(3)
    ]
    stacked, alone = (run(operators, starts, steps=20) for run in (together, one_by_one))
    assert all(facts(a) == facts(b) for a, b in zip(stacked, alone, strict=True))
    assert stacked[1].finite_steps.tolist() == [last + 1] * 3
    assert torch.isnan(stacked[1].frames[:, last + 1 :]).all()
    assert torch.isfinite(stacked[1].frames[:, : last + 1]).all()


def test_float16_steps_count_frames_before_the_first_overflow():
    operators = [scaled(10.0), scaled(0.5)]
    starts = [
        start(k, noise={"noise_scale": 1e-3}, initial=torch.ones(1, 8, 8), policy=("autoregressive", {}))
        for k in range(2)
    ]
    stacked, alone = (run(operators, starts, steps=7) for run in (together, one_by_one))
    assert stacked[0].float16_steps.tolist() == [5] * 3
    assert stacked[0].finite_steps.tolist() == [8] * 3
    assert all(facts(a) == facts(b) for a, b in zip(stacked, alone, strict=True))


def test_a_row_that_has_diverged_is_not_run_for_long():
    """The host looks every eight steps; what has ended by then is left out, the twin too."""
    operators = [identity(), jump(2.5)]
    starts = [
        start(k, noise={}, initial=torch.zeros(1, 8, 8), policy=("autoregressive", {})) for k in range(2)
    ]
    together(operators, starts, steps=40, realizations=2)
    assert [operator.applications for operator in operators] == [2 * 40, 2 * 8]


def test_a_twin_that_collapses_or_is_torn_away_counts_as_it_does_alone():
    original = keyed_field(channels=1, size=8)
    forgetful = Known(lambda x: torch.ones_like(x) * torch.linspace(0, 1, 8))
    torn = Known(
        lambda x: x.clone() if torch.equal(x.reshape(1, 8, 8), original) else torch.full_like(x, torch.inf)
    )
    starts = [start(k, noise={}, initial=original, policy=("autoregressive", {})) for k in range(2)]
    results = together([forgetful, torn], starts, steps=20, realizations=1)
    assert [result.dynamics for result in results] == ["frozen", "chaotic"]
    assert results[0].lyapunov == pytest.approx(COLLAPSED)
    assert results[1].lyapunov == pytest.approx(TORN)


def test_the_last_frame_decides_whether_contrast_is_left():
    """A field that keeps its contrast up to the last step but one, and has none in the last."""

    def count(x):
        counted = x.clone()
        counted[:, 0, 0, 0] += 1.0
        return torch.full_like(x, 100.0) if float(counted[0, 0, 0, 0]) > 19.5 else counted

    initial = 100.0 * keyed_field(channels=1, size=8)
    initial[0, 0, 0] = 0.0
    starts = [start(0, noise={}, initial=initial, policy=("autoregressive", {}))]
    for run in (together, one_by_one):
        (whole,), (short,) = (run([Known(count)], starts, steps=steps, realizations=1) for steps in (20, 19))
        assert (whole.dynamics, short.dynamics) == ("dead", "active")


def test_a_state_of_zeros_has_no_growth():
    starts = [start(0, noise={}, initial=torch.zeros(1, 8, 8), policy=("autoregressive", {}))]
    for run in (together, one_by_one):
        (result,) = run([Known(torch.zeros_like)], starts, steps=20, realizations=1)
        assert (result.lyapunov, result.dynamics) == (COLLAPSED, "dead")


def test_those_who_are_still_finite_are_the_peers():
    """Realizations leave one after the other; those left, and the twin, have statistics without them."""

    def step(x, mean):
        return torch.where(x.abs().amax() > 1.9, x * 1e20, 0.5 * (x + mean))

    starts = [
        start(7, noise={"noise_scale": 0.4}, policy=("autoregressive", {}), initial=torch.zeros(2, 8, 8))
    ]
    seen = []
    for run in (together, one_by_one):
        stub = KnownTogether(step)
        (result,) = run([stub], starts, realizations=5, steps=18)
        seen.append((stub.peers, result))
    (stacked_peers, stacked), (peers, alone) = seen
    assert alone.dynamics == "diverged"
    assert len(set(alone.finite_steps.tolist())) > 1
    assert stacked_peers == peers
    assert same_bits(stacked, alone)


# --- labels ---


def test_labels_of_known_dynamics():
    logistic = Known(lambda x: 4.0 * x * (1.0 - x))
    roll = Known(lambda x: x.roll(1, -1))
    operators = [logistic, roll, identity(), scaled(1.05), scaled(0.5)]
    fields = [torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(k)) for k in range(5)]
    starts = [
        start(k, noise={}, initial=field, policy=("autoregressive", {})) for k, field in enumerate(fields)
    ]
    stacked = together(operators, starts, steps=48, realizations=2)
    assert [r.dynamics for r in stacked] == ["chaotic", "periodic", "frozen", "growing", "dead"]
    assert math.isclose(stacked[0].lyapunov, math.log(2.0), rel_tol=0.05)
    for a, b in zip(stacked, one_by_one(operators, starts, steps=48, realizations=2), strict=True):
        assert same_bits(a, b)
        assert math.isclose(a.lyapunov, b.lyapunov, rel_tol=1e-9, abs_tol=1e-9)
    unlabelled = together(operators, starts, steps=48, realizations=2, classify=False)
    assert {r.dynamics for r in unlabelled} == {"unclassified"}
    assert all(math.isnan(r.lyapunov) for r in unlabelled)


# --- what is shared is computed once ---


@pytest.mark.parametrize(
    ("model", "applications"),
    [({}, 6), ({"noise_scale": 0.1, "noise_location": "output"}, 1 + 5 * 4), ({"noise_scale": 0.1}, 6 * 4)],
    ids=["silent", "output", "state"],
)
def test_applications(model, applications):
    stub = scaled(0.9)
    (result,) = together([stub], [start(0, noise=model)], realizations=4, steps=6)
    assert stub.applications == applications
    assert result.frames.shape[:2] == (4, 7)
    assert (result.finite_steps == 7).all()


def test_kept_frames_and_checkpoints():
    networks, starts, calls = [network(k) for k in range(2)], [start(k) for k in range(2)], []
    whole = together(networks, starts, steps=4)
    for kept in ((), (0,), (1, 4)):
        for part, full in zip(together(networks, starts, steps=4, keep=kept), whole, strict=True):
            assert part.timesteps == kept
            assert torch.equal(part.frames, full.frames[:, list(kept)])
            assert torch.equal(part.final, full.frames[:, 4])

    def stop():
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        together(networks, starts, steps=4, checkpoint=stop)
    assert len(calls) == 3


def test_a_policy_of_a_third_party_is_called_for_its_rows():
    from spinlock.registry import Entry
    from spinlock.rollout.policies import UpdatePolicy, policies

    policies.add(Entry("halved", lambda x, y: 0.5 * (x + y), {}, ""))
    try:
        starts = [
            start(k, policy=(name, {})) for k, name in enumerate(["halved", "autoregressive", "halved"])
        ]
        assert isinstance(starts[0].policy, UpdatePolicy)
        networks = [network(k) for k in range(3)]
        stacked, alone = together(networks, starts), one_by_one(networks, starts)
        assert all(same_bits(a, b) for a, b in zip(stacked, alone, strict=True))
    finally:
        policies.remove("halved")


def test_impossible_stacks_are_refused():
    assert isinstance(InTurn([network(0)], CPU), OperatorStack)
    assert together([], []) == []
    for how, message in (
        ({"steps": 0}, "num_timesteps = 0 is not allowed"),
        ({"realizations": 70_000}, "num_realizations = 70000 is not allowed"),
        ({"keep": (2, 1)}, "frames to keep"),
        ({"keep": (9,)}, "frames to keep"),
        ({"keep": (-1, 0)}, "frames to keep"),
    ):
        with pytest.raises(UsageError, match=message):
            together([network(0)], [start(0)], **how)
    with pytest.raises(UsageError, match="one shape"):
        together([network(0), network(1)], [start(0), start(1, initial=keyed_field(size=8))])
    with pytest.raises(UsageError, match="sample index"):
        together([network(0)], [start(2**32, initial=keyed_field())])
