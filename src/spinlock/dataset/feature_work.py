"""The work of an extraction: the folder beside its output that holds finished parts until the end.

Beside the output ``x.h5`` stands ``x.h5.features.parts/`` (for a URL, in the working directory).
Parts hold what was computed; ``finished.json`` names the file that was made of them, in case the process is
killed between renaming it and clearing up.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spinlock.dataset.companions import write_companions
from spinlock.errors import SpinlockError
from spinlock.execution.run_directory import told_what_stays
from spinlock.storage import (
    DirectoryLock,
    Url,
    commit_text,
    remove_temporaries,
    write_errors,
)
from spinlock.storage.companions import remove_temporaries_of
from spinlock.storage.feature_parts import FeatureParts
from spinlock.storage.folders import make_folder, remove_if_empty, remove_tree
from spinlock.storage.locks import LOCK_NAME

FINISHED_FILE = "finished.json"

BARE_FILE = "dataset.h5"
"""Stands among the parts of a repair, and no other: the repaired dataset without its features."""


class FeatureWork:
    """The work at one output path, locked against other processes while it is open.

    Raises
    ------
    UsageError
        Where the folder cannot be made.
    StorageError
        Where another process works there, or the disk is full or fails.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        beside = Path(output.name) if isinstance(output, Url) else output
        self.path = beside.with_name(f"{output.name}.features.parts")
        self._lock = DirectoryLock(self.path)

    def __enter__(self) -> Self:
        """Create and lock the folder, and remove what a killed process was writing."""
        make_folder(self.path, "", "give an --output in a folder you may write to")
        self._lock.acquire()
        generating = self.path.with_name(f"{self.output.name}.parts").exists()
        try:
            with write_errors(self.path):
                remove_temporaries(self.path)
                if not generating and not isinstance(self.output, Url):  # `generate` may write there
                    remove_temporaries_of(self.output)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the lock back; what was committed stays."""
        self._lock.release()

    def parts(self, binding: Mapping[str, Any]) -> FeatureParts:
        """Return the parts whose numbers depend on ``binding``."""
        return FeatureParts(self.path, binding)

    def note_finished(self, digest: str, asked: Mapping[str, Any]) -> None:
        """Note which file is about to take its place at the output, and what was asked for."""
        commit_text(self.path / FINISHED_FILE, json.dumps({"digest": digest, "asked": asked}))

    def is_finished(self, digest: str, asked: Mapping[str, Any]) -> bool:
        """Return whether the file of that digest is what the same request made, but for clearing up."""
        try:
            note = json.loads((self.path / FINISHED_FILE).read_text())
        except (OSError, ValueError):
            return False
        return note == {"digest": digest, "asked": json.loads(json.dumps(asked))}

    @property
    def is_cleared(self) -> bool:
        """Whether the folder stands there empty, as a process leaves it that is killed while clearing up."""
        return self.path.is_dir() and not any(self.path.iterdir())

    def clear(self) -> None:
        """Remove the work and, if nothing else stands in it, the folder."""
        with told_what_stays(self.output, self.path):
            for folder in self.path.glob("part-*"):
                remove_tree(folder)
            self._lock.path.unlink(missing_ok=True)
            (self.path / FINISHED_FILE).unlink(missing_ok=True)
            remove_if_empty(self.path)


def repair_parts(output: Path) -> list[Path]:
    """Return the folders of parts that a repair left beside its output."""
    folder = output.with_name(f"{output.name}.features.parts")
    return [bare.parent for bare in sorted(folder.glob(f"part-*/{BARE_FILE}"))]


def clear_finished_repair(output: Path) -> None:
    """Remove the features that a repair worked on, unless a process is at them; extractions keep theirs."""
    if not repair_parts(output):
        return
    with suppress(SpinlockError), FeatureWork(output) as work:
        with told_what_stays(output, work.path):
            for folder in repair_parts(output):
                remove_tree(folder)
        if {path.name for path in work.path.iterdir()} <= {LOCK_NAME}:
            work.clear()


def clear_finished_work(output: Path) -> None:
    """Describe an output that is complete, and remove its work."""
    with suppress(SpinlockError), FeatureWork(output) as work:
        write_companions(output)
        work.clear()
