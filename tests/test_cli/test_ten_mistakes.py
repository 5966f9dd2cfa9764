"""The ten most likely mistakes: the program says what docs/how_to/mistakes.md shows, with its exit code."""

import fcntl
import io
import re
import shlex
import shutil
import signal
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import h5py
import pytest
import yaml

import tiny
from spinlock.cli.program import run
from spinlock.dataset import open_dataset
from spinlock.errors import UsageError
from spinlock.storage.locks import DirectoryLock

PAGE = tiny.ROOT / "docs" / "how_to" / "mistakes.md"

BLOCK = re.compile(r"^```console\n\$ ([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shown(page: str) -> list[tuple[str, str]]:
    """The commands of a page, each with what it prints, in the order of the page."""
    return BLOCK.findall(page)


def agree(text: str, said: str) -> bool:
    """Whether a text is what a page shows, whatever the spaces; an ellipsis stands for anything."""
    words = " ".join(text.split())
    parts = [re.escape(" ".join(part.split())) for part in said.split("…")]
    return re.fullmatch(r"\s*.*?\s*".join(parts), words, re.DOTALL) is not None


@pytest.fixture
def place(plain, tmp_path, monkeypatch):
    """A folder with a dataset and configurations, right and wrong."""
    (tmp_path / "configs").symlink_to(tiny.ROOT / "configs")
    (tmp_path / "datasets").mkdir()
    shutil.copy(plain, tmp_path / "datasets" / "test_100.h5")
    tiny.write_config(tmp_path / "my.yaml", tiny.PLAIN)
    wrong = tiny.changed(tiny.PLAIN, {"parameter_space.architecture.gain.type": "continous"})
    wrong["simulation"]["num_realisations"] = wrong["simulation"].pop("num_realizations")
    (tmp_path / "typo.yaml").write_text(yaml.safe_dump(wrong, sort_keys=False))
    with h5py.File(tmp_path / "measurements.h5", "w") as file:
        file["voltage"] = [1.0, 2.0]
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def nothing(_place: Path, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    yield


@contextmanager
def without_gpu(_place, patch):
    patch.setattr("torch.cuda.is_available", lambda: False)
    yield


@contextmanager
def of_another_format(place, _patch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spinlock.storage.schema.FORMAT_VERSION", 0)
        tiny.generate(place / "old.h5", tiny.PLAIN)
    yield


@contextmanager
def small_disk(_place, patch):
    real = shutil.disk_usage
    patch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=1000))
    yield


@contextmanager
def without_extras(_place, patch):
    for name in ("pyarrow", "pyarrow.parquet", "zarr", "ray"):
        patch.setitem(sys.modules, name, None)
    yield


@contextmanager
def open_for_writing(place, _patch):
    with (place / "datasets" / "test_100.h5").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as HDF5 does
        yield


@contextmanager
def another_run(place, _patch):
    (place / "datasets" / "shared.h5.parts").mkdir()
    with DirectoryLock(place / "datasets" / "shared.h5.parts"):
        yield


@contextmanager
def interrupted(_place, patch):
    rows = []

    def advance(_):
        rows.append(1)
        if len(rows) > 1:  # the shard of the first row is finished
            signal.raise_signal(signal.SIGINT)

    patch.setattr("spinlock.cli.progress.Progress.advance", advance)
    yield


@contextmanager
def interrupted_before(place, patch):
    quiet = redirect_stderr(io.StringIO())
    with pytest.MonkeyPatch.context() as inner, interrupted(place, inner), tiny.unchecked_shapes(), quiet:
        run(["generate", "--config", "my.yaml", "--output", "datasets/interrupted.h5"])
    yield


SCENES = [
    ("--dataset datasets/test_10.h5", 1, nothing),
    ("--config configs/test_100.yaml", 2, nothing),
    ("info datasets/test_100.h5", 2, nothing),
    ("--device cuda", 0, without_gpu),
    ("old.h5", 1, of_another_format),
    ("measurements.h5", 1, nothing),
    ("--dataset my.yaml", 1, nothing),
    ("typo.yaml", 2, nothing),
    ("genrate", 2, nothing),
    ("--confg", 2, nothing),
    ("--num-timesteps 0", 2, nothing),
    ("--range 5", 2, nothing),
    ("--plot datasets/metadata.jpg", 2, nothing),
    ("large.h5", 1, small_disk),
    ("--to parquet", 2, without_extras),
    ("my.zarr", 2, without_extras),
    ("--executor ray", 2, without_extras),
    ("python3.10", 1, nothing),
    ("info --dataset datasets/test_100.h5", 1, open_for_writing),
    ("shared.h5", 1, another_run),
    ("--seed 7", 2, nothing),
    ("--output measurements.h5", 2, nothing),
    ("--output datasets/interrupted.h5", 130, interrupted),
    ("--dataset datasets/interrupted.h5", 1, interrupted_before),
    ("--output datasets/interrupted.h5", 0, interrupted_before),
]
"""For each command of the page in its order: a part of it, the exit code, and what goes wrong meanwhile."""


def said_by(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code of a command line and all that it prints."""
    if words[0] == "python3.10":
        old = f"import sys, runpy; sys.version_info = (3, 10, 4, 'final', 0); sys.argv = {words[2:]!r}; "
        done = tiny.python("-c", f"{old} runpy.run_module('spinlock', run_name='__main__', alter_sys=True)")
        return done.returncode, done.stdout + done.stderr
    with tiny.unchecked_shapes():
        code = run(words[1:])
    captured = capsys.readouterr()
    return code, captured.err + captured.out


def test_the_page_shows_a_scene_for_each_command() -> None:
    commands = [command for command, _ in shown(PAGE.read_text())]
    assert len(commands) == len(SCENES)
    assert [
        command for command, (part, _, _) in zip(commands, SCENES, strict=True) if part not in command
    ] == []
    assert len(re.findall(r"^## ", PAGE.read_text(), re.MULTILINE)) >= 10


@pytest.mark.parametrize("number", range(len(SCENES)), ids=lambda number: SCENES[number][0])
def test_the_program_says_what_the_page_shows(number, place, monkeypatch, capsys):
    command, said = shown(PAGE.read_text())[number]
    _, expected, scene = SCENES[number]
    with scene(place, monkeypatch):
        code, text = said_by(shlex.split(command), capsys)
    assert code == expected, text
    assert agree(text, said), f"the page shows\n{said}\nthe program says\n{text}"
    assert "Traceback" not in text or command.startswith("python3.10")


@pytest.mark.parametrize(
    ("text", "said", "same"),
    [
        ("a b\nc\n", "a\n  b c", True),
        ("planning\nx: 12 are left\n", "…\nx: … are left", True),
        ("x: gone: run it again", "x: gone", False),
        ("x: gone", "x: gone: run it again", False),
        ("x: 12 are left", "x: … are right", False),
    ],
)
def test_a_page_that_shows_something_else_is_found(text, said, same):
    assert agree(text, said) is same


EXTRAS = {"pandas": ("pandas", "pandas_view", "to_pandas"), "xarray": ("xarray", "xarray_view", "to_xarray")}


@pytest.mark.parametrize("extra", EXTRAS)
def test_python_names_the_extra_that_is_missing(extra, place, monkeypatch):
    package, module, method = EXTRAS[extra]
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"spinlock.dataset.{module}", raising=False)
    message = rf'needs the package {package}: run pip install "spinlock\[{extra}\]"'
    with open_dataset("datasets/test_100.h5") as dataset, pytest.raises(UsageError, match=message):
        getattr(dataset, method)()


def test_every_extra_is_missed_in_some_scene() -> None:
    project = tomllib.loads((tiny.ROOT / "pyproject.toml").read_text())["project"]
    named = set(re.findall(r"spinlock\[(\w+)\]", PAGE.read_text())) | set(EXTRAS)
    assert named == project["optional-dependencies"].keys() - {"all", "docs", "test"}
    assert "sys.version_info < (3, 11)" in (tiny.SOURCE / "spinlock" / "__init__.py").read_text()
    assert project["requires-python"] == ">=3.11"


def test_validate_does_not_call_damaged_what_it_cannot_read(place, monkeypatch, capsys):
    with open_for_writing(place, monkeypatch):
        code, text = said_by(["spinlock", "validate", "--dataset", "datasets/test_100.h5"], capsys)
    assert (code, "is in use" in text, "INVALID" in text) == (1, True, False)
    code, text = said_by(["spinlock", "validate", "--dataset", "none.h5"], capsys)
    assert (code, "does not exist" in text, "INVALID" in text) == (1, True, False)
