"""A clip of some rows: rolled out, aggregated and laid out, ready to be drawn frame by frame."""

import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from spinlock.dataset.ensembles import Ensemble, check_going, roll_out_row
from spinlock.dataset.open import Dataset
from spinlock.dataset.render_options import RenderOptions
from spinlock.errors import UsageError
from spinlock.execution.devices import prepare_process, resolve_device
from spinlock.execution.executors.choice import usable_cores
from spinlock.numerics.pinned import pinned_arithmetic
from spinlock.storage import require_space
from spinlock.visualization.aggregates import EnsembleFrame
from spinlock.visualization.cells import MOST_SAMPLES, Cells, Column, columns_of, kept_size
from spinlock.visualization.clip import Clip, lay_out
from spinlock.visualization.spool import SHOW_LESS

SYMBOLS = {"alpha": "α"}

Advance = Callable[[], None]

MOST_PIXELS = 2**26
"""Of one frame."""

MOST_SAMPLES_OF_ROWS = 2**20
"""Samples for colour bounds, a map of each row together."""


def make_clip(
    dataset: Dataset, rows: Sequence[int], options: RenderOptions, folder: Path, advance: Advance
) -> Clip:
    """Return the clip of some rows; scratch files stand in ``folder`` until the clip is closed.

    Parameters
    ----------
    advance
        Called after each frame of each row.

    Raises
    ------
    StorageError
        Where the disk is too small or fails, or a row made again is not what is stored.
    """
    prepare_process()
    device = rendering_device(dataset, options.device)
    workers = 1 if device.type == "cuda" else min(usable_cores(), len(rows))
    require_space(folder, _scratch_bytes(dataset, rows, options, workers), SHOW_LESS)
    stop = threading.Event()

    def labelled_cells(row: int) -> tuple[Cells, list[str]]:
        entering, _ = shown_realizations(dataset, options)
        ensemble = roll_out_row(dataset, row, options.times, entering, device, folder, stop)
        try:
            label = row_label(dataset, row, ensemble.finite_steps, options.times)
            return _cells(dataset, ensemble, options, folder, len(rows), stop, advance), label
        finally:
            ensemble.close()

    with ThreadPoolExecutor(workers, thread_name_prefix="spinlock") as pool:
        futures = [pool.submit(labelled_cells, row) for row in rows]
        try:
            made = [future.result() for future in futures]
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            pool.shutdown()
            for future in futures:
                if not future.cancelled() and future.exception() is None:
                    future.result()[0].close()
            raise
    cells, labels = zip(*made, strict=True)
    return Clip(cells, labels, options.times, options.colours, options.style)


def _cells(
    dataset: Dataset,
    ensemble: Ensemble,
    options: RenderOptions,
    folder: Path,
    rows: int,
    stop: threading.Event,
    advance: Advance,
) -> Cells:
    """Return the cells of one of so many rows over the whole clip."""
    columns, frames = shown_columns(dataset, options), len(options.times)
    shown = sum(column.aggregate is None for column in columns)
    samples = min(MOST_SAMPLES, max(1, MOST_SAMPLES_OF_ROWS // rows))
    known = ensemble.statistics
    low, high = torch.from_numpy(known.low), torch.from_numpy(known.high)
    cells = Cells(columns, frames, ensemble.grid, options.size, known, folder, samples)
    try:
        with pinned_arithmetic(), torch.inference_mode():
            for number in range(frames):
                check_going(stop)
                states, telling = ensemble.frame(number), ensemble.is_telling(number)
                counted = [*ensemble.settled[number, :shown], *[telling] * len(options.aggregates)]
                cells.add(number, states[:shown], EnsembleFrame.of(states, low, high), counted)
                advance()
    except BaseException:
        cells.close()
        raise
    return cells


def least_size(dataset: Dataset, rows: Sequence[int], options: RenderOptions) -> tuple[int, int]:
    """Return the height of a frame, and a width that it has at least, before anything is rolled out.

    Raises
    ------
    UsageError
        Where that is more than can be drawn.
    """
    check_pixels(len(rows), dataset, options)
    labels = [row_label(dataset, row) for row in rows]
    columns = shown_columns(dataset, options)
    size = lay_out(columns, labels, options.times[-1], options.color_norm_mode, options.style).size
    _refuse_more_than_can_be_drawn(*size)
    return size


def check_pixels(rows: int, dataset: Dataset, options: RenderOptions) -> None:
    """Raise `UsageError` where the cells alone are more than can be drawn."""
    columns = len(shown_columns(dataset, options))
    _refuse_more_than_can_be_drawn(rows * options.size[0], columns * options.size[1])


def _refuse_more_than_can_be_drawn(height: int, width: int) -> None:
    if height * width > MOST_PIXELS:
        raise UsageError(
            f"a frame would have at least {width} × {height} pixels, and {MOST_PIXELS:,} in all can be "
            "drawn: take fewer --n-operators, or a smaller --size"
        )


def shown_columns(dataset: Dataset, options: RenderOptions) -> tuple[Column, ...]:
    """Return the columns of a clip."""
    _, shown = shown_realizations(dataset, options)
    return columns_of(shown, options.aggregates, dataset.config.simulation.num_channels)


def rendering_device(dataset: Dataset, name: str) -> torch.device:
    """Return the device to roll out on, warning where frames need not be equal to those stored."""
    device = resolve_device(name)
    if name == "auto" and not dataset.made_on(device) and dataset.same_environment:
        device = torch.device("cpu")
    if not dataset.made_on(device):
        warnings.warn(
            f"{dataset.path} was made in another environment (device model, torch build, instruction set): "
            "frames agree with those stored only until chaos amplifies the rounding",
            UserWarning,
            stacklevel=2,
        )
    return device


def shown_realizations(dataset: Dataset, options: RenderOptions) -> tuple[int, int]:
    """Return how many realizations enter the aggregates, and how many are shown themselves."""
    there = dataset.config.simulation.num_realizations
    entering = min(options.n_realizations or there, there)
    return entering, min(options.display_realizations, entering)


def row_label(
    dataset: Dataset, row: int, finite_steps: np.ndarray | None = None, times: range = range(1)
) -> list[str]:
    """Return the lines that say what an operator is, its name first: its dynamics, or when it diverges."""
    draw = dataset.draw(row)
    constant = "".join(
        f" {SYMBOLS.get(name, name)} {value:.3g}" for name, value in draw.policy.constants.items()
    )
    fate = dataset.metadata["dynamics"][row]
    if finite_steps is not None and (finite_steps <= times[-1]).any():
        fate = f"diverges at t = {int(finite_steps.min())}"
    return [
        f"#{row} {fate}",
        f"{draw.policy.name}{constant}",
        f"{draw.grid_size}², noise {draw.noise.regime}",
        draw.ic_label,
    ]


def _scratch_bytes(dataset: Dataset, rows: Sequence[int], options: RenderOptions, workers: int) -> int:
    """Return the greatest size of all scratch files together."""
    simulation = dataset.config.simulation
    entering, _ = shown_realizations(dataset, options)
    maps = shown_columns(dataset, options)[-1].maps.stop
    grids = sorted((dataset.draw(row).grid_size for row in rows), reverse=True)
    states = sum(entering * simulation.num_channels * grid**2 for grid in grids[:workers])
    kept = sum(maps * int(np.prod(kept_size(grid, options.size))) for grid in grids)
    return 4 * len(options.times) * (states + kept)
