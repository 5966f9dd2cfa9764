"""Commands that make or change a `.spin` directory or a Zarr store, disturbed as those of files are."""

import shutil
from pathlib import Path

import faults
import tiny
from spinlock.storage import verify
from spinlock.storage.feature_layout import EXTRACTION_TIME
from test_dataset.scenes import SETTINGS, Scene
from test_storage.stored_forms import contents


def comparable(path: Path) -> dict[str, object]:
    """What two runs of a command have in common."""
    found = contents(path)
    found.pop(EXTRACTION_TIME, None)
    return found


def put(source: Path, target: Path) -> None:
    """Make a copy of a dataset, or a file, stand somewhere."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


class FormScene(Scene):
    """A command whose output has any name; what stands before it may have another form."""

    def __init__(self, lab: faults.Laboratory, folder: Path, name: str, *words: object, before: Path | None):
        self.lab, self.words, self.before = lab, words, before
        self.folder, self.output = folder, folder / name
        self.set_up()
        self.undisturbed = lab.run(*words, below=folder)
        assert self.undisturbed.code == 0, self.undisturbed.err
        self.reference = folder.with_name(f"reference-{name}")
        shutil.move(self.output, self.reference)
        for companion in tiny.with_companions(self.output) - {self.output.name}:
            (folder / companion).unlink()
        assert list(folder.iterdir()) == []
        self.made = comparable(self.reference)

    def set_up(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if self.before is not None:
            put(self.before, self.output)

    def is_made(self) -> bool:
        return self.output.exists() and verify(self.output) == [] and comparable(self.output) == self.made

    def is_as_before(self) -> bool:
        if self.before is None:
            return not self.output.exists()
        if not self.output.exists():
            return False
        if self.before.is_dir() and self.output.is_dir():
            return verify(self.output) == [] and comparable(self.output) == comparable(self.before)
        return self.output.is_file() and self.output.read_bytes() == self.before.read_bytes()

    def is_finished(self) -> bool:
        names = {path.name for path in self.folder.iterdir()}
        return names == tiny.with_companions(self.output) and self.is_made()


def scene(
    lab: faults.Laboratory, folder: Path, kind: str, form: str, before: Path | None = None
) -> FormScene:
    """Return a scene: ``generating``, ``replacing`` or ``extracting``, of that form."""
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "run" / f"a.{form}"
    seed = 1 if kind == "replacing" else 42
    config = tiny.write_config(folder / "c.yaml", SETTINGS, sampling__sobol__seed=seed)
    if kind == "extracting":
        words = ("extract-features", "--quiet", "--dataset", output)
    else:
        words = ("generate", "--quiet", "--config", config, "--output", output)
    forced = ("--force",) if kind == "replacing" else ()
    return FormScene(lab, folder / "run", output.name, *words, *forced, before=before)
