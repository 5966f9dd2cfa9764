#!/usr/bin/env python3
"""Print what generation costs on a GPU, beside what was promised, and check that its bits stay put.

    python benchmarks/gpu.py [--part rollout ...] [--device cuda] [--scale 1.0] [--products tf32x3] [--write]

The naive form is that of plain_generation.py on the same card. --scale takes that share of the samples; with
--device cpu and a small scale every part runs without a GPU, to see that it runs.
"""

import argparse
import statistics
import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import plain_generation
import torch
from generation import HERE, Line, commit, seconds
from jobs import ROLLOUT, SNAPSHOT, Settings, configured

from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.dataset.extract import FeatureExtractionPipeline
from spinlock.execution.devices import prepare_process, resolve_device
from spinlock.execution.estimate import application_flops, applications
from spinlock.execution.executors.choice import usable_cores
from spinlock.execution.memory import free_bytes
from spinlock.execution.plan import Draw, Plan, make_plan
from spinlock.execution.simulate import Sampled
from spinlock.execution.stacks import simulate_stack, stacks_of

PEAKS = {"ieee": 67e12, "tf32x3": 165e12, "tf32": 495e12}
"""Floating-point operations a second of an H100 (SXM, data sheet, dense); three rounded products for one."""

NAIVE_SHARE = 0.02
"""Share of the operators that the naive form is measured on; its time grows in proportion to their number."""

MEMORY_SHARE, LARGEST_STACK = 0.7, 16 << 30
"""Share of the free memory that a stack may take, and its most in bytes: larger ones are no faster."""

TOLERANCE = 1e-3
"""Largest relative difference between features of a GPU and of a CPU, at most columns."""


@dataclass(frozen=True)
class Bench:
    """Where and how the parts run."""

    folder: Path
    device: torch.device
    scale: float
    repeats: int
    products: Any

    def config(self, settings: Settings, samples: int, name: str, **changes: Any) -> Any:
        """Return a job's configuration, scaled, on the device."""
        count = max(2, round(samples * self.scale))
        given = {"sampling.total_samples": count, "simulation.device": self.device.type, **changes}
        return configured(settings, self.folder / name, given)

    def stacked(self, plan: Plan, draws: Sequence[Draw], **how: Any) -> Iterator[Sampled]:
        """Yield the samples of draws, stack after stack, as many together as memory holds."""
        budget = int(MEMORY_SHARE * (free_bytes(self.device) or 1 << 30))
        for stack in stacks_of(plan, draws, min(budget, LARGEST_STACK)):
            yield from simulate_stack(plan, stack, self.device, products=self.products, **how)

    def stacks(self, plan: Plan, **how: Any) -> list[float]:
        """Return how long each of several computations of all samples takes; none is kept."""
        draws = list(plan.draws(0, plan.total_samples))
        return self.repeated(lambda: deque(self.stacked(plan, draws, **how), maxlen=0))

    def repeated(self, call: Callable[[], object]) -> list[float]:
        """Return how long each of several calls takes, after one that does not count."""
        call()
        return [seconds(call) for _ in range(self.repeats)]


def quiet(config: Any, *, force: bool = True) -> None:
    """Make a dataset; so few samples need not be well balanced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        DatasetGenerationPipeline(config, force=force, fresh=True).generate()


def small_snapshot() -> Settings:
    """Return the snapshot job at 64², with ten realizations."""
    space = SNAPSHOT["parameter_space"] | {"operator": {"grid_size": {"type": "choice", "choices": [64]}}}
    simulation = SNAPSHOT["simulation"] | {"num_realizations": 10}
    dataset = SNAPSHOT["dataset"] | {"storage": {"compression": "zstd"}}
    return SNAPSHOT | {"parameter_space": space, "simulation": simulation, "dataset": dataset}


def snapshot(bench: Bench) -> Iterator[Line]:
    """Measure 10,000 samples × 10 realizations at 64², one step, with the file, and the stacks alone."""
    config = bench.config(small_snapshot(), 10_000, "snapshot")
    plan = make_plan(config)
    what = f"{plan.total_samples} × 10 at 64², one step"
    yield Line(f"{what}: generate, with the file", [seconds(lambda: quiet(config))], 40, False, unit=" s")
    yield Line(f"{what}: stacks alone", bench.stacks(plan), 40, False, unit=" s")


def rollout(bench: Bench) -> Iterator[Line]:
    """Measure the rollout job of 1,000 operators against its naive form on the same card."""
    plan = make_plan(bench.config(ROLLOUT, 1000, "rollout"))
    few = make_plan(bench.config(ROLLOUT, max(4, round(1000 * NAIVE_SHARE)), "naive"))
    path = bench.folder / "naive.h5"
    naive = bench.repeated(lambda: plain_generation.generate(few, path, bench.device))
    naive_each = statistics.median(naive) / few.total_samples
    took = bench.stacks(plan)
    ratios = [naive_each * plan.total_samples / one for one in took]
    own = statistics.median(took)
    note = f"naive {1e3 * naive_each:.0f} ms an operator, of {few.total_samples}; own {own:.2f} s"
    yield Line(f"rollout job, {plan.total_samples} operators: naive / stacks", ratios, 15, True, note)
    draws = plan.draws(0, plan.total_samples)
    flops = sum(application_flops(plan, draw) * applications(plan, draw) for draw in draws)
    used = [flops / one / PEAKS[bench.products] for one in took]
    yield Line("rollout job: share of the card's peak", used, 0, True, f"peak of {bench.products} products")
    config = bench.config(ROLLOUT, 1000, "file")
    whole = seconds(lambda: quiet(config))
    yield Line(
        "rollout job: naive / generate, with the file",
        [naive_each * plan.total_samples / whole],
        15,
        True,
        f"{whole:.2f} s",
    )


def same_bits(a: Sampled, b: Sampled) -> bool:
    """Return whether two samples have the same bits."""
    return (
        torch.equal(a.rollout.final.view(torch.int32), b.rollout.final.view(torch.int32))
        and a.rollout.finite_steps.tolist() == b.rollout.finite_steps.tolist()
        and str(a.rollout.lyapunov) == str(b.rollout.lyapunov)
    )


def identity(bench: Bench) -> Iterator[Line]:
    """Check that a sample's bits depend neither on place and neighbours nor on the number of workers."""
    plan = make_plan(bench.config(small_snapshot(), 200, "identity", **{"simulation.num_timesteps": 16}))
    draws = list(plan.draws(0, plan.total_samples))
    whole = {sample.draw.index: sample for sample in bench.stacked(plan, draws)}
    orders = {
        "reversed": [draws[::-1]],
        "halves": [draws[::2], draws[1::2]],
        "alone": [[d] for d in draws[:8]],
    }
    for name, parts in orders.items():
        kept = [same_bits(s, whole[s.draw.index]) for part in parts for s in bench.stacked(plan, part)]
        yield Line(f"identity, {name}: share of samples with the same bits", [sum(kept) / len(kept)], 1, True)
    digests = []
    for workers in (1, 2):
        parallelism = {"strategy": "process", "workers": workers}
        changes = {"simulation.parallelism": parallelism, "simulation.num_timesteps": 16}
        config = bench.config(small_snapshot(), 200, f"workers{workers}", **changes)
        quiet(config)
        digests.append(outputs(Path(config.dataset.output_path)))
    yield Line("identity, one worker and two: same outputs", [float(digests[0] == digests[1])], 1, True)


