"""Items are rows or windows of them as tensors: whole, cropped, rolled, scaled; alike in every worker."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from spinlock.dataset import VirtualDataset, open_dataset
from spinlock.dataset.statistics import statistics
from spinlock.errors import UnknownNameError, UsageError
from spinlock.torch import SpinlockDataset, Window

ALL = ("inputs", "outputs", "trajectories", "parameters")


def equal(first, second):
    return first.keys() == second.keys() and all(
        first[name].numpy().tobytes() == second[name].numpy().tobytes() for name in first
    )


def test_an_item_is_its_row(stored, trained_on):
    items = SpinlockDataset(trained_on, arrays=ALL)
    assert len(items) == 21
    for row in (0, 20, -1):
        item, sample = items[row], stored[row]
        assert item["index"].item() == sample.index
        for name in ALL[:3]:
            assert item[name].numpy().tobytes() == getattr(sample, name).tobytes()
        assert np.array_equal(item["parameters"].numpy(), stored.points[sample.index])


def test_rows_choose_and_order_the_items(stored):
    items = SpinlockDataset(stored, rows=[7, 3, 3])
    assert [item["index"].item() for item in (items[0], items[1], items[2])] == [7, 3, 3]


def test_a_virtual_dataset_gives_the_same_items(stored):
    made, read = (
        SpinlockDataset(VirtualDataset(stored.config), arrays=ALL),
        SpinlockDataset(stored, arrays=ALL),
    )
    assert equal(made[4], read[4])


def test_a_batch_is_its_items_in_the_order_asked_for(stored):
    items = SpinlockDataset(stored, roll=True)
    numbers = [9, 2, 9, 0, 17]
    assert all(
        equal(a, items[number]) for a, number in zip(items.__getitems__(numbers), numbers, strict=True)
    )


# --- windows ---


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (3, 1), (2, 3), (7, 1), (8, 1)])
def test_windows_are_all_the_finite_stretches(stored, length, stride):
    items = SpinlockDataset(stored, window=Window(length, stride))
    expected = []
    for sample in stored:
        for realization, frames in enumerate(sample.trajectories):
            for start in range(0, 7 - length + 1, stride):
                window = frames[start : start + length]
                if np.isfinite(window).all():
                    expected.append((sample.index, realization, start, window.tobytes()))
    found = []
    for number in range(len(items)):
        item = items[number]
        places = tuple(item[name].item() for name in ("index", "realization", "start"))
        found.append((*places, item["frames"].numpy().tobytes()))
    assert found == expected
    stopped = (stored.metadata["finite_steps"] < 7).sum()
    assert stopped > 0
    assert (length < 8) == (len(found) > 0)


def test_windows_of_chosen_rows_only(stored):
    items = SpinlockDataset(stored, rows=[5], window=Window(2))
    assert {items[number]["index"].item() for number in range(len(items))} == {5}


def test_windows_need_stored_trajectories(plain, stored):
    for source in (plain, VirtualDataset(stored.config)):
        with pytest.raises(UsageError, match="windows are cut from stored trajectories"):
            SpinlockDataset(source, window=Window(2))


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0), (-1, 1)])
def test_windows_of_nothing_are_refused(numbers):
    with pytest.raises(UsageError, match="length and stride must be at least 1"):
        Window(*numbers)


# --- augmentation ---


def test_a_roll_shifts_all_fields_of_an_item_alike(stored):
    plain, rolled = SpinlockDataset(stored)[3], SpinlockDataset(stored, roll=True)[3]
    shifts = [
        (y, x)
        for y in range(16)
        for x in range(16)
        if torch.equal(torch.roll(plain["inputs"], (-y, -x), (-2, -1)), rolled["inputs"])
    ]
    assert len(shifts) == 1
    ((y, x),) = shifts
    assert torch.equal(torch.roll(plain["outputs"], (-y, -x), (-2, -1)), rolled["outputs"])


@pytest.mark.parametrize("roll", [False, True])
def test_a_crop_is_a_square_of_the_field_and_reaches_over_the_edge_only_with_roll(stored, roll):
    items = SpinlockDataset(stored, crop=12, roll=roll)
    places = set()
    for number in range(21):
        field, cut = stored[number].inputs, items[number]["inputs"].numpy()
        assert cut.shape == (2, 12, 12)
        torus = np.pad(field, ((0, 0), (0, 11), (0, 11)), mode="wrap")
        found = [
            (y, x)
            for y in range(16)
            for x in range(16)
            if np.array_equal(torus[:, y : y + 12, x : x + 12], cut)
        ]
        assert len(found) == 1
        places |= set(found)
    assert len(places) > 5
    assert (max(max(place) for place in places) > 4) == roll


def test_places_are_keyed_by_seed_epoch_and_item(stored):
    def shown(seed, epoch, number):
        items = SpinlockDataset(stored, rows=[2, 2], roll=True, seed=seed)
        items.epoch = epoch
        return items[number]["inputs"].numpy().tobytes()

    kinds = {(s, e, n): shown(s, e, n) for s in (0, 1) for e in (0, 1) for n in (0, 1)}
    assert len(set(kinds.values())) == 8
    assert shown(1, 1, 1) == kinds[1, 1, 1]


def test_normalized_fields_have_no_mean_and_unit_deviation(stored):
    rows = [row for row in range(21) if np.isfinite(stored[row].outputs).all()]
    scale = {"outputs": statistics(stored, "outputs", rows)}
    items = SpinlockDataset(stored, rows=rows, normalize=scale)
    values = torch.stack([items[k]["outputs"] for k in range(len(rows))]).double()
    assert values.mean(dim=(0, 1, 3, 4)).abs().max() < 1e-4
    assert (values.std(dim=(0, 1, 3, 4), correction=0) - 1).abs().max() < 1e-4
    assert torch.equal(items[0]["inputs"], SpinlockDataset(stored, rows=rows)[0]["inputs"])


def test_a_constant_channel_is_only_centred(stored):
    found = statistics(stored, "inputs")
    flat = {"inputs": type(found)(found.count, [1.0, 0.0], [0.0, 1.0], found.minimum, found.maximum)}
    item = SpinlockDataset(stored, normalize=flat)[0]["inputs"].numpy()
    assert np.allclose(item[0], stored[0].inputs[0] - 1, atol=1e-6)


# --- workers ---


@pytest.mark.parametrize("context", ["fork", "forkserver", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_give_what_the_process_itself_gives(stored, trained_on, context):
    items = SpinlockDataset(stored, arrays=ALL, roll=True)
    items[0]  # the file is open before the workers are made
    here = list(DataLoader(items, batch_size=5))
    there = list(DataLoader(items, batch_size=5, num_workers=2, multiprocessing_context=context))
    assert len(here) == len(there) == 5
    assert all(equal(a, b) for a, b in zip(here, there, strict=True))


def test_it_pickles_with_its_epoch(stored):
    items = SpinlockDataset(stored, roll=True, crop=12)
    items.epoch = 4
    assert equal(pickle.loads(pickle.dumps(items))[3], items[3])


def test_workers_that_live_on_see_the_epoch_change(stored):
    items = SpinlockDataset(stored, roll=True)
    loader = DataLoader(items, batch_size=7, num_workers=1, persistent_workers=True)
    for epoch in (0, 1):
        items.epoch = epoch
        expected = list(DataLoader(items, batch_size=7))
        assert all(equal(a, b) for a, b in zip(loader, expected, strict=True))


# --- refusals ---


@pytest.mark.parametrize("rows", [[], [21], [-1], [[1]], [0.5]])
def test_rows_that_are_not_there_are_refused(stored, rows):
    with pytest.raises(UsageError, match="rows must"):
        SpinlockDataset(stored, rows=rows)


def test_grids_that_do_not_go_into_one_batch_are_refused_and_a_crop_helps(everything):
    with pytest.raises(UsageError, match=r"grids of 16, 24 pixels.* give crop=16"):
        SpinlockDataset(everything)
    assert SpinlockDataset(everything, crop=16)[0]["inputs"].shape[-2:] == (16, 16)
    with pytest.raises(UsageError, match="crop 20 is larger than the smallest grid, 16"):
        SpinlockDataset(everything, crop=20)
    with open_dataset(everything) as dataset:
        rows = np.flatnonzero(dataset.metadata["grid_sizes"] == 24)
        assert SpinlockDataset(dataset, rows=rows)[0]["inputs"].shape[-1] == 24


def test_arrays_that_are_not_there_are_refused(plain):
    with pytest.raises(UnknownNameError, match="known: inputs, outputs, parameters"):
        SpinlockDataset(plain, arrays=["trajectories"])


def test_an_item_that_is_not_there_is_refused(stored):
    with pytest.raises(IndexError, match="there are 21"):
        SpinlockDataset(stored)[21]
