#!/usr/bin/env python3
"""Print what a video of ensembles costs beside a matplotlib animation, and entropy beside numpy.histogram.

    python benchmarks/render.py [--operators 8] [--frames 120] [--plain-frames 24] [--repeats 3]

Both sides start where rollouts end, with 10 realizations of 3 channels on 64² grids (the animation has them
in memory, Spinlock in scratch files), and write a video of the same size and rate: two realizations, mean,
envelope and entropy in cells of 64 pixels. Times are medians of one run after a call that does not count,
both sides in turn. The animation may be timed on fewer frames; what grows with them is scaled. The numbers of
both sides are compared first.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import matplotlib as mpl
import numpy as np
import plain_render
import torch
from plain_render import CanvasWriter, PyAVWriter

from spinlock.dataset.ensembles import Ensemble
from spinlock.execution.executors.choice import usable_cores
from spinlock.keys import Key, Purpose
from spinlock.numerics.pinned import pinned_arithmetic
from spinlock.numerics.random import normals_from_words, random_words
from spinlock.visualization.aggregates import DEFAULT_AGGREGATES, Aggregate, EnsembleFrame, aggregates
from spinlock.visualization.cells import Cells, ChannelStatistics, columns_of
from spinlock.visualization.clip import Clip
from spinlock.visualization.encoders import VideoWriter, choose_encoder
from spinlock.visualization.scales import ColourStyle
from spinlock.visualization.sheet import SheetStyle
from spinlock.visualization.spool import Spool

GRID, CELL, MEMBERS, CHANNELS, SHOWN, FPS = 64, 64, 10, 3, 2, 30
ENTROPY_GRID = 128
FASTER_VIDEO, FASTER_ENTROPY = 20, 86
"""The ratios promised."""

PLAIN = {
    "FuncAnimation, savefig, as matplotlib's own writers": PyAVWriter,
    "FuncAnimation, pixels from the canvas": CanvasWriter,
}
"""How the animation's writer comes by the pixels; the promise is about the first."""

STAGES = (
    (Spool, "read", "scratch files"),
    (Spool, "write", "scratch files"),
    (Aggregate, "__call__", "aggregates"),
    (Clip, "__init__", "colour scales, layout"),
    (Clip, "frame", "colours, drawing"),
    (VideoWriter, "write", "encoding"),
    (VideoWriter, "__exit__", "encoding"),
)
"""Methods, and the stage that their time belongs to, less that of the other stages inside."""


def trajectory(
    operator: int, frames: int, size: int = GRID, channels: int = CHANNELS, members: int = MEMBERS
) -> torch.Tensor:
    """Return states [T, M, C, H, W]: a wave whose phase drifts apart, under noise that moves and grows."""
    shape = (members, channels, size, size)
    count = int(np.prod(shape))
    words = random_words(Key(1), Purpose.CHOICE, count, samples=operator)
    noise = normals_from_words(words, count).reshape(shape)
    place = 2 * torch.pi * torch.arange(size) / size
    drift = noise.mean(dim=(1, 2, 3), keepdim=True) * size
    phase = torch.arange(channels)[:, None, None] + 0.7 * operator
    states = torch.empty(frames, *shape)
    for step in range(frames):
        angle = phase + (0.1 + 0.01 * drift) * step
        waves = torch.sin(2 * place[:, None] + angle) * torch.cos(place - angle / 2)
        states[step] = waves + 0.1 * (step + 1) / frames * noise.roll((7 * step, 13 * step), (-2, -1))
    return states


def rolled_out(states: torch.Tensor, folder: Path) -> Ensemble:
    """Return what a rollout leaves: all states in a scratch file, and the bounds of each channel."""
    frames, members = states.shape[:2]
    spool = Spool(folder, tuple(states.shape[2:]), frames * members)
    for number, state in enumerate(states.flatten(0, 1)):
        spool.write(number, state.numpy())
    channels = states.transpose(0, 2).flatten(1).double()
    known = ChannelStatistics(
        *(values.numpy() for values in (*torch.aminmax(channels, dim=1), channels.mean(1), channels.std(1)))
    )
    settled = np.ones((frames, members), dtype=bool)
    return Ensemble(range(frames), np.full(members, frames), known, settled, states.device, spool)


