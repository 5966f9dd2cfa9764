#!/usr/bin/env python3
"""Print what generation costs, as ratios measured in one run, beside what was promised.

    python benchmarks/generation.py [--job snapshot ...] [--scale 0.25] [--repeats 3] [--write]

Each ratio is the median of several, both sides in turn; the jobs are those of jobs.py, the naive form that of
plain_generation.py, the floor that of bare_convolutions.py. Both sides are warm and have their imports behind
them. --scale takes that share of the samples; --write keeps the tables in results/, a file for each machine.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bare_convolutions
import torch
from jobs import ROLLOUT, SNAPSHOT, WIDE, Settings, configured
from processes import memory_ratio, plain_seconds, planning_costs, start_ratios, workers_ratio

from spinlock.dataset import DatasetGenerationPipeline
from spinlock.execution.devices import prepare_process
from spinlock.execution.executors.choice import usable_cores
from spinlock.execution.plan import make_plan
from spinlock.execution.simulate import simulate

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Line:
    """One measured number, and the bound it should keep: at least or at most."""

    what: str
    values: list[float]
    bound: float
    at_least: bool
    note: str = ""
    unit: str = ""

    @property
    def holds(self) -> bool:
        """Whether the median keeps the bound."""
        value = statistics.median(self.values)
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        spread = f"{low:.2f} to {high:.2f}" if len(self.values) > 1 else ""
        bound = f"{'≥' if self.at_least else '≤'} {self.bound:g}{self.unit}"
        holds = "yes" if self.holds else "no"
        return f"| {self.what} | {middle:.2f}{self.unit} | {spread} | {bound} | {holds} | {self.note} |"


class Bench:
    """Runs jobs at a share of their samples, in a temporary folder."""

    def __init__(self, folder: Path, scale: float, repeats: int) -> None:
        self.folder, self.scale, self.repeats = folder, scale, repeats
        self._runs = 0

    def config(self, settings: Settings, changes: Settings | None = None) -> Any:
        """Return a job's configuration, scaled, writing to a new file."""
        self._runs += 1
        samples = max(usable_cores(), round(settings["sampling"]["total_samples"] * self.scale))
        everything = {"sampling.total_samples": samples, **(changes or {})}
        return configured(settings, self.folder / str(self._runs), everything)

    def own(self, settings: Settings, changes: Settings | None = None) -> Callable[[], float]:
        """Return a call that generates a job into a new file and returns the seconds it took."""

        def run() -> float:
            pipeline = DatasetGenerationPipeline(self.config(settings, changes))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # so few samples need not be well balanced
                return seconds(pipeline.generate)

        return run

    def ratios(self, upper: Callable[[], float], lower: Callable[[], float]) -> tuple[list[float], str]:
        """Return the ratios of two durations, taken in turn, and the median of each in words."""
        pairs = []
        for _ in range(self.repeats):
            pairs.append((upper(), lower()))
            print("    {:.2f} s / {:.2f} s".format(*pairs[-1]), file=sys.stderr, flush=True)
        medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
        return [a / b for a, b in pairs], f"{medians[0]:.2f} s / {medians[1]:.2f} s"


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def snapshot(bench: Bench) -> Iterator[Line]:
    """Measure the snapshot job against its naive form."""
    samples = make_plan(bench.config(SNAPSHOT)).total_samples
    ratios, note = bench.ratios(
        lambda: plain_seconds(SNAPSHOT, bench.folder / "plain", samples), bench.own(SNAPSHOT)
    )
    yield Line(f"snapshot job, {samples} operators: naive / own", ratios, 7, True, note)


def against_floor(bench: Bench, name: str, settings: Settings, bound: float) -> Iterator[Line]:
    """Measure a job against its bare convolutions."""
    plan = make_plan(bench.config(settings))
    form = bare_convolutions.best_form(plan)
    floor = bare_convolutions.floor(plan, form)
    ratios, note = bench.ratios(bench.own(settings), lambda: seconds(floor))
    what = f"{name} job, {plan.total_samples} operators: own / bare convolutions"
    yield Line(what, ratios, bound, False, f"{note}; {form}")


def rollout(bench: Bench) -> Iterator[Line]:
    """Measure the rollout job: against the floor, in bfloat16, and with trajectories stored."""
    yield from against_floor(bench, "rollout", ROLLOUT, 1.5)
    plain, reduced = bench.own(ROLLOUT), bench.own(ROLLOUT, {"simulation.precision": "bfloat16"})
    ratios, note = bench.ratios(plain, reduced)
    yield Line("rollout job: float32 / bfloat16", ratios, 1.8, True, f"{note}; {bfloat16_error(bench)}")
    stored = bench.own(ROLLOUT, {"dataset.storage.trajectories": "all"})
    ratios, note = bench.ratios(stored, plain)
    yield Line("rollout job: trajectories stored with zstd / final states", ratios, 1.10, False, note)


