"""Rollouts: what a realization's bits depend on, what is kept, divergence, batch statistics, randomness."""

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.errors import UsageError
from spinlock.keys import MAX_REALIZATION, MAX_STEP
from spinlock.numerics.noise import noise
from spinlock.rollout import UpdatePolicy
from spinlock.rollout.stacked import Start
from test_rollout.stub_operators import Stub, identity, keyed_field, network, run, same, scaled

NOISES = [
    {"noise_scale": 0.0},
    {"noise_scale": 0.3},
    {"noise_scale": 0.3, "noise_location": "hidden", "noise_type": "laplace"},
    {"noise_scale": 0.3, "noise_location": "output", "spatial_correlation": 0.1},
    {"noise_scale": 0.3, "noise_type": "multiplicative", "noise_schedule": "annealing"},
    {"dropout_rate": 0.3},
    {"noise_scale": 0.1, "noise_type": "dropout", "noise_location": "output", "dropout_rate": 0.2},
]


# --- what the bits of a realization depend on ---


@pytest.mark.parametrize("policy", ["autoregressive", "residual", "convex"])
@pytest.mark.parametrize("options", NOISES)
def test_realizations_do_not_depend_on_how_many_there_are(options, policy):
    three = run(network(), realizations=3, policy=policy, **options)
    five = run(network(), realizations=5, policy=policy, **options)
    assert same(three.frames, five.frames[:3])
    assert same(three.final, five.final[:3])


@pytest.mark.parametrize("options", NOISES)
def test_longer_runs_begin_with_the_shorter_ones(options):
    short = run(network(), steps=5, **options)
    long = run(network(), steps=40, **options)
    assert same(short.frames, long.frames[:, :6])
    assert same(short.final, long.frames[:, 5])


@pytest.mark.parametrize("normalization", ["instance", "batch"])
@pytest.mark.parametrize("options", NOISES)
def test_the_twin_changes_no_bit(options, normalization):
    classified = run(network(normalization=normalization), steps=20, **options)
    plain = run(network(normalization=normalization), steps=20, classify=False, **options)
    assert same(classified.frames, plain.frames)
    assert math.isfinite(classified.lyapunov)
    assert (plain.dynamics, math.isnan(plain.lyapunov)) == ("unclassified", True)


@pytest.mark.parametrize("options", NOISES)
def test_a_rollout_is_deterministic(options):
    assert same(run(network(), **options).frames, run(network(), **options).frames)


def test_seed_and_sample_act():
    results = [
        run(network(), noise_scale=0.3, seed=seed, sample=sample).final
        for seed in (0, 1)
        for sample in (0, 1)
    ]
    assert all(not torch.allclose(a, b, atol=1e-2) for i, a in enumerate(results) for b in results[:i])


def test_realizations_are_equal_without_noise_and_different_with_it():
    quiet, noisy = run(network()), run(network(), noise_scale=1e-3)
    assert same(quiet.frames[0], quiet.frames[1])
    assert same(quiet.frames[0], quiet.frames[2])
    assert not same(noisy.frames[0], noisy.frames[1])
    assert not torch.allclose(noisy.frames[0, 1], noisy.frames[1, 1], atol=1e-5)


@pytest.mark.parametrize("location", ["state", "output"])
def test_realizations_of_independent_noise_are_independent(location):
    initial = torch.zeros(4, 64, 64)
    result = run(
        scaled(0.5),
        initial=initial,
        steps=6,
        realizations=8,
        noise_scale=1.0,
        noise_location=location,
        keep=[],
    )
    table = result.final.flatten(1).double()
    correlation = torch.corrcoef(table) - torch.eye(8, dtype=torch.float64)
    assert float(correlation.abs().max()) < 4.5 / math.sqrt(table.shape[1])


# --- what is shared is computed once ---


def counting(function=torch.sin):
    return Stub(function)


