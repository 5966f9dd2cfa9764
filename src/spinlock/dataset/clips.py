"""A clip of some rows: rolled out, aggregated and laid out, ready to be drawn frame by frame."""

import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from spinlock.dataset.ensembles import roll_out_row
from spinlock.dataset.open import Dataset
from spinlock.dataset.render_options import RenderOptions
from spinlock.execution.devices import pin_numerics, resolve_device
from spinlock.execution.executors.choice import usable_cores
from spinlock.numerics.threads import single_thread
from spinlock.storage import require_space
from spinlock.visualization.aggregates import EnsembleFrame
from spinlock.visualization.cells import Cells, columns_of, kept_size
from spinlock.visualization.clip import Clip

SYMBOLS = {"alpha": "α"}

Advance = Callable[[], None]


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
    pin_numerics()
    device = rendering_device(dataset, options.device)
    workers = 1 if device.type == "cuda" else min(usable_cores(), len(rows))
    require_space(folder, _scratch_bytes(dataset, rows, options, workers))
    stop = threading.Event()

    def labelled_cells(row: int) -> tuple[Cells, list[str]]:
        return _row_cells(dataset, row, options, device, folder, stop, advance)

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


def _row_cells(
    dataset: Dataset,
    row: int,
    options: RenderOptions,
    device: torch.device,
    folder: Path,
    stop: threading.Event,
    advance: Advance,
) -> tuple[Cells, list[str]]:
    """Return the cells of a row over the whole clip, and its label."""
    entering, shown = shown_realizations(dataset, options)
    ensemble = roll_out_row(dataset, row, options.times, entering, device, folder, stop)
    try:
        columns = columns_of(shown, options.aggregates, dataset.config.simulation.num_channels)
        cells = Cells(columns, len(options.times), ensemble.grid, options.size, ensemble.bounds, folder)
        with single_thread(), torch.inference_mode():
            for number in range(len(options.times)):
                if stop.is_set():
                    break
                states = ensemble.frame(number)
                cells.add(number, states[:shown], EnsembleFrame.of(states, *ensemble.bounds))
                advance()
        return cells, row_label(dataset, row, ensemble.finite_steps, options.times)
    finally:
        ensemble.close()


def row_label(dataset: Dataset, row: int, finite_steps: np.ndarray, times: range) -> list[str]:
    """Return the lines that say what an operator is, its name first."""
    draw = dataset.draw(row)
    constant = "".join(
        f" {SYMBOLS.get(name, name)} {value:.3g}" for name, value in draw.policy.constants.items()
    )
    lines = [
        f"#{row} {dataset.metadata['dynamics'][row]}",
        f"{draw.policy.name}{constant}",
        f"{draw.grid_size}², noise {draw.noise.regime}",
    ]
    if (finite_steps <= times[-1]).any():
        lines.append(f"diverges at t = {int(finite_steps.min())}")
    return [*lines, draw.ic_label]


def _scratch_bytes(dataset: Dataset, rows: Sequence[int], options: RenderOptions, workers: int) -> int:
    """Return the greatest size of all scratch files together."""
    simulation = dataset.config.simulation
    entering, shown = shown_realizations(dataset, options)
    maps = columns_of(shown, options.aggregates, simulation.num_channels)[-1].maps.stop
    grids = sorted((dataset.draw(row).grid_size for row in rows), reverse=True)
    states = sum(entering * simulation.num_channels * grid**2 for grid in grids[:workers])
    kept = sum(maps * int(np.prod(kept_size(grid, options.size))) for grid in grids)
    return 4 * len(options.times) * (states + kept)
