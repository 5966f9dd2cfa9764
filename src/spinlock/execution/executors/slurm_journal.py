"""Journals: how a task of an array job tells its driver what it does, line by line, through a file.

Each line is one JSON object with one of the keys of `EVENTS`. A journal has one writer, which opens the file
for every line: on a network file system others see a line once its writer has closed the file.
"""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

EVENTS = (
    "ready",  # {"ready": workers}: it begins to compute
    "rows",  # {"rows": n}: so many rows more are made
    "done",  # {"done": shard}: it is committed, with its receipt
    "quarantined",  # {"quarantined": shard, "reason": text}: it failed three times
    "warning",  # {"warning": text}
    "mixing",  # {"mixing": text}: this node would compute other bits; nothing was begun
    "storage_error",  # {"storage_error": text}: it left for that
    "error",  # {"error": text}: it left for that
    "left",  # {"left": signal}: it was asked to
    "end",  # {"end": true}: nothing is left to do
)

ROW_SECONDS = 1.0
"""Rows are told of at most so often."""


class Journal:
    """The journal of a task, to be written; any thread may do so."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._rows = 0
        self._told = time.monotonic()

    def say(self, **event: Any) -> None:
        """Write one line; what is written after it was said after it."""
        with self._lock:
            self._write_rows()
            self._write(event)

    def row(self) -> None:
        """Count a row, and tell of those counted now and then."""
        with self._lock:
            self._rows += 1
            if time.monotonic() - self._told >= ROW_SECONDS:
                self._write_rows()

    def _write_rows(self) -> None:
        self._told = time.monotonic()
        if self._rows:
            self._write({"rows": self._rows})
            self._rows = 0

    def _write(self, event: dict[str, Any]) -> None:
        try:
            with self._path.open("a") as file:
                file.write(json.dumps(event) + "\n")
        except OSError as error:  # what counts are the receipts; the log of the task says what it can
            sys.stderr.write(f"{self._path}: {error.strerror}: {event}\n")


class JournalReader:
    """A journal as its driver reads it, each line once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = 0

    def news(self) -> list[dict[str, Any]]:
        """Return the events since the last call; a line that is not complete yet is for the next one."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._place)
                text = file.read()
        except OSError:
            return []
        complete = text[: text.rfind(b"\n") + 1]
        self._place += len(complete)
        return [event for line in complete.splitlines() if (event := _parsed(line)) is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return an event; None for a line that a node which broke down left damaged."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
