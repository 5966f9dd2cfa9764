"""A stream of batches: the same for any number of workers, divided over ranks, resumed where it was left."""

import json

import pytest
import torch
from torch.utils.data import DataLoader

from spinlock.errors import UsageError
from spinlock.torch import SpinlockDataset, SpinlockIterable


@pytest.fixture
def items(stored):
    return SpinlockDataset(stored, arrays=("inputs",), roll=True)


def seen(batches):
    return [(batch["index"].tolist(), batch["inputs"].sum().item()) for batch in batches]


def loaded(batches, workers=0, context=None):
    loader = DataLoader(batches, batch_size=None, num_workers=workers, multiprocessing_context=context)
    return batches.counted(loader)


def test_an_epoch_holds_every_item_once_and_the_next_in_another_order(items):
    batches = SpinlockIterable(items, 4, seed=1, block=2, buffer=3)
    assert len(batches) == 6
    first, second = seen(loaded(batches)), seen(loaded(batches))
    assert batches.epoch == 2
    for epoch in (first, second):
        assert sorted(index for indices, _ in epoch for index in indices) == list(range(21))
    assert first != second
    assert [len(indices) for indices, _ in first] == [4, 4, 4, 4, 4, 1]


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
@pytest.mark.parametrize(
    ("workers", "context"),
    [
        (2, "fork"),
        (2, "forkserver"),
        pytest.param(2, "spawn", marks=pytest.mark.slow),
        pytest.param(4, "spawn", marks=pytest.mark.slow),
        pytest.param(4, "fork", marks=pytest.mark.slow),
        pytest.param(4, "forkserver", marks=pytest.mark.slow),
    ],
)
def test_workers_change_nothing(items, workers, context):
    alone = seen(loaded(SpinlockIterable(items, 4, seed=1)))
    assert seen(loaded(SpinlockIterable(items, 4, seed=1), workers, context)) == alone


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_left_in_the_middle_goes_on(items, workers):
    whole = SpinlockIterable(items, 4, seed=1)
    expected = [seen(loaded(whole)) for _ in range(3)]
    left = SpinlockIterable(items, 4, seed=1)
    seen(loaded(left, workers))
    stream = loaded(left, workers)
    begun = seen(next(stream) for _ in range(2))
    state = json.loads(json.dumps(left.state_dict()))
    assert (state["epoch"], state["batch"]) == (1, 2)
    stream.close()
    resumed = SpinlockIterable(items, 4, seed=1)
    resumed.load_state_dict(state)
    assert begun + seen(loaded(resumed, workers)) == expected[1]
    assert seen(loaded(resumed, workers)) == expected[2]


def test_workers_that_live_on_go_on_with_the_next_epoch(items):
    batches = SpinlockIterable(items, 4, seed=1)
    expected = [seen(loaded(batches)) for _ in range(2)]
    batches.epoch = 0
    loader = DataLoader(batches, batch_size=None, num_workers=2, persistent_workers=True)
    assert [seen(batches.counted(loader)) for _ in range(2)] == expected


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_ranks_share_an_epoch_without_overlap_in_equal_parts(items, ranks):
    parts = [seen(loaded(SpinlockIterable(items, 4, rank=rank, num_ranks=ranks))) for rank in range(ranks)]
    assert len({len(part) for part in parts}) == 1
    indices = [index for part in parts for found, _ in part for index in found]
    assert len(indices) == len(set(indices))
    whole = seen(loaded(SpinlockIterable(items, 4)))
    merged = [batch for turn in zip(*parts, strict=True) for batch in turn]
    assert merged == whole[: len(merged)]
    assert len(whole) - len(merged) < ranks


def test_a_last_batch_that_is_not_full_can_be_left_out(items):
    batches = SpinlockIterable(items, 4, drop_last=True)
    assert [len(indices) for indices, _ in seen(loaded(batches))] == [4] * 5 == [4] * len(batches)


def test_the_order_of_rolls_is_that_of_the_epoch(items):
    """The same items are shown rolled otherwise in another epoch."""
    batches = SpinlockIterable(items, 21, shuffle=False)
    first, second = next(loaded(batches)), None
    batches.epoch = 1
    second = next(loaded(batches))
    assert first["index"].tolist() == second["index"].tolist() == list(range(21))
    assert not torch.equal(first["inputs"], second["inputs"])


@pytest.mark.parametrize("change", [{"seed": 2}, {"batch_size": 5}, {"block": 3}, {"shuffle": False}])
def test_a_state_of_another_order_is_refused(items, change):
    state = SpinlockIterable(items, **{"batch_size": 4, **change}).state_dict()
    with pytest.raises(UsageError, match=f"another order of batches .*{next(iter(change))}"):
        SpinlockIterable(items, 4).load_state_dict(state)


@pytest.mark.parametrize(
    "arguments",
    [{"batch_size": 0}, {"batch_size": 4, "rank": 1}, {"batch_size": 4, "rank": -1, "num_ranks": 2}],
)
def test_numbers_out_of_range_are_refused(items, arguments):
    with pytest.raises(UsageError, match="batch_size must be at least 1, and rank"):
        SpinlockIterable(items, **arguments)


def test_an_epoch_without_a_batch_for_every_rank_is_refused(items):
    with pytest.raises(UsageError, match="give 3 ranks no batch each"):
        SpinlockIterable(items, 11, num_ranks=3)