def cells_of(ensemble: Ensemble, folder: Path) -> Cells:
    """Return the cells of one operator for all frames."""
    frames = len(ensemble.times)
    columns = columns_of(SHOWN, DEFAULT_AGGREGATES, CHANNELS)
    known = ensemble.statistics
    low, high = torch.from_numpy(known.low), torch.from_numpy(known.high)
    cells = Cells(columns, frames, ensemble.grid, (CELL, CELL), known, folder)
    with pinned_arithmetic(), torch.inference_mode():
        for number in range(frames):
            states = ensemble.frame(number)
            cells.add(number, states[:SHOWN], EnsembleFrame.of(states, low, high))
    return cells


def workers_for(operators: int) -> int:
    """Return how many threads make cells."""
    return min(usable_cores(), operators)


def render(ensembles: Sequence[Ensemble], path: Path) -> tuple[str, tuple[int, int]]:
    """Write the video; return its encoder, and the height and width of a frame."""
    with ThreadPoolExecutor(workers_for(len(ensembles))) as pool:
        rows = list(pool.map(cells_of, ensembles, [path.parent] * len(ensembles)))
    labels = [[f"operator {row}", "waves, noise", f"{GRID}²"] for row in range(len(rows))]
    clip = Clip(rows, labels, ensembles[0].times, ColourStyle(), SheetStyle((CELL, CELL)))
    encoder = choose_encoder(path.suffix, clip.size, FPS)
    with VideoWriter(path, clip.size, FPS, encoder) as video:
        for frame in clip:
            video.write(frame)
    clip.close()
    return encoder.name, clip.size


