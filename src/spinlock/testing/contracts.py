"""What every initial condition keeps to, whatever its law: one function for each promise.

Each takes a catalogue entry and raises `AssertionError` where the promise is broken.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions import InitialCondition, generate
from spinlock.initial_conditions.options import options_length, resolve_options
from spinlock.numerics.columns import spread
from spinlock.numerics.grid import Grid
from spinlock.numerics.spectral import power, ring_sums
from spinlock.registry import Option
from spinlock.testing.laws import draw_from

GRID_SIZE = 64
OCTAVES = ((1, 2), (2, 3), (3, 5), (5, 9), (9, 17))
"""Ranges of rings, in cycles per side, over which spectra on several grids are compared."""

VISIBLE_SHARE = 1e-3
STANDARD_ERRORS = 5.0


def check_output(entry: InitialCondition, grids: Iterable[int] = (16, 50, GRID_SIZE)) -> None:
    """Fields are finite float32 [B, C, N, N] on every grid, for 1 to 6 channels and for no sample at all."""
    for size in grids:
        for channels in range(1, 7):
            fields = generate(entry.name, size, channels, [3])
            assert fields.dtype == torch.float32, f"dtype {fields.dtype}"
            assert fields.shape == (1, channels, size, size), f"shape {tuple(fields.shape)}"
            assert bool(fields.isfinite().all()), f"not finite on a {size} grid"
    assert generate(entry.name, GRID_SIZE, 3, []).shape == (0, 3, GRID_SIZE, GRID_SIZE)


def check_batch_invariance(entry: InitialCondition) -> None:
    """Every sample has the same bits alone, in a batch, in any order and on any number of threads."""
    together = generate(entry.name, GRID_SIZE, indices=range(6))
    alone = torch.cat([generate(entry.name, GRID_SIZE, indices=[index]) for index in range(6)])
    backwards = generate(entry.name, GRID_SIZE, indices=reversed(range(6))).flip(0)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        shared = generate(entry.name, GRID_SIZE, indices=range(6))
    finally:
        torch.set_num_threads(threads)
    for what, other in (("alone", alone), ("in another order", backwards), ("on two threads", shared)):
        assert torch.equal(together, other), f"samples differ {what}"


def check_keys(entry: InitialCondition) -> None:
    """Fields depend on the seed and on nothing global, and leave every global generator as it was."""
    before = global_states()
    first = generate(entry.name, GRID_SIZE, indices=[1], seed=1)
    assert before == global_states(), "a global generator moved"
    assert not torch.equal(first, generate(entry.name, GRID_SIZE, indices=[1], seed=2)), (
        "seeds make no difference"
    )


def global_states() -> tuple[str, ...]:
    """Return the states of the global generators of torch and numpy; checkers of types move Python's."""
    states = torch.get_rng_state().tolist(), np.random.get_state()  # noqa: NPY002
    return tuple(repr(state) for state in states)


def check_channels(entry: InitialCondition) -> None:
    """Fewer channels are the leading ones; none is a copy of another, unless the type says so."""
    fields = generate(entry.name, GRID_SIZE, 6, range(8))
    for channels in range(1, 6):
        fewer = generate(entry.name, GRID_SIZE, channels, range(8))
        assert torch.equal(fields[:, :channels], fewer), f"{channels} channels are not the leading ones of 6"
    for row in fields:
        largest = float((correlations(row).fill_diagonal_(-1.0)).max())
        assert entry.copies or largest < 0.999, f"two channels correlate by {largest:.4f}"


def check_samples(entry: InitialCondition) -> None:
    """No field is blank among 256 samples, none is another one, and those of a batch differ widely."""
    fields = draw_from(entry)(256, GRID_SIZE, 1)
    spreads = spread(fields)
    scale = float(spreads.square().mean().sqrt())
    assert scale > 0, "all fields are blank"
    assert float(spreads.min()) > 0.02 * scale, (
        f"a field varies by {float(spreads.min()):.3g}, the others by {scale:.3g}"
    )
    alike = correlations(fields[:, 0]).abs().fill_diagonal_(0.0)
    for count, limit in ((256, 0.9999), (16, 0.99)):
        largest = float(alike[:count, :count].max())
        assert largest < limit, f"two of {count} samples correlate by {largest:.5f}"


def correlations(fields: Tensor) -> Tensor:
    """Return the correlation of every pair of fields over their pixels, [R, R] for [R, N, N]."""
    rows = fields.double().flatten(1)
    rows = rows - rows.mean(dim=1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-300)
    return rows @ rows.T


def check_refusals(entry: InitialCondition) -> None:
    """Unknown options, values out of range and of another kind, and contradictions are refused by name."""
    refuse(entry, {"foo": 1}, "foo")
    for option in entry.options.values():
        refuse(entry, {f"{option.name}x": option.default}, option.name)
        for value in wrong_values(option):
            refuse(entry, {option.name: value}, option.name)
        if option.rangeable:
            assert option.number is not None
            low, high = option.number.low, option.number.high
            refuse(entry, {f"{option.name}_range": [high, low]}, option.name)
            refuse(entry, {f"{option.name}_range": [low, high, high]}, option.name)
            refuse(entry, {option.name: low, f"{option.name}_range": [low, high]}, f"{option.name}_range")


