"""What is in flight is halved when memory runs out, each time once; what fails alone fails."""

import logging
import threading

import pytest
import torch

import tiny
from spinlock.execution import in_flight
from spinlock.execution.estimate import PROCESS_BYTES, estimate
from spinlock.execution.in_flight import InFlight, ShortOfMemoryError, most_in_flight
from spinlock.execution.plan import make_plan

CPU = torch.device("cpu")


def nothing() -> None:
    pass


def test_eight_are_halved_to_four_and_those_who_began_before_halve_no_more(caplog):
    flight = InFlight(8)
    places = [flight.enter() for _ in range(8)]
    with caplog.at_level(logging.WARNING, "spinlock"):
        assert [flight.ran_out(place, "no room") for place in places[:3]] == [True, True, True]
    assert flight.limit == 4
    (record,) = caplog.records
    assert (
        "memory ran out with 8 samples in flight (no room); from now on there are at most 4" in record.message
    )


def test_it_goes_down_to_one_and_then_no_further():
    flight, seen = InFlight(8), []
    while True:
        places = [flight.enter() for _ in range(flight.limit)]
        seen.append(flight.limit)
        again = flight.ran_out(places[0], "no room")
        for place in places:
            flight.leave(place)
        if not again:
            break
    assert seen == [8, 4, 2, 1]
    assert flight.limit == 1


def test_a_place_is_given_when_another_is_given_back():
    flight = InFlight(1)
    first, order = flight.enter(), []

    def second() -> None:
        with flight.place(nothing):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    order.append("first")
    flight.leave(first)
    thread.join(20)
    assert order == ["first", "second"]


def test_who_waits_for_a_place_can_be_stopped():
    flight, asked = InFlight(1), []
    flight.enter()

    def check() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flight.enter(check)
    assert len(asked) == 2
    assert len(flight._inside) == 1


def test_company_that_has_left_meanwhile_counts():
    flight = InFlight(2)
    one, other = flight.enter(), flight.enter()
    flight.leave(other)
    assert flight.ran_out(one, "no room")
    assert flight.limit == 1


def test_alone_it_fails_at_once_and_nothing_is_halved():
    flight, tries = InFlight(4), []

    def work() -> None:
        tries.append(1)
        raise MemoryError("no room")

    with pytest.raises(
        ShortOfMemoryError,
        match=r"sample 7 needs more memory than was free with no other in flight .*MemoryError: no room",
    ) as told:
        flight.compute(work, 7, CPU, nothing)
    for word in ("num_realizations", "grid_size", "memory_fraction"):
        assert word in str(told.value)
    assert len(tries) == 1
    assert flight.limit == 4
    assert flight.has_room


def test_another_error_is_handed_on_and_nothing_is_halved():
    flight = InFlight(4)
    flight.enter()

    def work() -> None:
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        flight.compute(work, 7, CPU, nothing)
    assert flight.limit == 4
    assert len(flight._inside) == 1


def plan_of(tmp_path, changes=None):
    return make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, changes))


def test_as_many_fit_as_the_share_of_the_free_memory_holds(tmp_path, monkeypatch):
    plan = plan_of(tmp_path, {"simulation.memory_fraction": 0.5})
    process = estimate(plan).memory_bytes
    sample = process - PROCESS_BYTES
    free = 2 * 10 * sample + 1
    monkeypatch.setattr(in_flight, "free_bytes", lambda device: free)
    assert most_in_flight(plan, [CPU], processes=False) == 10
    free = 2 * 3 * process + 1
    assert most_in_flight(plan, [CPU], processes=True) == 3
    free = 10
    assert most_in_flight(plan, [CPU], processes=True) == 1
    free = None
    assert most_in_flight(plan, [CPU], processes=True) is None


@pytest.mark.parametrize(
    ("slots", "most"),
    [
        (["cuda:0", "cuda:1"], 9),  # five and four: the next one would be the fifth on cuda:1
        (["cuda:0"], 9),
        (["cuda:1", "cuda:1"], 4),
        (["cuda:0", "cuda:0", "cuda:1"], 13),
        (["cpu", "cuda:1"], 4),
    ],
)
def test_no_device_is_given_more_than_fit_there(tmp_path, monkeypatch, slots, most):
    plan = plan_of(tmp_path, {"simulation.memory_fraction": 1.0})
    sample = estimate(plan).memory_bytes - PROCESS_BYTES
    free = {"cuda:0": 9 * sample, "cuda:1": 4 * sample, "cpu": 2 * estimate(plan).memory_bytes}
    monkeypatch.setattr(in_flight, "free_bytes", lambda device: free[str(device)])
    assert most_in_flight(plan, [torch.device(name) for name in slots], processes=True) == most