def test_without_noise_one_realization_stands_for_all():
    operator = counting()
    result = run(operator, steps=6, realizations=5, classify=False)
    assert operator.applications == 6
    alone = run(counting(), steps=6, realizations=1, classify=False)
    assert all(same(frames, alone.frames[0]) for frames in result.frames)
    assert result.finite_steps.tolist() == result.float16_steps.tolist() == [7] * 5


def test_the_first_output_is_shared_while_noise_stays_outside():
    outside, inside = counting(), counting()
    run(outside, steps=6, realizations=5, noise_scale=0.1, noise_location="output", classify=False)
    run(inside, steps=6, realizations=5, noise_scale=0.1, noise_location="state", classify=False)
    assert inside.applications == 5 * 6
    assert outside.applications == 5 * 6 - 4


@pytest.mark.parametrize("normalization", ["none", "instance", "group"])
def test_the_shared_first_output_has_the_bits_of_one_computed_for_each(normalization):
    options = {"noise_scale": 0.2, "noise_location": "output", "realizations": 4, "steps": 3}
    shared = run(network(normalization=normalization), **options)
    separate = network(normalization=normalization)
    calls = []

    class Separate:
        lockstep = False

        def ensemble(self, states, hooks, peers):
            calls.append(len(states))
            return separate.ensemble([x.clone() for x in states], hooks, peers)

    one_by_one = [run(Separate(), **{**options, "realizations": m + 1}).frames[m] for m in range(4)]
    assert same(shared.frames, torch.stack(one_by_one))
    assert set(calls) == {1}


def test_the_twin_does_not_use_the_shared_output():
    """It starts elsewhere: a rollout with and without it must apply the operator T times more."""
    for noise_scale in (0.0, 0.1):
        operator, plain = counting(), counting()
        options = {"steps": 16, "realizations": 3, "noise_scale": noise_scale, "noise_location": "output"}
        run(operator, **options)
        run(plain, **options, classify=False)
        assert operator.applications == plain.applications + 16


# --- frames ---


def test_frame_0_is_the_initial_condition():
    initial = keyed_field(sample=3)
    result = run(network(), initial=initial, noise_scale=1.0, noise_location="output")
    assert all(same(frame, initial) for frame in result.frames[:, 0])
    assert not same(result.frames[0, 1], initial)


@pytest.mark.parametrize("keep", [[], [0], [8], [0, 8], [1, 2, 7], [5]])
def test_kept_frames_are_those_of_the_whole_run(keep):
    whole = run(network(), noise_scale=0.2)
    some = run(network(), noise_scale=0.2, keep=keep)
    assert some.timesteps == tuple(keep)
    assert same(some.frames, whole.frames[:, keep])
    assert same(some.final, whole.final)
    assert same(whole.final, whole.frames[:, -1])
    assert whole.num_timesteps == some.num_timesteps == 8


@pytest.mark.parametrize("keep", [[-1], [9], [2, 1], [3, 3]])
def test_frames_that_do_not_exist_are_refused(keep):
    with pytest.raises(UsageError, match=r"ascending and in \[0, 8\]"):
        run(identity(), keep=keep)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"steps": 0}, "num_timesteps = 0 is not allowed"),
        (
            {"steps": MAX_STEP},
            rf"num_timesteps = {MAX_STEP} is not allowed: it must be in \[1, {MAX_STEP - 1}\]",
        ),
        ({"realizations": 0}, "num_realizations = 0 is not allowed"),
        ({"realizations": MAX_REALIZATION}, "num_realizations = 65536 is not allowed"),
    ],
)
def test_counts_that_do_not_fit_are_refused(counts, message):
    with pytest.raises(UsageError, match=message):
        run(identity(), **{"keep": [], **counts})


def test_what_a_rollout_says_cannot_be_changed():
    result = run(identity(), steps=2)
    for value, name in [
        (result, "dynamics"),
        (UpdatePolicy.of("convex", {}), "name"),
        (Start(0, keyed_field(), UpdatePolicy.of("convex", {}), noise()), "sample"),
    ]:
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)