def refuse(entry: InitialCondition, options: dict[str, Any], word: str) -> None:
    """Raise `AssertionError` unless the options are refused with a message that holds the word."""
    try:
        entry.check_options(options)
    except OptionError as error:
        message = str(error)
    else:
        raise AssertionError(f"{entry.name} accepts {options}")
    assert word in message, f"{message} does not name {word}"


def wrong_values(option: Option) -> list[Any]:
    """Return values that an option must not accept."""
    wrong: list[Any] = (
        [object(), "no such value", {"no": "such"}] if option.kind != "part" else ["no such value", 1]
    )
    if option.number is not None and option.kind in ("real", "integer"):
        span = max(abs(option.number.low), abs(option.number.high))
        wrong += [option.number.low - 1 - span, option.number.high + 1 + span, True, float("nan"), "1"]
    return wrong


def check_resolved_options(entry: InitialCondition) -> None:
    """Values drawn for a sample make the same field again, through JSON too, and fit their stated length."""
    for options in drawn_options(entry):
        limit = options_length(entry, options)
        fields, values = generate(entry.name, GRID_SIZE, 4, range(6), seed=5, return_options=True, **options)
        for index, (field, value) in enumerate(zip(fields, values, strict=True)):
            text = json.dumps(value)
            assert len(text) <= limit, f"{text} is longer than {limit}"
            again = generate(entry.name, GRID_SIZE, 4, [index], seed=5, **json.loads(text))
            assert torch.equal(field, again[0]), f"sample {index} is another field with {text}"
            planned = resolve_options(entry, options, 5, index)
            assert planned.items() <= json.loads(text).items(), f"{planned} was planned, {text} taken"


def drawn_options(entry: InitialCondition) -> list[dict[str, Any]]:
    """Return options that draw everything that can be drawn, one set for each way to normalize."""
    drawn: dict[str, Any] = {}
    for option in entry.options.values():
        if option.rangeable and option.when is None and option.default is not None:
            assert option.number is not None
            ends = sorted((option.default * 0.8, option.default * 1.25))
            low, high = (min(max(end, option.number.low), option.number.high) for end in ends)
            drawn[f"{option.name}_range"] = [int(low), int(high)] if option.kind == "integer" else [low, high]
        elif option.drawn_word is not None:
            drawn[option.name] = option.drawn_word
    modes = entry.options["normalize"].choices
    return [{}, *({**drawn, "normalize": mode} for mode in modes)]


def check_length_scaling(
    entry: InitialCondition, grids: tuple[int, int] = (GRID_SIZE, 128), count: int = 64
) -> None:
    """Lengths grow with the grid: shares of power at 1 to 16 cycles per side agree within 10 % and error.

    Types whose finest structure is a pixel have laws of their own instead.
    """
    if entry.pixelwise:
        return
    shapes = []
    for size in grids:
        fields = draw_from(entry)(count, size, entry.native)
        sums = ring_sums(power(fields).mean(dim=1), Grid(size))
        octaves = torch.stack([sums[:, low:high].sum(dim=1) for low, high in OCTAVES], dim=1)
        shares = octaves / octaves.sum(dim=1).mean()
        shapes.append((shares.mean(dim=0), shares.std(dim=0) / count**0.5))
    (first, first_error), (second, second_error) = shapes
    first, second = first / first.sum(), second / second.sum()
    slack = 0.1 * first + STANDARD_ERRORS * torch.hypot(first_error, second_error)
    shown = first > VISIBLE_SHARE
    assert bool(((first - second).abs() <= slack)[shown].all()), (
        f"octaves {first.tolist()} and {second.tolist()}"
    )


def check_roll_invariance(entry: InitialCondition, count: int = 64) -> None:
    """Fields of a periodic type have no seam: pixels differ across the border as they do elsewhere."""
    if not entry.periodic:
        return
    fields = draw_from(entry)(count, GRID_SIZE, 1)[:, 0].double()
    for axis in (1, 2):
        steps = (fields - fields.roll(1, axis)).square().mean(dim=3 - axis)
        excess = steps[:, 0] - steps[:, 1:].mean(dim=1)
        error = float(excess.std() / count**0.5)
        assert abs(float(excess.mean())) <= STANDARD_ERRORS * error + 1e-9, f"a seam across axis {axis}"


CONTRACTS: tuple[Callable[[InitialCondition], None], ...] = (
    check_output,
    check_batch_invariance,
    check_keys,
    check_channels,
    check_samples,
    check_refusals,
    check_resolved_options,
    check_length_scaling,
    check_roll_invariance,
)
"""All promises; run each over every entry of the catalogue."""
