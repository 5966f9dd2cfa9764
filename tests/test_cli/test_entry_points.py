"""Three names of one program, which loads nothing it does not need."""

import ast
import json
import re
from types import SimpleNamespace

import pytest

import tiny

SCRIPT = tiny.ROOT / "scripts" / "spinlock.py"


@pytest.fixture
def config(tmp_path):
    return tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN, simulation__parallelism__strategy="process")


def test_the_script_finds_the_package_also_from_its_own_folder_and_in_its_workers(plain, tmp_path, config):
    output = tmp_path / "a.h5"
    words = ("generate", "--config", config, "--output", output, "--workers", 2)
    run = tiny.python("spinlock.py", *words, env={"PYTHONPATH": ""}, cwd=SCRIPT.parent)
    assert run.returncode == 0, run.stderr
    assert "simulating (process, 2 workers, cpu)" in run.stderr
    assert tiny.differing(plain, output) == []


def test_the_names_of_the_program_say_the_same(plain):
    words = ("info", "--dataset", plain, "--json")
    script = tiny.python(SCRIPT, *words, env={"PYTHONPATH": ""})
    module = tiny.spinlock_command(*words)
    function = tiny.python("-c", "from spinlock.cli import main; main()", *words)
    assert script.returncode == 0, script.stderr
    assert script.stdout == module.stdout == function.stdout != ""
    assert 'spinlock = "spinlock.cli:main"' in (tiny.ROOT / "pyproject.toml").read_text()


LOADED = """
import contextlib, io, json, sys
from spinlock.cli.program import run
with contextlib.redirect_stdout(io.StringIO()):
    code = run(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.mark.parametrize(
    "words", [("--help",), ("generate", "--help"), ("--version",), ("info",)], ids=" ".join
)
def test_what_needs_no_torch_loads_none(plain, words):
    more = ("--dataset", plain, "--verbose") if words == ("info",) else ()
    run = tiny.python("-c", LOADED, *words, *more)
    code, loaded = json.loads(run.stdout)
    assert code == 0, run.stderr
    assert "spinlock" in loaded
    assert not {"torch", "scipy", "numba", "matplotlib"} & set(loaded)
    if words != ("info",):
        assert not {"numpy", "h5py", "pydantic", "yaml"} & set(loaded)


def test_validate_loads_torch_only_to_replay():
    run = tiny.python("-c", "import sys, spinlock.dataset.validate; print('torch' in sys.modules)")
    assert run.stdout == "False\n", run.stderr


def test_cli_modules_import_nothing_of_ours_at_module_level():
    modules = sorted((tiny.SOURCE / "spinlock" / "cli").glob("*.py"))
    assert len(modules) >= 8
    for path in modules:
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not [
                name for name in names if name.startswith("spinlock") or node.__dict__.get("level")
            ], path


def test_printing_happens_only_in_the_command_line():
    for path in (tiny.SOURCE / "spinlock").rglob("*.py"):
        if path.parent.name != "cli":
            assert not re.search(r"^\s*print\(", path.read_text(), re.MULTILINE), path


def test_the_pipeline_reads_in_under_150_lines():
    assert len((tiny.SOURCE / "spinlock" / "dataset" / "generate.py").read_text().splitlines()) < 150


DEAF = """
import subprocess, sys
command = [sys.executable, "-m", "spinlock", "info", "--verbose", "--dataset", sys.argv[1]]
run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
run.stdout.close()
print(run.stderr.read(), run.wait())
"""


def test_a_reader_that_stops_reading_is_no_error_of_ours(everything):
    assert tiny.python("-c", DEAF, everything).stdout.split() == ["1"]


def test_without_a_terminal_progress_is_lines_on_standard_error(tmp_path, monkeypatch, caplog):
    from spinlock.cli import progress

    caplog.set_level("INFO", logger="spinlock")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.Progress() as shown:
        shown.stage("simulating")
        shown.begin(4, 1)
        for _ in range(5):
            shown.advance()
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "simulating"
    assert [line.split(",")[0] for line in lines[1:]] == [
        "simulating: 2 of 4 samples",
        "simulating: 3 of 4 samples",
        *["simulating: 4 of 4 samples"] * 3,
    ]
    assert re.search(r"[\d.e+]+ samples/s$", lines[1]), "one says nothing of the others"
    assert all(re.search(r"[\d.e+]+ samples/s, \d+ s left$", line) for line in lines[2:])


def test_what_is_compiled_before_the_first_sample_is_not_counted_for_the_others(monkeypatch, caplog):
    from spinlock.cli import progress

    caplog.set_level("INFO", logger="spinlock")
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(progress, "time", clock)
    with progress.Progress() as shown:
        shown.begin(11, 0)
        for clock.now in (60.0, 62.0):
            shown.advance()
    assert caplog.records[-1].getMessage().endswith("2 of 11 samples, 0.5 samples/s, 18 s left")


def test_hidden_progress_says_nothing(caplog):
    from spinlock.cli.progress import Progress

    caplog.set_level("INFO", logger="spinlock")
    with Progress(hidden=True) as shown:
        shown.stage("simulating")
        shown.begin(1, 0)
        shown.advance()
    assert caplog.records == []


TERMINAL = """
import os, pty, sys
from spinlock.cli.progress import Progress
with Progress() as shown:
    shown.stage("simulating"); shown.begin(3, 0)
    for _ in range(3): shown.advance()
"""


def test_on_a_terminal_progress_is_a_bar_with_a_rate():
    code = f"import pty, sys; sys.exit(pty.spawn([sys.executable, '-c', {TERMINAL!r}]) >> 8)"
    run = tiny.python("-c", code, env={"TERM": "xterm", "COLUMNS": "100"})
    assert run.returncode == 0, run.stderr
    for part in ("simulating", "3/3", "samples/s"):
        assert part in run.stdout
