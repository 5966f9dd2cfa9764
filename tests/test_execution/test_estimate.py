"""An estimate counts what a plan really does, and grows with it as it should."""

import math

import pytest
import torch

import tiny
from spinlock.execution import estimate as estimates
from spinlock.execution import simulate as simulation
from spinlock.execution.estimate import Correction, applications, calibrate, estimate, extreme_draws
from spinlock.execution.plan import make_plan
from spinlock.execution.simulate import build_operator


def plan_of(tmp_path, changes=None, settings=tiny.PLAIN):
    return make_plan(tiny.config_of(tmp_path / "a.h5", settings, changes))


NOISE = {"noise_scale": {"type": "continuous", "bounds": [0.1, 0.2]}}


class Counting:
    """An operator that counts the states it is applied to."""

    def __init__(self, operator):
        self.operator, self.lockstep, self.applications = operator, operator.lockstep, 0

    def ensemble(self, states, hooks, peers):
        self.applications += len(states)
        return self.operator.ensemble(states, hooks, peers)


@pytest.mark.parametrize("steps", [1, 16])
def test_applications_are_those_that_a_rollout_makes(tmp_path, monkeypatch, steps):
    monkeypatch.setattr(simulation, "build_operator", lambda *words: Counting(build_operator(*words)))
    locations = {"noise_location": {"type": "choice", "choices": ["state", "hidden", "output"]}}
    quiet = {"noise_scale": {"type": "choice", "choices": [0.0, 0.1]}}
    changes = {"simulation.num_timesteps": steps, "parameter_space.stochastic": locations | quiet}
    plan, seen = plan_of(tmp_path, {**changes, "sampling.total_samples": 40}, tiny.EVERYTHING), set()
    for draw in plan.draws(0, 40):
        sample = simulation.simulate(plan, draw, torch.device("cpu"))
        if (sample.rollout.finite_steps == steps + 1).all():
            assert sample.operator.applications == applications(plan, draw)
            values = draw.values
            seen.add((values["noise_scale"], values["noise_location"], values["normalization"] == "batch"))
    assert len(seen) >= 9


@pytest.mark.parametrize(("steps", "noisy", "silent"), [(1, 2, 1), (15, 30, 15), (16, 48, 32)])
def test_applications_count_realizations_that_differ_and_the_twin(tmp_path, steps, noisy, silent):
    for noise, count in ((NOISE, noisy), ({}, silent)):
        changes = {"simulation.num_timesteps": steps, "parameter_space.stochastic": noise}
        plan = plan_of(tmp_path, changes)
        assert applications(plan, plan.draw(0)) == count


def test_operations_are_those_of_the_convolutions(tmp_path):
    cost = estimate(plan_of(tmp_path, {"parameter_space.stochastic": NOISE}))
    multiplications = 9 * (1 * 32 + 32 * 32 + 32 * 32) + 32 * 1
    assert cost.flops == 3 * 2 * 2 * 16 * 16 * multiplications
    assert cost.architectures == 1


def test_data_are_the_fields_that_are_stored(tmp_path):
    assert estimate(plan_of(tmp_path)).data_bytes == 3 * (1 + 2) * 16 * 16 * 4
    changes = {
        "simulation.num_timesteps": 4,
        "dataset.storage": {"trajectories": "all", "precision": "float16"},
    }
    assert estimate(plan_of(tmp_path, changes)).data_bytes == 3 * (1 + 2 * (1 + 5)) * 16 * 16 * 2


def sample_seconds(plan, correction=estimates.TYPICAL):
    return estimate(plan, correction).core_seconds - plan.num_shards * estimates.SHARD_SECONDS


def test_costs_grow_with_the_samples_and_memory_does_not(tmp_path):
    small, large = (plan_of(tmp_path, {"sampling.total_samples": n}) for n in (3000, 300_000))
    few, many = estimate(small), estimate(large)
    assert math.isclose(many.flops, 100 * few.flops, rel_tol=1e-9)
    assert math.isclose(many.data_bytes, 100 * few.data_bytes, rel_tol=1e-9)
    assert math.isclose(sample_seconds(large), 100 * sample_seconds(small), rel_tol=1e-9)
    assert many.memory_bytes == few.memory_bytes
    assert many.surveyed == estimates.SURVEYED


def test_a_correction_scales_the_time_of_starting_and_of_rolling_out(tmp_path):
    plan = plan_of(tmp_path)
    typical, slow = estimate(plan), estimate(plan, Correction(start=5.0, rollout=3.0))
    rollouts = 3 * estimates.rollout_seconds(plan, plan.draw(0), applications(plan, plan.draw(0)), 2)
    more = 3 * 4 * estimates.START_SECONDS + 2 * rollouts
    assert math.isclose(slow.core_seconds, typical.core_seconds + more, rel_tol=1e-9)
    assert slow.flops == typical.flops


@pytest.mark.parametrize(
    ("location", "dropout", "normals"),
    [
        ("state", 0.0, 256),
        ("output", 0.0, 256),
        ("hidden", 0.0, 3 * 32 * 256),
        ("state", 0.1, 256 + 3 * 32 * 256),
    ],
)
def test_random_numbers_are_those_of_the_place_where_noise_acts(tmp_path, location, dropout, normals):
    stochastic = NOISE | {
        "noise_location": {"type": "choice", "choices": [location]},
        "dropout_rate": {"type": "choice", "choices": [dropout]},
    }
    plan = plan_of(tmp_path, {"parameter_space.stochastic": stochastic})
    assert estimates.normals_drawn(plan, plan.draw(0)) == normals


def test_at_most_32_operators_are_built_and_they_span_the_space(tmp_path):
    plan = plan_of(tmp_path, {"sampling.total_samples": 500}, tiny.EVERYTHING)
    chosen = extreme_draws(plan)
    assert len(chosen) <= estimates.CALIBRATED
    gains = [draw.values["gain"] for draw in plan.draws(0, 500)]
    assert {min(gains), max(gains)} <= {draw.values["gain"] for draw in chosen}
    with tiny.unchecked_shapes():
        built, correction = calibrate(plan, chosen[:4], torch.device("cpu"))
    assert built == 4
    assert correction.start > 0
    assert correction.rollout > 0


def test_a_calibration_ends_early_when_it_takes_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(estimates, "CALIBRATION_SECONDS", 0.0)
    plan = plan_of(tmp_path)
    built, _ = calibrate(plan, plan.draws(0, 3), torch.device("cpu"))
    assert built == 2