def outputs(path: Path) -> bytes:
    """Return the final frames of a dataset as bytes."""
    with open_dataset(path) as dataset:
        return b"".join(np.asarray(dataset[k].outputs).tobytes() for k in range(len(dataset)))


def features(bench: Bench) -> Iterator[Line]:
    """Measure the features of 100-step rollouts against the rollouts, and compare them with a CPU's."""
    storage = {
        "dataset.storage.trajectories": "all",
        "simulation.num_timesteps": max(16, round(100 * bench.scale)),
    }
    config = bench.config(ROLLOUT, 100, "features", **storage)
    plan = make_plan(config)
    quiet(config)
    path, results = Path(config.dataset.output_path), {}
    simulated = statistics.median(bench.stacks(plan))
    took = {}
    for name, device in (("own", bench.device.type), ("reference", "cpu")):
        results[name] = path.with_name(f"{name}.h5")
        pipeline = FeatureExtractionPipeline(path, output=results[name], device=device, overwrite=True)
        took[name] = seconds(pipeline.extract)
    share = took["own"] / simulated
    note = f"{took['own']:.2f} s / {simulated:.2f} s; from stored trajectories"
    yield Line("extract-features / rollouts, 100 steps", [share], 0.10, False, note)
    differing = difference(*(tables(file) for file in results.values()))
    yield Line(f"features that differ from a CPU's by more than {TOLERANCE:g}", [differing], 0.01, False)


def tables(path: Path) -> dict[str, np.ndarray]:
    """Return the numbers of the feature tables of a file."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:

        def visit(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and item.ndim > 1:
                found[name] = item[()]

        file["features"].visititems(visit)  # pyright: ignore[reportAttributeAccessIssue]
    return found


def difference(ours: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> float:
    """Return the share of numbers that differ by more than the tolerance."""
    close = [np.isclose(ours[name], others[name], TOLERANCE, TOLERANCE, equal_nan=True) for name in ours]
    return 1.0 - sum(int(c.sum()) for c in close) / sum(c.size for c in close)


PARTS: dict[str, Callable[[Bench], Iterator[Line]]] = {
    "snapshot": snapshot,
    "rollout": rollout,
    "identity": identity,
    "features": features,
}


def main() -> int:
    """Print the table; exit 1 if a bound is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scale", type=float, default=1.0, help="the share of each part's samples")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--products", choices=list(PEAKS), default="ieee")
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    options = parser.parse_args()
    prepare_process()
    device = resolve_device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    how = f"scale {options.scale:g}, {options.repeats} repeats, {options.products} products"
    lines = [
        f"{name}, {usable_cores()} cores; torch {torch.__version__}; commit {commit()}; gpu.py, {how}",
        "",
        "| what | median | range | promised | kept | how |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), device, options.scale, options.repeats, options.products)
        for part in options.part:
            for line in PARTS[part](bench):
                print(line, flush=True)
                lines.append(str(line))
                kept = kept and line.holds
    if options.write:
        path = HERE / "results" / f"{''.join(c if c.isalnum() else '-' for c in name.lower())}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(["# Generation on a GPU", "", *lines, ""]))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
