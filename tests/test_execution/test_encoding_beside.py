"""Rows encoded beside computation keep their order and their errors, and at most two are in memory."""

import threading

import pytest

from spinlock.execution.encoding import encoded_beside


class Rows:
    """Ten rows; counts those that were computed and not yet handed on."""

    def __init__(self, bad: int | None = None, count: int = 10) -> None:
        self.computed = self.taken = self.most = 0
        self.bad, self.count = bad, count
        self.threads: set[str] = set()

    def calls(self):
        for index in range(self.count):
            self.computed += 1
            self.most = max(self.most, self.computed - self.taken)
            yield lambda index=index: self.encode(index)

    def encode(self, index: int) -> int:
        self.threads.add(threading.current_thread().name.rpartition("_")[0])
        if index == self.bad:
            raise ValueError(f"row {index} is bad")
        return index

    def take(self, rows) -> list[int]:
        taken = []
        for row in rows:
            self.taken += 1
            taken.append(row)
        return taken


@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_rows_come_in_order_from_another_thread_two_at_a_time(count):
    rows = Rows(count=count)
    assert rows.take(encoded_beside(rows.calls())) == list(range(count))
    assert rows.threads <= {"spinlock-encoding"}
    assert rows.most == min(count, 2)


@pytest.mark.parametrize("bad", [0, 5, 9])
def test_an_error_comes_in_its_turn(bad):
    rows, taken = Rows(bad), []
    with pytest.raises(ValueError, match=f"row {bad} is bad"):
        taken.extend(rows.take(encoded_beside(rows.calls())))
    assert rows.taken == bad
    assert rows.computed <= bad + 2


def test_an_error_of_the_computation_ends_it():
    def calls():
        yield lambda: 0
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        list(encoded_beside(calls()))


def test_closing_leaves_no_thread():
    before = set(threading.enumerate())
    rows = encoded_beside(Rows().calls())
    assert next(rows) == 0
    rows.close()
    assert set(threading.enumerate()) == before
