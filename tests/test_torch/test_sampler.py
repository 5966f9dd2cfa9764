"""A batch sampler: the batches of the stream, divided over ranks, resumed where the consumer stood."""

import json

import pytest
from torch.utils.data import DataLoader

from spinlock.dataset import VirtualDataset
from spinlock.errors import UsageError
from spinlock.torch import SpinlockDataset, SpinlockIterable, SpinlockSampler


@pytest.fixture
def items(stored):
    return SpinlockDataset(stored, arrays=("inputs",), roll=True)


def loaded(sampler, workers=0, **how):
    loader = DataLoader(sampler.dataset, batch_sampler=sampler, num_workers=workers, **how)
    return sampler.counted(loader)


def seen(batches):
    """What is in each batch: its items, and how they are rolled."""
    return [(batch["index"].tolist(), batch["inputs"].numpy().tobytes()) for batch in batches]


@pytest.mark.parametrize(
    ("workers", "context"), [(0, None), (2, "fork"), pytest.param(2, "spawn", marks=pytest.mark.slow)]
)
def test_its_batches_are_those_of_the_stream(items, workers, context):
    stream = SpinlockIterable(items, 4, seed=1, block=2, buffer=3)
    sampler = SpinlockSampler(items, 4, seed=1, block=2, buffer=3)
    expected = [seen(stream.counted(DataLoader(stream, batch_size=None))) for _ in range(2)]
    assert expected[0] != expected[1]
    assert [seen(loaded(sampler, workers, multiprocessing_context=context)) for _ in range(2)] == expected
    assert sampler.epoch == 2
    assert len(sampler) == len(expected[0])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("asks", [False, True], ids=["counting", "setting epochs"])
def test_it_goes_on_in_the_middle_of_an_epoch(items, workers, asks):
    """Workers fetch batches ahead; what was not taken comes again."""
    whole = SpinlockSampler(items, 4, seed=1)
    expected = [seen(loaded(whole)) for _ in range(3)]
    left = SpinlockSampler(items, 4, seed=1)
    left.epoch = 1
    stream = loaded(left, workers)
    begun = seen(next(stream) for _ in range(2))
    state = json.loads(json.dumps(left.state_dict()))
    assert (state["epoch"], state["batch"]) == (1, 2)
    del stream
    resumed = SpinlockSampler(items, 4, seed=1)
    resumed.load_state_dict(state)
    for epoch, before in ((1, begun), (2, [])):
        if asks:
            resumed.set_epoch(epoch)
        assert before + seen(loaded(resumed, workers)) == expected[epoch]


def test_setting_another_epoch_begins_it(items):
    sampler = SpinlockSampler(items, 4, seed=1)
    first, second = ([*sampler], [*sampler])
    assert first == second, "without counting and without set_epoch an epoch comes again"
    sampler.set_epoch(1)
    third = [*sampler]
    assert third != first
    assert sorted(item for batch in third for item in batch) == list(range(21))
    next(loaded(sampler))
    sampler.set_epoch(0)
    assert [*sampler] == first


def test_a_state_after_the_last_batch_is_the_end_of_the_epoch(items):
    sampler, resumed = SpinlockSampler(items, 4), SpinlockSampler(items, 4)
    stream = loaded(sampler)
    for _ in range(len(sampler)):
        next(stream)
    resumed.load_state_dict(sampler.state_dict())
    assert seen(loaded(resumed)) == []
    assert resumed.epoch == 1


def test_workers_that_live_on_roll_by_the_epoch(items):
    sampler = SpinlockSampler(items, 4, seed=1)
    expected = [seen(loaded(sampler)) for _ in range(2)]
    sampler.epoch = 0
    loader = DataLoader(items, batch_sampler=sampler, num_workers=2, persistent_workers=True)
    assert [seen(sampler.counted(loader)) for _ in range(2)] == expected


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_an_epoch(items, ranks):
    parts = [[*SpinlockSampler(items, 4, rank=rank, num_ranks=ranks)] for rank in range(ranks)]
    whole = [*SpinlockSampler(items, 4)]
    assert [batch for turn in zip(*parts, strict=True) for batch in turn] == whole[: 6 // ranks * ranks]


def test_a_state_of_the_stream_is_one_of_the_sampler(items):
    stream, sampler = SpinlockIterable(items, 4, seed=1), SpinlockSampler(items, 4, seed=1)
    taken = stream.counted(DataLoader(stream, batch_size=None))
    begun = [next(taken)["index"].tolist() for _ in range(3)]
    sampler.load_state_dict(stream.state_dict())
    rest = [indices for indices, _ in seen(loaded(sampler))]
    assert sorted(item for batch in begun + rest for item in batch) == list(range(21))


def test_a_state_of_another_order_is_refused(items):
    state = SpinlockSampler(items, 4, seed=2).state_dict()
    with pytest.raises(UsageError, match=r"another order of batches .*seed 2 there, 0 here"):
        SpinlockSampler(items, 4).load_state_dict(state)


@pytest.mark.parametrize("kind", ["sampler", "stream"])
def test_a_loop_that_was_broken_off_counts_from_where_the_next_one_begins(items, kind):
    """Its state, taken up elsewhere, skips nothing."""
    expected = seen(loaded(SpinlockSampler(items, 4, seed=1)))

    def fresh():
        if kind == "sampler":
            sampler = SpinlockSampler(items, 4, seed=1)
            return sampler, lambda: loaded(sampler)
        stream = SpinlockIterable(items, 4, seed=1)
        return stream, lambda: stream.counted(DataLoader(stream, batch_size=None))

    order, begin = fresh()
    for number, _ in enumerate(begin()):
        if number == 1:
            break
    again = begin()
    assert seen([next(again)]) == expected[:1]
    resumed, go_on = fresh()
    resumed.load_state_dict(order.state_dict())
    assert seen(go_on()) == expected[1:]


def test_a_state_of_other_items_is_refused_and_one_of_the_same_made_on_demand_is_taken(stored):
    few = [SpinlockDataset(stored, rows=rows) for rows in ([0, 1, 2, 3], [0, 1, 2, 4], [3, 2, 1, 0])]
    state = SpinlockSampler(few[0], 2).state_dict()
    for other in few[1:]:
        with pytest.raises(UsageError, match="another dataset, or of other rows or windows"):
            SpinlockSampler(other, 2).load_state_dict(state)
    online = SpinlockDataset(VirtualDataset(stored.config), rows=[0, 1, 2, 3])
    SpinlockSampler(online, 2).load_state_dict(state)


def test_a_state_beyond_the_epoch_is_refused(items):
    sampler = SpinlockSampler(items, 4, seed=1)
    with pytest.raises(UsageError, match="at batch 99; an epoch here has"):
        sampler.load_state_dict(sampler.state_dict() | {"batch": 99})
