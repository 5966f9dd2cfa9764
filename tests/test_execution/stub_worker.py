"""A worker process without torch: it speaks as a worker does, and does what a test asks instead of work."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import torch

import tiny
from spinlock.execution.executors import worker_process
from spinlock.execution.executors.outcome import Job
from spinlock.execution.plan import make_plan
from spinlock.storage import Receipt

SOURCE = """
import json, os, signal, sys, time
from pathlib import Path
answers = os.dup(1)
def say(**message):
    os.write(answers, (json.dumps(message) + "\\n").encode())
here = Path(__file__).parent
(here / f"pid-{os.getpid()}").touch()
sys.stdin.readline()
say(ready=True)
for line in sys.stdin:
    shard = json.loads(line)["shard"]
    with open(here / f"tries-{shard}", "a") as tries:
        tries.write(".")
    tried = (here / f"tries-{shard}").stat().st_size
    BODY
    say(row=1)
    say(receipt=(here / f"receipt-{shard}").read_text())
"""


def job_of(folder: Path, workers: int, samples: int, stall: float | str = "auto") -> Job:
    changes = {"sampling.total_samples": samples, "simulation.parallelism.stall_seconds": stall}
    config = tiny.config_of(folder / "a.h5", tiny.PLAIN, changes)
    for name in ("shards", "receipts"):
        (folder / name).mkdir(exist_ok=True)
    return Job(make_plan(config), folder, (torch.device("cpu"),), workers)


class Stub:
    """Stands in for the worker processes; ``body`` is run for each shard, before its receipt is sent."""

    def __init__(self, folder: Path, monkeypatch, body: str, shards: Iterable[int] = range(9)) -> None:
        self.folder = folder / "stub"
        self.folder.mkdir()
        script = self.folder / "stub.py"
        script.write_text(SOURCE.replace("BODY", body))
        for shard in shards:
            receipt = Receipt(shard, shard, shard + 1, "d", 1, "s", "d")
            (self.folder / f"receipt-{shard}").write_text(receipt.to_json())

        def spawn() -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                [sys.executable, "-S", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )

        monkeypatch.setattr(worker_process, "_spawn", spawn)

    def tries(self, shard: int) -> int:
        path = self.folder / f"tries-{shard}"
        return path.stat().st_size if path.exists() else 0

    def pids(self) -> list[int]:
        return [int(path.name.partition("-")[2]) for path in self.folder.glob("pid-*")]

    def all_gone(self) -> bool:
        return not any(os.path.exists(f"/proc/{pid}") for pid in self.pids())  # noqa: PTH110
