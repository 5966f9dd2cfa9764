#!/usr/bin/env python3
"""Run every benchmark, one after the other, and end with one table of what they measured.

    python benchmarks/run.py [--only NAME ...] [--small] [--list]

Each runs in a process of its own and prints its own tables. --small takes minutes: it shows that all of them
run, and its figures mean nothing. Without --only, benchmarks of a GPU are left out where there is none.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

SMALL = {
    "application": ["--repeats", "1"],
    "features": ["--grid-size", "32", "--frames", "17", "--realizations", "2", "--repeats", "1"],
    "generation": ["--job", "start", "--repeats", "1"],
    "gpu": ["--scale", "0.05", "--repeats", "1"],
    "gpu_kernels": ["--operators", "4", "--steps", "2"],
    "initial_conditions": ["--grid-size", "64", "--repeats", "1"],
    "reading": ["--megabytes", "20", "--batches", "2", "--repeats", "1"],
    "render": ["--operators", "2", "--frames", "4", "--plain-frames", "2", "--repeats", "1"],
}
"""Arguments with which each benchmark is done soon."""

NEEDS_GPU = ("gpu", "gpu_kernels")

TITLE = "| benchmark | what it prints | seconds | lines | result |\n|---|---|---|---|---|"


@dataclass(frozen=True)
class Ran:
    """What became of one benchmark: exit code, seconds, and what it printed."""

    script: Path
    code: int
    seconds: float
    printed: str

    @property
    def result(self) -> str:
        """In words: a benchmark exits with 1 where a bound is not kept, and so does a script that fails."""
        if self.code == 0:
            return "ran"
        kept = self.code == 1 and "Traceback (most recent call last)" not in self.printed
        return "a bound is not kept" if kept else f"failed with code {self.code}"

    def __str__(self) -> str:
        rows = [line for line in self.printed.splitlines() if line.startswith("|")]
        lines = len(rows) - 2 * sum(set(row) <= set("|-: ") for row in rows)
        what = summary(self.script)
        return f"| {self.script.stem} | {what} | {self.seconds:.0f} | {lines} | {self.result} |"


def summary(script: Path) -> str:
    """Return the first sentence of a script's description, without the word that all begin with."""
    first = script.read_text(encoding="utf-8").split('"""')[1].splitlines()[0]
    return first.removeprefix("Print ").rstrip(".")


def benchmarks(folder: Path = HERE) -> list[Path]:
    """Return the scripts of a folder that can be run, by name."""
    found = sorted(path for path in folder.glob("*.py") if path.name != Path(__file__).name)
    return [path for path in found if '__name__ == "__main__"' in path.read_text(encoding="utf-8")]


def run(script: Path, words: Sequence[str] = ()) -> Ran:
    """Run one benchmark, showing its lines as they come."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    start, printed = time.monotonic(), []
    command = [sys.executable, str(script), *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            printed.append(line)
    return Ran(script, process.returncode, time.monotonic() - start, "".join(printed))


def run_all(scripts: Iterable[Path], *, small: bool = False) -> list[Ran]:
    """Run benchmarks in turn, each below its name, and print the table of all."""
    ran = []
    for script in scripts:
        print(f"\n## {script.stem}\n", flush=True)
        ran.append(run(script, SMALL[script.stem] if small else ()))
    print("\n" + "\n".join([TITLE, *map(str, ran)]))
    return ran


def main(words: list[str] | None = None) -> int:
    """Do what the words ask for; exit 1 if a benchmark failed or, unless small, a bound is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these alone")
    parser.add_argument("--small", action="store_true", help="run each as small as it goes")
    parser.add_argument("--list", action="store_true", help="print the names and run nothing")
    options = parser.parse_args(words)
    known = {path.stem: path for path in benchmarks()}
    if unknown := set(options.only or ()) - set(known):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if options.list:
        print("\n".join(f"{name:20}{summary(path)}" for name, path in known.items()))
        return 0
    names = options.only or [name for name in known if name not in NEEDS_GPU or has_gpu()]
    ran = run_all([known[name] for name in names], small=options.small)
    accepted = {"ran", "a bound is not kept"} if options.small else {"ran"}
    return 0 if {found.result for found in ran} <= accepted else 1


def has_gpu() -> bool:
    """Return whether torch finds a GPU."""
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    sys.exit(main())
