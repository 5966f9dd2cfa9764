"""Denormal numbers count as zero inside, and as before afterwards: nested, after an error, by thread."""

import threading

import numpy as np
import pytest
import torch

from spinlock.numerics.denormals import denormals_are_zero, zero_denormals
from spinlock.numerics.pinned import pinned_arithmetic

needs_mode = pytest.mark.skipif(
    not torch.set_flush_denormal(False), reason="this processor always computes with denormal numbers"
)
pytestmark = needs_mode


@pytest.fixture(autouse=True)
def _restore():
    torch.set_flush_denormal(False)
    yield
    torch.set_flush_denormal(False)


def products() -> list[float]:
    """A denormal float32 times one, and a normal product that is denormal, in torch and in NumPy."""
    small, one = np.array([1e-39], np.float32), np.float32(1)
    tiny = torch.tensor([1e-30])
    return [(small * one).item(), (torch.from_numpy(small) * 1).item(), (tiny * 1e-10).item()]


@pytest.mark.parametrize("context", [zero_denormals, pinned_arithmetic])
def test_they_are_zero_inside_and_themselves_afterwards(context):
    outside = products()
    assert all(value > 0 for value in outside)
    with context():
        assert denormals_are_zero()
        assert products() == [0, 0, 0]
        with context():
            assert products() == [0, 0, 0]
        assert products() == [0, 0, 0]
    assert not denormals_are_zero()
    assert products() == outside


def test_the_smallest_normal_number_stays():
    smallest = torch.tensor([torch.finfo(torch.float32).smallest_normal])
    with zero_denormals():
        assert (smallest * 1).item() == 2.0**-126
        assert (smallest * 0.5).item() == 0


def test_an_error_restores_the_mode():
    with pytest.raises(RuntimeError, match="stop"), zero_denormals():
        raise RuntimeError("stop")
    assert not denormals_are_zero()


def test_a_caller_who_takes_them_for_zero_keeps_doing_so():
    torch.set_flush_denormal(True)
    with zero_denormals():
        assert denormals_are_zero()
    assert denormals_are_zero()


def test_other_threads_keep_their_mode():
    inside, looked = threading.Event(), threading.Event()
    seen = {}

    def other():
        assert inside.wait(10)
        seen["other"] = denormals_are_zero()
        looked.set()

    def pinned():
        with zero_denormals():
            inside.set()
            assert looked.wait(10)
            seen["pinned"] = denormals_are_zero()

    threads = [threading.Thread(target=part) for part in (other, pinned)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"other": False, "pinned": True}