@contextmanager
def stage_seconds(workers: int) -> Iterator[dict[str, float]]:
    """Collect the wall time of each stage; what each of several threads takes counts to its share."""
    seconds: dict[str, float] = defaultdict(float)
    lock, local = threading.Lock(), threading.local()

    def watched(method: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            outside, local.inside = getattr(local, "inside", 0.0), 0.0
            started = time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                taken = time.perf_counter() - started
                share = 1 if threading.current_thread() is threading.main_thread() else workers
                with lock:
                    seconds[stage] += (taken - local.inside) / share
                local.inside = outside + taken

        return call

    with ExitStack() as patches:
        for owner, name, stage in STAGES:
            patches.enter_context(patch.object(owner, name, watched(getattr(owner, name), stage)))
        yield seconds


def seconds_of(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def ensemble_frame(fields: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> EnsembleFrame:
    frame = EnsembleFrame.of(fields, low, high)
    assert frame is not None
    return frame


def differing(frames: int = 8) -> dict[str, float]:
    """Return the share of pixels where an aggregate is not what the plain code gives, if above 0.1 %."""
    states = trajectory(0, frames)
    low, high = states.amin(dim=(0, 1, 3, 4)), states.amax(dim=(0, 1, 3, 4))
    plain = plain_render.aggregate(states.numpy())
    found = {}
    for name in DEFAULT_AGGREGATES:
        maps = [aggregates[name](ensemble_frame(fields, low, high)).numpy() for fields in states]
        own = np.stack(maps)
        share = float((np.abs(own - plain[name].reshape(own.shape)) > 1e-4).mean())
        if share > 0.001:
            found[name] = share
    return found


def print_stages(ensembles: Sequence[Ensemble], path: Path) -> None:
    """Print where the time of one video goes."""
    with stage_seconds(workers_for(len(ensembles))) as stages:
        total = seconds_of(lambda: render(ensembles, path))
    frames = len(ensembles[0].times)
    stages["the rest"] = total - sum(stages.values())
    print("\n| stage of one video by Spinlock | ms a frame | share |\n|---|---|---|")
    for stage, seconds in stages.items():
        print(f"| {stage} | {1e3 * seconds / frames:.2f} | {seconds / total:.0%} |")


def compare_videos(operators: int, frames: int, plain_frames: int, repeats: int) -> float:
    """Print the tables of the videos; return how many times as long the plain one takes."""
    states = [trajectory(operator, frames) for operator in range(operators)]
    chosen = np.linspace(0, frames - 1, min(plain_frames, frames)).round().astype(int)
    fewer = [array.numpy()[chosen] for array in states]
    seconds: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as scratch:
        path, plain_path = Path(temporary) / "video.mp4", Path(temporary) / "plain.mp4"
        ensembles = [rolled_out(array, path.parent) for array in states]
        for ensemble in ensembles:
            scratch.callback(ensemble.close)
        del states
        encoder, size = render(ensembles, path)
        plain_render.animate([array[:2] for array in fewer], SHOWN, plain_path, size, PyAVWriter(FPS))
        for _ in range(repeats):
            seconds["Spinlock"].append(seconds_of(lambda: render(ensembles, path)))
            for name, writer in PLAIN.items():
                fixed, growing = plain_render.animate(fewer, SHOWN, plain_path, size, writer(FPS))
                seconds[name].append(fixed + growing * frames / len(chosen))
        print(f"Spinlock: {workers_for(operators)} threads make cells; {encoder}, {contents(path)}")
        print(f"FuncAnimation: libx264, {contents(plain_path)}; its time is scaled to {frames} frames\n")
        medians = {name: statistics.median(durations) for name, durations in seconds.items()}
        print("| video | seconds | ms a frame | ratio |\n|---|---|---|---|")
        for name, taken in medians.items():
            ratio = taken / medians["Spinlock"]
            print(f"| {name} | {taken:.2f} | {1e3 * taken / frames:.1f} | {ratio:.1f} |")
        print_stages(ensembles, path)
    return medians[next(iter(PLAIN))] / medians["Spinlock"]


def contents(path: Path) -> str:
    """Return what a video holds, read back."""
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        count = sum(1 for _ in video.decode(stream))
        return f"{count} frames of {stream.width}×{stream.height}, {path.stat().st_size / 1e6:.1f} MB"


def compare_entropy(repeats: int) -> float:
    """Print the table of entropy at M = 10 on one grid; return the ratio."""
    fields = trajectory(0, 1, ENTROPY_GRID, channels=1)[0]
    ends = fields.min(), fields.max()
    low, high = (end[None] for end in ends)

    def own() -> torch.Tensor:
        with pinned_arithmetic(), torch.inference_mode():
            return aggregates["entropy"](ensemble_frame(fields, low, high))

    def plain() -> np.ndarray:
        return plain_render.histogram_entropy(fields[:, 0].numpy(), float(ends[0]), float(ends[1]))

    agree = (np.abs(own()[0].numpy() - plain()) < 1e-4).mean()
    seconds = statistics.median(seconds_of(own) for _ in range(20 * repeats))
    loop = statistics.median(seconds_of(plain) for _ in range(repeats))
    print(f"\n| entropy, M = {MEMBERS}, {ENTROPY_GRID}², C = 1 | ms | ratio |\n|---|---|---|")
    print(f"| Spinlock, one thread | {1e3 * seconds:.2f} | 1 |")
    print(
        f"| numpy.histogram for each pixel (equal at {agree:.2%}) | {1e3 * loop:.1f} | {loop / seconds:.0f} |"
    )
    return loop / seconds


def main() -> int:
    """Print the tables; exit 1 if a ratio is not the one promised, or numbers differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--operators", type=int, default=8)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--plain-frames", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    versions = f"torch {torch.__version__}, matplotlib {mpl.__version__}, PyAV {av.__version__}"
    print(f"{platform.machine()}, {usable_cores()} cores, {versions}")
    print(f"{options.operators} operators, {options.frames} frames, {GRID}², M = {MEMBERS}, C = {CHANNELS}\n")
    wrong = differing()
    if wrong:
        print(f"plain numbers that differ, share of pixels: {wrong}\n")
    video = compare_videos(options.operators, options.frames, options.plain_frames, options.repeats)
    entropy = compare_entropy(options.repeats)
    return 0 if not wrong and video >= FASTER_VIDEO and entropy >= FASTER_ENTROPY else 1


if __name__ == "__main__":
    sys.exit(main())
