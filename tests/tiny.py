"""Tiny datasets with everything in them, and ways to make, run and compare them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 (lets plain h5py decode)
import jaxtyping
import numpy as np
import pytest
import yaml

import spinlock
from spinlock.config import Config, load_config
from spinlock.dataset import DatasetGenerationPipeline
from spinlock.execution import plan
from spinlock.storage.companions import card_path, croissant_path

SOURCE = Path(spinlock.__file__).resolve().parents[1]
ROOT = Path(__file__).resolve().parents[1]

TYPES = (
    "composite",
    "gaussian_random_field",
    "heavy_tailed",
    "localized",
    "mixed",
    "multiscale_grf",
    "structured",
)

EVERYTHING: dict[str, Any] = {
    "version": "1.0",
    "parameter_space": {
        "architecture": {
            "num_layers": {"type": "integer", "bounds": [1, 2]},
            "kernel_size": {"type": "choice", "choices": [1, 3]},
            "normalization": {"type": "choice", "choices": ["none", "instance", "layer", "group", "batch"]},
            "block": {"type": "choice", "choices": ["conv", "residual"]},
            "channel_schedule": {"type": "choice", "choices": ["constant", "doubling"]},
            "base_channels": {"type": "choice", "choices": [3, 4]},
            "gain": {"type": "continuous", "bounds": [0.7, 9.0], "log_scale": True},
            "output_activation": {"type": "choice", "choices": ["linear", "tanh"]},
        },
        "stochastic": {
            "noise_scale": {"type": "continuous", "bounds": [0.001, 0.3], "log_scale": True},
            "noise_type": {"type": "choice", "choices": ["gaussian", "laplace", "multiplicative", "dropout"]},
            "noise_location": {"type": "choice", "choices": ["state", "hidden", "output"]},
            "noise_schedule": {"type": "choice", "choices": ["constant", "annealing", "periodic"]},
            "spatial_correlation": {"type": "continuous", "bounds": [0.0, 0.2]},
            "dropout_rate": {"type": "continuous", "bounds": [0.0, 0.3]},
        },
        "operator": {"grid_size": {"type": "choice", "choices": [16, 24]}},
        "rollout": {
            "update_policy": {"type": "choice", "choices": ["autoregressive", "residual", "convex"]},
            "alpha": {"type": "continuous", "bounds": [0.1, 0.9]},
            "dt": {"type": "continuous", "bounds": [0.01, 0.5], "log_scale": True},
        },
    },
    "sampling": {"total_samples": 12, "sobol": {"seed": 43}},
    "simulation": {
        "device": "cpu",
        "num_realizations": 3,
        "num_timesteps": 17,
        "num_channels": 2,
        "parallelism": {"strategy": "inline", "workers": 1},
        "input_generation": {"method": "sampled", "ic_type_weights": dict.fromkeys(TYPES, 1.0)},
    },
    "dataset": {"output_path": "everything.h5", "storage": {"trajectories": "all"}},
}
"""Every policy, noise, normalization and baseline initial condition, on two grids."""

PLAIN: dict[str, Any] = {
    "version": "1.0",
    "parameter_space": {
        "architecture": {"gain": {"type": "continuous", "bounds": [0.7, 1.2]}},
        "operator": {"grid_size": {"type": "choice", "choices": [16]}},
    },
    "sampling": {"total_samples": 3},
    "simulation": {
        "device": "cpu",
        "num_realizations": 2,
        "num_channels": 1,
        "parallelism": {"strategy": "inline", "workers": 1},
        "input_generation": {"method": "gaussian_random_field"},
    },
    "dataset": {"output_path": "plain.h5"},
}
"""As little as a configuration can be: seconds, most of them storage."""


def changed(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with dotted keys replaced."""
    copy = json.loads(json.dumps(settings))
    for key, value in changes.items():
        *sections, last = key.split(".")
        here = copy
        for section in sections:
            here = here.setdefault(section, {})
        here[last] = value
    return copy


def write_config(path: Path, settings: Mapping[str, Any], **changes: Any) -> Path:
    path.write_text(yaml.safe_dump(changed(settings, {k.replace("__", "."): v for k, v in changes.items()})))
    return path