@pytest.mark.parametrize("normalization", ["instance", "batch"])
@pytest.mark.parametrize("options", NOISES[:3])
def test_every_finite_frame_is_told_once(options, normalization):
    """Of every realization in the order of time, also where one is run for all."""
    told = []

    def on_frame(realization, frame, x):
        told.append((realization, frame, x.clone()))

    result = run(network(normalization=normalization), steps=6, on_frame=on_frame, **options)
    assert sorted(place[:2] for place in told) == [(m, t) for m in range(3) for t in range(7)]
    for m in range(3):
        assert [frame for realization, frame, _ in told if realization == m] == list(range(7))
    assert all(same(x, result.frames[m, frame]) for m, frame, x in told)


def test_frames_after_divergence_are_not_told():
    told = []
    result = run(scaled(1e3), steps=6, noise_scale=1e-3, on_frame=lambda m, t, _: told.append((m, t)))
    assert result.finite_steps.tolist() == [3] * 3
    assert sorted(told) == [(m, t) for m in range(3) for t in range(3)]


def test_the_initial_condition_is_left_as_it_was():
    initial = keyed_field()
    before = initial.clone()
    run(network(), initial=initial, noise_scale=0.3, steps=16)
    assert same(initial, before)


def test_the_checkpoint_is_called_before_every_step_and_may_end_the_run():
    calls = []

    def stop_at_five():
        calls.append(None)
        if len(calls) == 5:
            raise KeyboardInterrupt

    operator = counting()
    with pytest.raises(KeyboardInterrupt):
        run(operator, checkpoint=stop_at_five, classify=False)
    assert operator.applications == 4


# --- randomness ---

WITHOUT_GLOBAL_RANDOMNESS = """
import random
import numpy as np
import torch
from spinlock.numerics.noise import noise
from spinlock.operators import build, operator_digest
from spinlock.rollout import UpdatePolicy, roll_out

def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

def result():
    operator = build("cnn", {}, channels=2, seed=0, sample=0)
    rollout = roll_out(operator, torch.ones(2, 16, 16), policy=UpdatePolicy.of("convex", {}),
                       noise=noise(noise_scale=0.1, spatial_correlation=0.1, dropout_rate=0.1),
                       seed=0, sample=0, num_realizations=2, num_timesteps=16)
    return operator_digest(operator), rollout.final.flatten().tolist(), rollout.lyapunov

before = states()
first = result()
assert states() == before
random.random(), np.random.rand(), torch.rand(3)
assert result() == first
print("unmoved")
"""


def test_no_global_generator_is_read_or_moved():
    """In a process of its own, because the type checker of the tests draws random numbers itself."""
    program = [sys.executable, "-c", WITHOUT_GLOBAL_RANDOMNESS]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "unmoved\n"), done.stderr


# --- properties ---


@settings(deadline=None, derandomize=True, database=None, max_examples=25)
@given(
    options=st.sampled_from(NOISES),
    policy=st.sampled_from(["autoregressive", "residual", "convex"]),
    normalization=st.sampled_from(["none", "instance", "batch"]),
    gain=st.sampled_from([0.3, 1.0, 30.0]),
    steps=st.integers(1, 18),
    realizations=st.integers(1, 3),
    seed=st.integers(0, 2**64 - 1),
)
def test_counts_frames_and_labels_agree(options, policy, normalization, gain, steps, realizations, seed):
    operator = network(normalization=normalization, gain=gain, activation="relu")
    result = run(operator, policy=policy, steps=steps, realizations=realizations, seed=seed, **options)
    for m, count in enumerate(result.finite_steps):
        assert torch.isfinite(result.frames[m, :count]).all()
        assert torch.isnan(result.frames[m, count:]).all()
    assert (result.float16_steps <= result.finite_steps).all()
    assert (result.finite_steps >= 1).all()
    diverged = bool((result.finite_steps <= steps).any())
    assert (result.dynamics == "diverged") == diverged
    assert diverged or (result.dynamics == "short") == (steps < 16)
    assert math.isfinite(result.lyapunov) == (result.dynamics not in ("diverged", "short"))