def bfloat16_error(bench: Bench, samples: int = 4) -> str:
    """Return the error of bfloat16 after 1 and 8 steps: its rms over that of the float32 state."""
    kept: list[torch.Tensor] = []
    for precision in ("float32", "bfloat16"):
        plan = make_plan(bench.config(ROLLOUT, {"simulation.precision": precision}))
        frames = [
            simulate(
                plan, draw, torch.device("cpu"), keep=(1, 8), num_timesteps=8, num_realizations=2,
                classify=False,
            ).rollout.frames
            for draw in plan.draws(0, min(samples, plan.total_samples))
        ]  # fmt: skip
        kept.append(torch.stack(frames).double())
    exact, rounded = kept
    axes = (0, 1, 3, 4, 5)
    error = ((rounded - exact).square().mean(axes) / exact.square().mean(axes)).sqrt()
    return f"relative rms error {float(error[0]):.1e} after 1 step, {float(error[1]):.1e} after 8"


def wide(bench: Bench) -> Iterator[Line]:
    """Measure the wide job against its bare convolutions."""
    yield from against_floor(bench, "wide", WIDE, 1.25)


def memory(bench: Bench) -> Iterator[Line]:
    """Measure what more samples add to memory, and what planning costs."""
    few, many = max(20, round(200 * bench.scale)), max(200, round(2000 * bench.scale))
    ratio, note = memory_ratio(bench.folder, few, many)
    what = f"peak memory: {many} / {few} snapshots of one layer of 4 channels"
    yield Line(what, [ratio], 1.10, False, note)
    took, added = planning_costs(bench.folder, 10_000)
    yield Line("planning 10,000 rows: time", [took], 2, False, unit=" s")
    yield Line("planning 10,000 rows: memory", [added], 200, False, unit=" MB")


def workers(bench: Bench) -> Iterator[Line]:
    """Measure two workers against one that is pinned to one core."""
    for strategy in ("inline", "process"):
        ratios, note = workers_ratio(bench.folder, strategy, max(4, round(32 * bench.scale)), bench.repeats)
        yield Line(f"rollout job, {strategy}: one worker on one core / two", ratios, 1.7, True, note)


def start(bench: Bench) -> Iterator[Line]:
    """Measure the command's start against an import of numpy, in CPU time."""
    for command, ratios, note in start_ratios(bench.folder, max(5, bench.repeats)):
        yield Line(f"`spinlock {command}` / `import numpy`, CPU time", ratios, 3, False, note)


JOBS: dict[str, Callable[[Bench], Iterator[Line]]] = {
    "snapshot": snapshot,
    "rollout": rollout,
    "wide": wide,
    "memory": memory,
    "workers": workers,
    "start": start,
}


def processor() -> str:
    """Return the processor's name."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str:
    """Return the commit of the working tree, with a plus where files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return f"{git('rev-parse', '--short', 'HEAD') or 'unknown'}{'+' if git('status', '--porcelain') else ''}"


def section(name: str, bench: Bench) -> tuple[list[str], bool]:
    """Measure a job, print every line as it comes; return its section and whether all bounds were kept."""
    capability = torch.backends.cpu.get_cpu_capability()
    machine = f"{processor()}, {usable_cores()} cores, {capability}; torch {torch.__version__}"
    lines = [
        f"## {name}",
        "",
        f"{machine}; commit {commit()}; generation.py, scale {bench.scale:g}, {bench.repeats} repeats",
        "",
        "| what | median | range | promised | kept | how |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    kept = True
    for line in JOBS[name](bench):
        print(line, flush=True)
        lines.append(str(line))
        kept = kept and line.holds
    print(flush=True)
    return lines, kept


def write(sections: dict[str, list[str]]) -> None:
    """Put sections into this machine's file; those of other jobs stay as they are."""
    name = "".join(c if c.isalnum() else "-" for c in f"{processor()} {usable_cores()} cores".lower())
    path = HERE / "results" / f"{name}.md"
    path.parent.mkdir(exist_ok=True)
    known = path.read_text().split("\n## ")[1:] if path.exists() else []
    texts = {text.partition("\n")[0]: f"## {text}".strip() for text in known}
    texts |= {job: "\n".join(lines) for job, lines in sections.items()}
    path.write_text("\n\n".join(["# Generation", *(texts[job] for job in JOBS if job in texts)]) + "\n")


def main() -> int:
    """Print a table for each job; exit 1 if a bound is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--job", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--scale", type=float, default=1.0, help="the share of each job's samples")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="keep the tables in results/")
    options = parser.parse_args()
    prepare_process()
    sections, all_kept = {}, True
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.scale, options.repeats)
        bench.own(SNAPSHOT, {"sampling.total_samples": 2})()
        for name in options.job:
            sections[name], kept = section(name, bench)
            all_kept = all_kept and kept
            if options.write:
                write(sections)
    return 0 if all_kept else 1


if __name__ == "__main__":
    sys.exit(main())
