"""Threads that simulate get the interpreter soon, and the interval is as before when the last has left."""

import sys

import pytest

from spinlock.execution.executors.switching import SWITCH_SECONDS, prompt_switching


@pytest.fixture(autouse=True)
def interval():
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_the_interval_is_short_inside_and_restored_by_the_last():
    sys.setswitchinterval(0.005)
    with prompt_switching():
        with prompt_switching():
            assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    assert sys.getswitchinterval() == pytest.approx(0.005)


def failing() -> None:
    with prompt_switching():
        raise ValueError("no luck")


def test_it_is_restored_after_an_error():
    before = sys.getswitchinterval()
    with pytest.raises(ValueError, match="no luck"):
        failing()
    assert sys.getswitchinterval() == pytest.approx(before, abs=2e-6)


def test_a_shorter_interval_is_left_alone():
    sys.setswitchinterval(0.0001)
    before = sys.getswitchinterval()
    with prompt_switching():
        assert sys.getswitchinterval() == pytest.approx(before, abs=2e-6)
