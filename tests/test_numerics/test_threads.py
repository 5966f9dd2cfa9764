"""Pinning torch to one thread: inside, afterwards, nested, after an error, and in several threads at once."""

import threading

import pytest
import torch

from spinlock.numerics.threads import single_thread


@pytest.fixture(autouse=True)
def _restore():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_one_thread_inside_and_the_same_as_before_afterwards():
    with single_thread():
        assert torch.get_num_threads() == 1
        with single_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_an_error_restores_the_count():
    with pytest.raises(RuntimeError, match="stop"), single_thread():
        raise RuntimeError("stop")
    assert torch.get_num_threads() == 2


def test_overlapping_threads_keep_to_one_and_get_their_own_count_back():
    """The first leaves while the second is inside; the second starts while the first is inside."""
    first_inside, second_inside, first_left = threading.Event(), threading.Event(), threading.Event()
    counts = {}

    def first():
        torch.set_num_threads(2)
        with single_thread():
            first_inside.set()
            assert second_inside.wait(10)
        counts["first after"] = torch.get_num_threads()
        first_left.set()

    def second():
        assert first_inside.wait(10)
        with single_thread():
            second_inside.set()
            assert first_left.wait(10)
            counts["second inside"] = torch.get_num_threads()
        counts["second after"] = torch.get_num_threads()

    threads = [threading.Thread(target=part) for part in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {"first after": 2, "second inside": 1, "second after": 2}
    assert torch.get_num_threads() == 2
