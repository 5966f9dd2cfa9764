"""The work of an extraction: the folder beside its output that holds finished parts until the end.

Beside the output ``x.h5`` stands ``x.h5.features.parts/``. Parts hold what was computed; ``finished.json``
names the file that was made of them, in case the process is killed between renaming it and clearing up.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spinlock.errors import SpinlockError, UsageError
from spinlock.storage import DirectoryLock, committed, remove_temporaries
from spinlock.storage.feature_parts import FeatureParts

FINISHED_FILE = "finished.json"


class FeatureWork:
    """The work at one output path, locked against other processes while it is open.

    Raises
    ------
    UsageError
        Where the folder cannot be made.
    StorageError
        Where another process works there.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.path = output.with_name(f"{output.name}.features.parts")
        self._lock = DirectoryLock(self.path)

    def __enter__(self) -> Self:
        """Create and lock the folder, and remove what a killed process was writing."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{self.path} cannot be made ({error.strerror}); "
                "give an --output in a folder you may write to"
            ) from None
        self._lock.acquire()
        remove_temporaries(self.path)
        if not self.output.with_name(f"{self.output.name}.parts").exists():  # else `generate` may write there
            remove_temporaries(self.output.parent, self.output.name)
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
        with committed(self.path / FINISHED_FILE) as temporary:
            temporary.write_text(json.dumps({"digest": digest, "asked": asked}))

    def is_finished(self, digest: str, asked: Mapping[str, Any]) -> bool:
        """Return whether the file of that digest is what the same request made, but for clearing up."""
        try:
            note = json.loads((self.path / FINISHED_FILE).read_text())
        except (OSError, ValueError):
            return False
        return note == {"digest": digest, "asked": json.loads(json.dumps(asked))}

    def clear(self) -> None:
        """Remove the work and, if nothing else stands in it, the folder."""
        for folder in self.path.glob("part-*"):
            shutil.rmtree(folder, ignore_errors=True)
        (self.path / FINISHED_FILE).unlink(missing_ok=True)
        self._lock.path.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()


def clear_finished_work(output: Path) -> None:
    """Remove the work of an output that is complete."""
    with suppress(SpinlockError), FeatureWork(output) as work:
        work.clear()
