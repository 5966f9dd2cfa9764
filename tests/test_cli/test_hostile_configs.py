"""Whatever a configuration holds: exit 2 and one short message; no code runs, nothing hangs or is written."""

import contextlib
import io
import json
import os
import random
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spinlock.dataset
import tiny
from spinlock.cli.program import run
from spinlock.config.yaml_source import LARGEST_FILE
from spinlock.errors import SpinlockError
from spinlock.execution import make_plan
from test_cli.hostile_texts import HOSTILE
from test_config.config_texts import TEXT

LONGEST_MESSAGE = 20_000
"""Characters: 20 faults, of which each may list all that is allowed."""

MEMORY = 1 << 30
"""Bytes that a refusal may take beyond what the program itself does."""

EXAMPLES = sorted((tiny.ROOT / "configs" / "experiments").glob("*.yaml"))


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a folder: kind and permissions, and the bytes of a file or the target of a link."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = str(path.readlink()).encode() if stat.S_ISLNK(mode) else b""
        found[str(path.relative_to(folder))] = mode, path.read_bytes() if stat.S_ISREG(mode) else content
    return found


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a working directory, a home and other people's files; configurations lie elsewhere."""
    for name in ("work", "home", "others"):
        (tmp_path / "place" / name).mkdir(parents=True)
    (tmp_path / "place" / "others" / "precious.h5").write_bytes(b"precious")
    (tmp_path / "place" / "work" / "small.h5").write_bytes(b"another dataset")
    monkeypatch.chdir(tmp_path / "place" / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "place" / "home"))
    return tmp_path / "place"