def config_of(output: Path, settings: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Config:
    output.parent.mkdir(parents=True, exist_ok=True)
    path = write_config(output.with_suffix(".yaml"), changed(settings, changes or {}))
    return load_config(path, [("test", "dataset.output_path", str(output))])


def generate(
    output: Path, settings: Mapping[str, Any], changes: Mapping[str, Any] | None = None, **how
) -> Path:
    config = config_of(output, settings, changes)
    with unchecked_shapes():
        assert DatasetGenerationPipeline(config, **how).generate().path == str(output)
    return output


@contextmanager
def unchecked_shapes() -> Iterator[None]:
    """Leave array shapes unchecked, as for users, which takes half the time; other tests check them."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


_made: dict[str, Path] = {}


def everything(factory: pytest.TempPathFactory) -> Path:
    """The dataset of `EVERYTHING`, in few shards, by one worker in this process; made once a session."""
    if "everything" not in _made:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plan, "FEWEST_SHARDS", 3)
            output = factory.mktemp("everything") / "everything.h5"
            _made["everything"] = generate(output, EVERYTHING)
    return _made["everything"]


def plain(factory: pytest.TempPathFactory) -> Path:
    """The dataset of `PLAIN`; made once a session."""
    if "plain" not in _made:
        _made["plain"] = generate(factory.mktemp("plain") / "plain.h5", PLAIN)
    return _made["plain"]


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of a file but its dimension scales, as plain h5py reads it."""
    found: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.attrs.get("CLASS") != b"DIMENSION_SCALE":
            found[name] = np.atleast_1d(item[()])

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def differing(one: Path, other: Path, rows: int | None = None) -> list[str]:
    """The arrays of two files that are not equal to the last bit, in the first ``rows`` rows."""
    a, b = arrays(one), arrays(other)
    assert set(a) == set(b)
    assert {"inputs/fields", "outputs/fields", "metadata/finite_steps", "parameters/params"} <= set(a)
    cut = {name: slice(None) if name == "outputs/timesteps" else slice(rows) for name in a}
    return [
        name
        for name in a
        if a[name].dtype != b[name].dtype
        or a[name][cut[name]].shape != b[name][cut[name]].shape
        or a[name][cut[name]].tobytes() != b[name][cut[name]].tobytes()
    ]


def flip(path: Path, place: int) -> None:
    """Flip the lowest bit of one byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def chunk_place(path: Path, array: str, row: int) -> int:
    """The place in a file of a byte in the middle of the first chunk of a row."""
    with h5py.File(path, "r") as file:
        info = file[array].id.get_chunk_info_by_coord((row,) + (0,) * (file[array].ndim - 1))
        return info.byte_offset + info.size // 2


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def environment(**changes: str) -> dict[str, str]:
    """The environment of a fresh Python process that finds the package."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OMP_NUM_THREADS")
    }
    return {**kept, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", **changes}


def spinlock_command(*words: object, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run ``python -m spinlock …`` to its end."""
    return python("-m", "spinlock", *words, **how)


def python(
    *words: object, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python with those arguments to its end."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        env=environment(**(env or {})),
        cwd=cwd,
        timeout=300,
        check=False,
    )


PEAK_MEMORY = """
def peak_memory():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
"""
"""Source of a function for a process of its own: its greatest resident memory in bytes. ``ru_maxrss`` begins
with that of the process which started it, and would hide a growth below that."""


class Running:
    """A ``spinlock generate`` process in a process group of its own, to be disturbed."""

    def __init__(self, output: Path, words: Sequence[object], env: Mapping[str, str]) -> None:
        self.parts = output.with_name(f"{output.name}.parts")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "spinlock", "generate", *map(str, words), "--output", str(output)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**env),
            start_new_session=True,
        )

    def receipts(self) -> int:
        return len(list((self.parts / "receipts").glob("part-*.json")))

    def wait_for_receipts(self, count: int) -> None:
        self.wait_until(lambda: self.receipts() >= count, f"{count} receipts")

    def wait_until(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                output = self.process.communicate(timeout=10)
                raise AssertionError(f"{what} never came: code {self.process.returncode}\n{output}")
            time.sleep(0.02)

    def workers(self) -> list[int]:
        """The pids of the worker processes."""
        return [pid for pid in children(self.process.pid) if "spinlock.execution.worker" in command_line(pid)]

    def wait_for_workers(self, count: int) -> list[int]:
        self.wait_until(lambda: len(self.workers()) >= count, f"{count} workers")
        return self.workers()

    def kill_group(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def end(self) -> tuple[int, str, str]:
        """Wait for the end and return (exit code, standard output, standard error)."""
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


@contextmanager
def running(output: Path, *words: object, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start ``spinlock generate … --output``; whatever is left of it is killed at the end."""
    run = Running(output, words, env or {})
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.kill_group()
        for stream in (run.process.stdout, run.process.stderr):
            if stream is not None:
                stream.close()


def children(pid: int) -> list[int]:
    """The pids of a process's children."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found.append(int(entry.name))
    return found


def command_line(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def gone(pids: Sequence[int], within: float = 30.0, word: str = "spinlock") -> bool:
    """Whether all processes end in time; one that waits to be reaped has ended."""
    deadline = time.monotonic() + within
    while any(word in command_line(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def with_companions(output: Path) -> set[str]:
    """The names of a dataset and of what describes it beside it."""
    return {output.name, *(path.name for path in (card_path(output), croissant_path(output)))}


def temporaries(folder: Path) -> list[str]:
    """Temporary files anywhere below a folder."""
    return [str(path) for path in folder.rglob("*.tmp-*")]
