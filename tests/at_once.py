"""Several ``spinlock`` commands that begin at the same moment, in processes of their own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tiny

LAUNCHER = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
import spinlock.cli.generate, spinlock.cli.extract_features, spinlock.cli.info, spinlock.cli.validate
import spinlock.config.load, spinlock.config.model, spinlock.dataset, spinlock.dataset.generate
import spinlock.dataset.extract, spinlock.features.extraction
from spinlock.cli.program import run

def begin(waiting, go, folder, number, words):
    child = os.fork()
    if child:
        return child
    os.close(go)
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{number}.{name}", os.O_WRONLY | os.O_CREAT, 0o644), descriptor)
    os.read(waiting, 1)  # until the other end is closed
    code = run(words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

for line in sys.stdin:
    folder, commands = json.loads(line)
    waiting, go = os.pipe()
    children = [begin(waiting, go, Path(folder), *each) for each in enumerate(commands)]
    os.close(go)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
    os.close(waiting)
"""
"""Imports once, then, for each line, forks a process for each command and lets all of them go."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


class Launcher:
    """A process that starts commands at once."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def at_once(self, folder: Path, *commands: Sequence[object]) -> list[Outcome]:
        """Run the commands, all of which begin at the same moment, to their ends; tell into the folder."""
        folder.mkdir()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        words = [[str(word) for word in command] for command in commands]
        print(json.dumps([str(folder), words]), file=self.process.stdin, flush=True)
        codes = json.loads(self.process.stdout.readline())
        told = [
            [(folder / f"{number}.{name}").read_text() for name in ("out", "err")]
            for number in range(len(commands))
        ]
        return [Outcome(code, *texts) for code, texts in zip(codes, told, strict=True)]


@contextlib.contextmanager
def launching() -> Iterator[Launcher]:
    """Start a launcher; whatever is left of it and of its commands is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=tiny.environment(), start_new_session=True,
    )  # fmt: skip
    with process:
        try:
            yield Launcher(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def untold(outcomes: Sequence[Outcome], *allowed: str) -> list[Outcome]:
    """Return the commands that failed, but with none of the messages that are allowed."""
    return [
        outcome
        for outcome in outcomes
        if outcome.code and (not any(words in outcome.err for words in allowed) or "Traceback" in outcome.err)
    ]