def told(*arguments: str) -> tuple[int, str, str]:
    """Run the program here and return exit code, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    return code, out.getvalue(), err.getvalue()


def complaint(code: int, out: str, err: str) -> str:
    """Return what is wrong with a refusal, or nothing."""
    if code != 2 or out:
        return f"exit code {code}, output {out[:200]!r}, told {err[:500]!r}"
    if not err.startswith("spinlock generate: ") or err.count("spinlock generate: ") != 1:
        return f"not one message: {err[:500]!r}"
    if re.search(r"Traceback|pydantic|[Ii]nput should|<class|unexpected \w+Error", err):
        return f"not for newcomers: {err[:500]!r}"
    return f"{len(err)} characters" if len(err) > LONGEST_MESSAGE else ""


CHILD = """
import json, os, resource, sys
import spinlock.dataset, spinlock.config.load, spinlock.config.model
from test_cli.test_hostile_configs import told
with open("/proc/self/statm") as status:
    used = int(status.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
for path in sys.argv[1:]:
    print(json.dumps([path, *told("generate", "--config", path)]), flush=True)
"""


def told_by_a_child(paths: list[str], place: Path) -> dict[str, tuple[int, str, str]]:
    """Return what a process of bounded memory says to each path; one that hangs ends, and fails the test."""
    search = os.pathsep.join((str(tiny.SOURCE), str(tiny.ROOT / "tests")))
    done = subprocess.run(
        [sys.executable, "-c", f"MEMORY = {MEMORY}\n{CHILD}", *paths],
        capture_output=True, text=True, stdin=subprocess.PIPE, timeout=250, check=False, cwd=place / "work",
        env=tiny.environment(PYTHONPATH=search, HOME=str(place / "home")),
    )  # fmt: skip
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [path for path, *_ in results] == paths, f"it ended with {done.returncode}: {done.stderr[-2000:]}"
    return {path: (code, out, err) for path, code, out, err in results}


ENDLESS = {"pipe.yaml": "a pipe", "/dev/stdin": "a pipe", "/dev/zero": "a device", "/dev/full": "a device"}
"""What blocks or has no end, and what it is called."""


def test_hostile_configurations_are_refused_in_bounded_memory(tmp_path, place):
    """In a child, so that a text that grows without bound, or a pipe without a writer, ends it and not us."""
    texts = {str(tmp_path / f"{number:03d}.yaml"): name for number, name in enumerate(HOSTILE)}
    for path, name in texts.items():
        Path(path).write_bytes(HOSTILE[name])
    os.mkfifo(tmp_path / "pipe.yaml")
    endless = {
        str(tmp_path / name): kind
        for name, kind in ENDLESS.items()
        if name == "pipe.yaml" or Path(name).exists()
    }
    before = tree(place)
    results = told_by_a_child([*texts, *endless], place)
    assert {texts.get(path, path): said for path, told in results.items() if (said := complaint(*told))} == {}
    for path, kind in endless.items():
        assert f"{path}: {kind}, not a file; save the configuration in a file" in results[path][2]
    assert tree(place) == before


def test_the_text_that_the_hostile_ones_are_made_from_is_accepted(tmp_path, place, reaching):
    """The control: the refusals above are of what was added."""
    (tmp_path / "c.yaml").write_text(TEXT)
    assert told("generate", "--config", str(tmp_path / "c.yaml"))[2].endswith("could be planned\n")


def test_the_bound_of_the_child_bites():
    """The control: memory beyond such a bound is not given."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({MEMORY},) * 2)"
    assert "MemoryError" in tiny.python("-c", f"{limit}; bytearray({2 * MEMORY})").stderr


# --- what is no file ---


def test_folders_sockets_and_names_that_no_file_can_have(tmp_path, place):
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.yaml"))
        for name, words in {
            str(tmp_path): "a directory",
            str(tmp_path / "s.yaml"): "cannot be read",
            str(tmp_path / ("x" * 300)): "cannot be read: File name too long",
            "a\0b.yaml": "holds a character that no file name can hold",
            "a\udfff.yaml": "holds a character that no file name can hold",
            "": "a directory",
            "/proc/self/mem": "cannot be read",
        }.items():
            outcome = told("generate", "--config", name)
            assert complaint(*outcome) == "", name
            assert words in outcome[2], outcome[2]


def test_a_file_that_grows_for_ever_is_read_to_a_bound(tmp_path, place):
    with (tmp_path / "sparse.yaml").open("wb") as file:
        file.truncate(1 << 40)
    outcome = told("generate", "--config", str(tmp_path / "sparse.yaml"))
    assert complaint(*outcome) == ""
    assert f"larger than {LARGEST_FILE >> 10} KiB" in outcome[2]


# --- bytes at random ---


class Reached:
    """In place of the pipeline: plans, and makes nothing."""

    def __init__(self, config, **_how) -> None:
        self.config = config

    def generate(self, _progress) -> None:
        next(make_plan(self.config).draws(0, 1))
        raise SpinlockError("could be planned")


@pytest.fixture
def reaching(monkeypatch):
    monkeypatch.setattr(spinlock.dataset, "DatasetGenerationPipeline", Reached)


def outcome_of(content: bytes, file: Path) -> bool:
    """Give bytes as a configuration; return whether they were one, having been refused properly otherwise."""
    file.write_bytes(content)
    code, out, err = told("generate", "--config", str(file))
    if code == 1 and err == "spinlock generate: could be planned\n":
        return True
    assert complaint(code, out, err) == ""
    return False


CHARACTERS = tuple(bytes([code]) for code in b"[]{}:,-&*!|>'\"%@`#?\n\t\0~=_")
WORDS = (b": ", b"- ", b"\n  ", b"&a ", b"*a", b"!!", b"<<: ", b"---\n", b"...\n", b"0x", b"1e", b".inf")
BROKEN = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80")
PIECES = (*CHARACTERS, *WORDS, *BROKEN)


def shuffled(text: bytes, seed: int) -> bytes:
    """Cut, double, replace and insert at seeded places of a text."""
    choose = random.Random(seed)
    for _ in range(choose.randint(1, 6)):
        start = choose.randrange(len(text) + 1)
        end = start + choose.choice((0, 0, 1, 2, 8, 40))
        piece = choose.choice((*PIECES, text[start:end] * 2, choose.randbytes(choose.randint(0, 4)), b""))
        text = text[:start] + piece + text[end:]
    return text


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_with_odd_bytes_are_refused_or_valid(file, tmp_path, place, reaching):
    before, text = tree(place), file.read_bytes()
    count = 12
    valid = [outcome_of(shuffled(text, seed), tmp_path / "c.yaml") for seed in range(count)]
    assert outcome_of(text, tmp_path / "c.yaml")
    assert not all(valid)
    assert tree(place) == before


@pytest.mark.slow
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_with_many_odd_bytes_are_refused_or_valid(file, tmp_path, place, reaching):
    before, text = tree(place), file.read_bytes()
    valid = [outcome_of(shuffled(text, seed), tmp_path / "c.yaml") for seed in range(100, 300)]
    assert 0 < sum(valid) < len(valid)
    assert tree(place) == before


def test_bytes_are_refused(tmp_path, place, reaching):
    before = tree(place)
    contents = st.binary(max_size=200) | st.lists(
        st.sampled_from(PIECES) | st.binary(max_size=3), max_size=30
    ).map(b"".join)

    @settings(max_examples=300)
    @given(contents)
    def check(content):
        assert not outcome_of(content, tmp_path / "c.yaml")

    check()
    assert tree(place) == before
