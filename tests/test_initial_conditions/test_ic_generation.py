"""The front door: arguments, devices, threads, and blocks that are filled up."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from spinlock.errors import UsageError
from spinlock.initial_conditions import generate, generation, registry
from spinlock.initial_conditions.evaluation import static_values
from spinlock.keys import Key
from spinlock.numerics.grid import Grid

NAMES = list(registry)


def test_indices_may_be_any_iterable_of_integers():
    expected = generate("localized", 16, 1, [2, 0, 5])
    for indices in (
        (2, 0, 5),
        np.array([2, 0, 5]),
        torch.tensor([2, 0, 5]),
        iter([2, 0, 5]),
        {2: "a", 0: "b", 5: "c"},
    ):
        assert torch.equal(generate("localized", 16, 1, indices), expected)
    assert generate("localized", 16).shape == (8, 3, 16, 16)
    assert torch.equal(*(generate("localized", 16, 1, [index, 3])[1] for index in (3, 1)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"grid_size": 8}, UsageError, "least is 16"),
        ({"num_channels": 0}, UsageError, "num_channels 0"),
        ({"indices": [-1]}, UsageError, "sample index -1"),
        ({"indices": [2**32]}, UsageError, "sample index 4294967296"),
        ({"indices": [0.5]}, TypeError, None),
        ({"seed": -1}, UsageError, "seed -1"),
        ({"colour": "red"}, UsageError, "no option 'colour'"),
    ],
)
def test_impossible_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        generate("localized", **{"grid_size": 16, "num_channels": 1, "indices": [0], **arguments})


@pytest.mark.parametrize("name", NAMES)
def test_the_ends_of_the_index_and_seed_ranges(name):
    fields = generate(name, 16, 2, [0, 2**32 - 1], seed=2**64 - 1)
    assert fields.isfinite().all()
    assert not torch.equal(fields[0], fields[1])


def test_types_share_no_numbers():
    white = generate("gaussian_random_field", 16, 1, [0], kernel="white")
    other = generate("heavy_tailed", 16, 1, [0], alpha=2.0)
    assert np.corrcoef(white.flatten(), other.flatten())[0, 1] == pytest.approx(0.0, abs=0.25)
    draws = generate("gaussian_random_field", 64, 3, [0, 1], kernel="white").flatten(0, 1).flatten(1)
    assert (torch.corrcoef(draws) - torch.eye(6)).abs().max() < 0.08


@pytest.mark.parametrize("name", NAMES)
def test_full_blocks_agree_with_single_rows(name, monkeypatch):
    """In blocks of 16, as on an accelerator, fields agree to rounding, and filling up changes nothing."""
    single = generate(name, 32, 4, range(6))
    monkeypatch.setattr(generation, "CPU_ROWS", generation.ACCELERATOR_ROWS)
    block = generate(name, 32, 4, range(6))
    assert torch.allclose(block, single, atol=2e-4)
    assert torch.equal(block[:1], generate(name, 32, 4, [0]))
    turned = generate(name, 32, 4, reversed(range(6))).flip(0)
    assert torch.equal(block, turned)


@pytest.mark.parametrize("name", NAMES)
def test_blocks_hold_samples_of_different_options(name):
    """Choices drawn per sample split the blocks, numbers drawn per sample do not."""
    drawn = {"pattern": "random"} if name == "composite" else {"normalize": "rms"}
    _, values = generate(name, 16, 1, range(8), return_options=True, **drawn)
    calls = []
    entry = registry[name]

    def counting(grid, keys, **options):
        calls.append(len(keys))
        return entry.function(grid, keys, **options)

    rows = [(index, 0, value) for index, value in enumerate(values)]
    generation.evaluate(replace(entry, function=counting), Grid(16), Key(0, name), rows, 16)
    assert calls == [16] * len({static_values(entry, value) for value in values})


def test_several_python_threads_make_the_same_fields():
    expected = generate("composite", 32, 3, range(4))
    results = {}

    def work(number):
        torch.set_num_threads(2)
        results[number] = generate("composite", 32, 3, range(4))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(expected, results[number]) for number in range(4))


def test_the_number_of_torch_threads_is_restored():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        generate("localized", 16, 1, [0])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_result_belongs_to_the_caller():
    """No sample shares memory with another call, and none needs a gradient."""
    fields = generate("localized", 16, 2, [0])
    fields.zero_()
    assert generate("localized", 16, 2, [0]).abs().max() > 0
    assert fields.is_contiguous()
    assert not fields.requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_agrees_to_rounding_and_with_itself_to_the_bit(name):
    cpu, gpu = (generate(name, 64, 4, range(20), device=device) for device in ("cpu", "cuda"))
    assert torch.allclose(cpu, gpu.cpu(), atol=1e-3)
    alone = torch.cat([generate(name, 64, 4, [index], device="cuda") for index in range(20)])
    assert torch.equal(gpu, alone)
