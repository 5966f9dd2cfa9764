"""An estimate counts what a plan really does, and grows with it as it should."""

import math

import pytest
import torch

import tiny
from spinlock.execution import estimate as estimates
from spinlock.execution.estimate import applications, calibrate, estimate, extreme_draws
from spinlock.execution.plan import make_plan


def plan_of(tmp_path, changes=None, settings=tiny.PLAIN):
    return make_plan(tiny.config_of(tmp_path / "a.h5", settings, changes))


NOISE = {"noise_scale": {"type": "continuous", "bounds": [0.1, 0.2]}}


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


def simulation_seconds(plan, correction=1.0):
    return estimate(plan, correction).core_seconds - plan.num_shards * estimates.SHARD_SECONDS


def test_costs_grow_with_the_samples_and_memory_does_not(tmp_path):
    small, large = (plan_of(tmp_path, {"sampling.total_samples": n}) for n in (3000, 300_000))
    few, many = estimate(small), estimate(large)
    assert math.isclose(many.flops, 100 * few.flops, rel_tol=1e-9)
    assert math.isclose(many.data_bytes, 100 * few.data_bytes, rel_tol=1e-9)
    assert math.isclose(simulation_seconds(large), 100 * simulation_seconds(small), rel_tol=1e-9)
    assert many.memory_bytes == few.memory_bytes
    assert many.surveyed == estimates.SURVEYED


def test_a_correction_scales_the_time_of_simulating_alone(tmp_path):
    plan = plan_of(tmp_path)
    assert math.isclose(simulation_seconds(plan, 3.0), 3 * simulation_seconds(plan), rel_tol=1e-9)
    assert estimate(plan, 3.0).flops == estimate(plan).flops


def test_at_most_32_operators_are_built_and_they_span_the_space(tmp_path):
    plan = plan_of(tmp_path, {"sampling.total_samples": 500}, tiny.EVERYTHING)
    chosen = extreme_draws(plan)
    assert len(chosen) <= estimates.CALIBRATED
    gains = [draw.values["gain"] for draw in plan.draws(0, 500)]
    assert {min(gains), max(gains)} <= {draw.values["gain"] for draw in chosen}
    with tiny.unchecked_shapes():
        built, correction = calibrate(plan, chosen[:4], torch.device("cpu"))
    assert built == 4
    assert correction > 0


def test_a_calibration_ends_early_when_it_takes_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(estimates, "CALIBRATION_SECONDS", 0.0)
    plan = plan_of(tmp_path)
    built, _ = calibrate(plan, plan.draws(0, 3), torch.device("cpu"))
    assert built == 2
