"""Faults at chosen system calls: a run is killed, or told that the disk is full, at any change of the disk.

A library in C, preloaded into the run, counts every call that changes what lies below a folder: open for
writing, write, truncate, close, fsync, rename, unlink, mkdir, rmdir, those of HDF5 too. A warm process forks
one run after the other, so that hundreds take a minute or two.
"""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import tiny

HERE = Path(__file__).parent

PAGE = struct.Struct("qqiiixxxx")
"""The control page: events so far, the event meant, the mode, an error number, the driver's pid."""

MODES = ("observe", "kill", "kill group", "kill driver", "tear", "fail", "fail from")
"""What happens at the event; ``tear`` writes half of what was to be written and kills."""

UNIQUE = re.compile(r"\.tmp-[0-9a-f]{32}")


@dataclass(frozen=True)
class Event:
    """A change of the disk: its number, from 1, what is done, and to which file below the folder."""

    number: int
    op: str
    name: str

    @property
    def said(self) -> str:
        return f"{self.op} {self.name}"


@dataclass(frozen=True)
class Ended:
    """A run that ended: its exit code, negative for a signal, what it printed, and its events."""

    code: int
    out: str
    err: str
    events: tuple[Event, ...]


def compiled(folder: Path) -> Path:
    """Compile the library; skip where there is no compiler, or no system whose calls it knows."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("faults at system calls need Linux and a C compiler")
    library = folder / "faults.so"
    made = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", library, HERE / "faults.c", "-ldl"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"the fault library cannot be compiled here: {made.stderr[:200]}")
    return library


class Laboratory:
    """Runs commands with faults, each in a fork of a warm process."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.library = compiled(scratch)
        config = tiny.write_config(scratch / "warm.yaml", tiny.PLAIN)
        self._errors = (scratch / "server.err").open("w")
        self._server = subprocess.Popen(
            [sys.executable, HERE / "fault_server.py", config],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env=tiny.environment(LD_PRELOAD=str(self.library)),
        )  # fmt: skip

    def close(self) -> None:
        self._server.kill()
        self._server.communicate()
        self._errors.close()

    def run(
        self,
        *words: object,
        below: Path | None = None,
        at: int = 0,
        mode: str = "observe",
        error: int = 0,
        largest_file: int = 0,
    ) -> Ended:
        """Run a command; changes below a folder are its events, and number ``at`` is where the fault is."""
        files = {name: str(self.scratch / name) for name in ("out", "err", "page", "log")}
        write_page(Path(files["page"]), at, mode, error)
        Path(files["log"]).write_text("")
        request = {
            **files,
            "page": files["page"] if below else "",
            "below": str(below),
            "words": [str(word) for word in words],
            "largest_file": largest_file,
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer, (self.scratch / "server.err").read_text()
        return Ended(
            os.waitstatus_to_exitcode(json.loads(answer)["status"]),
            Path(files["out"]).read_text(),
            Path(files["err"]).read_text(),
            events_in(Path(files["log"]), below) if below else (),
        )


def write_page(page: Path, at: int, mode: str, error: int = 0, driver: int = 0) -> None:
    page.write_bytes(PAGE.pack(0, at, MODES.index(mode), error, driver))


def name_driver(page: Path, pid: int) -> None:
    """Say who the driver is, while others may be using the page."""
    with page.open("r+b") as file:
        file.seek(struct.calcsize("qqii"))
        file.write(struct.pack("i", pid))


def events_in(log: Path, below: Path) -> tuple[Event, ...]:
    events = []
    for line in log.read_text().splitlines():
        number, op, path = line.split(" ", 2)
        events.append(Event(int(number), op, UNIQUE.sub(".tmp", os.path.relpath(path, below))))
    return tuple(sorted(events, key=lambda event: event.number))


@contextmanager
def laboratory(scratch: Path) -> Iterator[Laboratory]:
    lab = Laboratory(scratch)
    try:
        yield lab
    finally:
        lab.close()


def first_of_each(events: Sequence[Event]) -> list[Event]:
    """The first event of each kind: what is done, to which file, whatever the number of the shard."""
    kinds: dict[str, Event] = {}
    for event in events:
        kinds.setdefault(re.sub(r"\d+", "N", event.said), event)
    return list(kinds.values())
