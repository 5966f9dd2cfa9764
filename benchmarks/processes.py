"""Measurements that need processes of their own: memory, planning, workers, the command's start."""

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jobs import ROLLOUT, SNAPSHOT, Settings, configured

HIGH_WATER = """
def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
"""
"""Peak resident memory in MB; ``ru_maxrss`` would begin with that of the process that started this one."""

PEAK = """
import json, sys, warnings
from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline
warnings.simplefilter("ignore")
DatasetGenerationPipeline(load_config(sys.argv[1])).generate()
print(json.dumps(peak()))
"""

PLANNING = """
import json, sys, time
from spinlock.config import load_config
config = load_config(sys.argv[1])
before, start = peak(), time.perf_counter()
from spinlock.execution.plan import make_plan
plan = make_plan(config)
rows = sum(1 for _ in plan.draws(0, plan.total_samples))
assert rows == plan.total_samples and plan.layout.samples == rows
print(json.dumps([time.perf_counter() - start, peak() - before]))
"""

PLAIN = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import plain_generation
from spinlock.config import load_config
from spinlock.execution.plan import make_plan
plan = make_plan(load_config(sys.argv[1]))
path = Path(sys.argv[1]).with_name("plain.h5")
plain_generation.generate(plan, path, samples=2)
start = time.perf_counter()
plain_generation.generate(plan, path)
print(json.dumps(time.perf_counter() - start))
"""
"""In a process of its own, whose memory is managed as usual; two samples come first and do not count."""

GENERATION = """
import json, os, sys, time, warnings
if sys.argv[3] == "pinned":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline
warnings.simplefilter("ignore")
DatasetGenerationPipeline(load_config(sys.argv[1])).generate()
start = time.perf_counter()
DatasetGenerationPipeline(load_config(sys.argv[2])).generate()
print(json.dumps(time.perf_counter() - start))
"""
"""A small run comes first and does not count: imports and compiled code are warm after it."""


def answer(code: str, *arguments: str) -> Any:
    """Return what a Python process prints last, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", HIGH_WATER + code, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def changed(settings: Settings, folder: Path, samples: int, **simulation: Any) -> str:
    """Write a job with other samples and other entries of its simulation; return the file's path."""
    job = json.loads(json.dumps(settings))
    job["sampling"]["total_samples"] = samples
    job["dataset"]["output_path"] = str(folder / "d.h5")
    job["simulation"] |= simulation
    configured(job, folder)
    return str(folder / "job.yaml")


def memory_ratio(folder: Path, few: int, many: int) -> tuple[float, str]:
    """Return by what factor the peak resident memory of many snapshots exceeds that of few."""
    light = json.loads(json.dumps(SNAPSHOT))
    architecture = light["parameter_space"]["architecture"]
    architecture["num_layers"] = architecture["kernel_size"] = {"type": "choice", "choices": [1]}
    architecture["base_channels"] = {"type": "choice", "choices": [4]}
    inline = {"strategy": "inline", "workers": "auto"}  # the memory of other processes is not seen
    jobs = [changed(light, folder / f"memory{count}", count, parallelism=inline) for count in (many, few)]
    peaks = [answer(PEAK, job) for job in jobs]
    return peaks[0] / peaks[1], f"{peaks[0]:.0f} MB / {peaks[1]:.0f} MB"


def plain_seconds(settings: Settings, folder: Path, samples: int) -> float:
    """Return how long the naive form of a job takes."""
    return answer(PLAIN, changed(settings, folder, samples), str(Path(__file__).parent))


def planning_costs(folder: Path, rows: int) -> tuple[float, float]:
    """Return what planning so many rows adds to a process with a configuration: seconds, and MB."""
    seconds, added = answer(PLANNING, changed(SNAPSHOT, folder / "planning", rows))
    return seconds, added


def workers_ratio(folder: Path, strategy: str, samples: int, repeats: int) -> tuple[list[float], str]:
    """Return the ratios of the durations of one pinned worker and of two, and their medians in words."""

    def duration(name: str, workers: int, pinned: str) -> float:
        parallelism = {"strategy": strategy, "workers": workers}
        warm = changed(ROLLOUT, folder / f"{name}-warm", 2, num_timesteps=1, parallelism=parallelism)
        job = changed(ROLLOUT, folder / name, samples, parallelism=parallelism)
        return answer(GENERATION, warm, job, pinned)

    pairs = []
    for repeat in range(repeats):
        name = f"{strategy}{repeat}"
        pairs.append((duration(f"{name}-one", 1, "pinned"), duration(f"{name}-two", 2, "free")))
    one, two = (statistics.median(side) for side in zip(*pairs, strict=True))
    return [a / b for a, b in pairs], f"{one:.2f} s / {two:.2f} s"


def cpu_seconds(command: Sequence[str]) -> float:
    """Return the CPU time of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def start_ratios(folder: Path, repeats: int) -> Iterator[tuple[str, list[float], str]]:
    """Yield each command with its CPU time over that of an import of numpy."""
    answer(PEAK, changed(SNAPSHOT, folder / "start", 2))
    numpy = [sys.executable, "-c", "import numpy"]
    commands = {"--help": ["--help"], "info": ["info", "--dataset", str(folder / "start" / "d.h5")]}
    for name, words in commands.items():
        own = [sys.executable, "-m", "spinlock", *words]
        cpu_seconds(own)
        pairs = [(cpu_seconds(own), cpu_seconds(numpy)) for _ in range(repeats)]
        mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
        yield name, [a / b for a, b in pairs], f"{mine:.2f} s / {other:.2f} s"
