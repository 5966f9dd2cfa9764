"""A command that is killed, or told that the disk fails, again and again, and must always end well."""

import shutil
from pathlib import Path

import faults
import tiny
from spinlock.dataset.companions import is_described
from spinlock.storage import verify
from spinlock.storage.feature_layout import EXTRACTION_TIME

SIGKILL = -9

SETTINGS = tiny.changed(tiny.PLAIN, {"sampling.total_samples": 2})
"""Two shards of one row."""


class Scene:
    """A command, what stands before it, and what must stand after it."""

    def __init__(self, lab: faults.Laboratory, folder: Path, *words: object, before: Path | None = None):
        self.lab, self.words, self.before = lab, words, before
        self.folder = folder
        self.output = folder / "a.h5"
        self.set_up()
        self.undisturbed = lab.run(*words, below=folder)
        assert self.undisturbed.code == 0, self.undisturbed.err
        self.reference = folder.with_name(f"{folder.name}.h5")
        assert self.names() == tiny.with_companions(self.output)
        shutil.move(self.output, self.reference)
        self.set_up()
        assert lab.run(*words).code == 0
        assert self.is_made(), "two undisturbed runs differ"

    def set_up(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        if self.before is not None:
            shutil.copy(self.before, self.output)

    def is_made(self) -> bool:
        """Whether the complete dataset stands at the output, with the arrays of an undisturbed run."""
        stands = self.output.exists() and verify(self.output) == []
        same_arrays = stands and set(tiny.arrays(self.output)) == set(tiny.arrays(self.reference))
        return same_arrays and set(tiny.differing(self.reference, self.output)) <= {EXTRACTION_TIME}

    def is_as_before(self) -> bool:
        if self.before is None:
            return not self.output.exists()
        return self.output.exists() and self.output.read_bytes() == self.before.read_bytes()

    def kill_at(self, event: faults.Event, mode: str = "kill") -> None:
        self.set_up()
        killed = self.lab.run(*self.words, below=self.folder, at=event.number, mode=mode)
        assert killed.code == SIGKILL, (event, killed)
        assert self.is_as_before() or self.is_made(), f"neither the old nor the new: {event}"
        if not self.is_finished():  # else nothing is left to do, and a second extraction would be refused
            self.goes_on(event)

    def goes_on(self, event: object) -> None:
        again = self.lab.run(*self.words)
        assert again.code == 0, (event, again)
        assert self.is_finished(), (event, self.names())

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def is_finished(self) -> bool:
        """Whether the complete dataset stands at the output with what describes it, and nothing else."""
        whole = self.names() == tiny.with_companions(self.output) and self.is_made()
        return whole and is_described(self.output)

    @property
    def kinds(self) -> list[faults.Event]:
        """One change of each kind that an undisturbed run makes."""
        return faults.first_of_each(self.undisturbed.events)
