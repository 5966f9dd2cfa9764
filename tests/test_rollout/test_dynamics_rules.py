"""The rules of the label at their bounds: exactly a fifth, a twentieth, one percent, nothing left at all."""

import math

import pytest
import torch

from spinlock.rollout import ensemble
from spinlock.rollout.dynamics import Monitor
from test_rollout.stub_operators import Stub, network, run
from test_rollout.test_dynamics import field, monitored, observe


def with_distances(*distances):
    """Return a monitor that saw such distances from the state of the middle."""
    monitor = Monitor(field(), 2 * len(distances))
    monitor._distances = list(distances)
    return monitor


def test_a_return_is_within_a_twentieth_after_more_than_a_fifth():
    assert with_distances(1.01, 0.0, 5.0, 0.0)._period() == 2
    assert with_distances(1.0, 0.0, 5.0, 0.0)._period() is None  # a fifth and no more
    assert with_distances(2.0, 0.25, 5.0, 0.25)._period() == 2  # a twentieth and no more
    assert with_distances(2.0, 0.26, 5.0, 0.25)._period() is None
    assert with_distances(2.0, 0.25, 5.0, 0.26)._period() is None


def test_a_period_fits_twice_and_is_the_least():
    assert with_distances(5.0, 5.0, 0.0, 5.0, 5.0, 0.0)._period() == 3
    assert with_distances(5.0, 5.0, 0.0, 5.0, 5.0)._period() is None
    assert with_distances(*([5.0, 0.0] * 4))._period() == 2
    assert with_distances(0.0, 0.0, 0.0, 0.0)._period() is None


def test_growth_of_one_percent_a_step_is_not_more_than_that():
    monitor = monitored([field()] * 33)
    bar = monitor._reference_rms * math.exp(0.01 * 16)
    for size, label in ((bar, "frozen"), (math.nextafter(bar, math.inf), "growing")):
        monitor._rms = size
        assert monitor.label(0.0) == label


@pytest.mark.parametrize("silent", [True, False])
def test_the_monitor_sees_the_frames_of_realization_0_and_no_others(monkeypatch, silent):
    seen = []

    class Recorder(Monitor):
        def observe(self, frame, before, x):
            seen.append((frame, before.clone(), x.clone()))
            super().observe(frame, before, x)

    monkeypatch.setattr(ensemble, "Monitor", Recorder)
    result = run(network(), steps=17, noise_scale=0.0 if silent else 0.1)
    frames = result.frames[0]
    assert [frame for frame, _, _ in seen] == list(range(1, 18))
    for frame, before, x in seen:
        assert torch.equal(before[0], frames[frame - 1])
        assert torch.equal(x[0], frames[frame])


def test_a_state_that_vanishes_altogether_is_dead():
    """Its size at the end is zero, of which there is no logarithm."""
    vanishing = Stub(lambda x: torch.zeros_like(x) if float(x.abs().amax()) < 1e-3 else 0.5 * x)
    result = observe(vanishing, steps=20)
    assert result.dynamics == "dead"
    assert math.isfinite(result.lyapunov)
    assert result.lyapunov < 0
