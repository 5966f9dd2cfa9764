"""Runs of pytest in forks of one warm process, on a copy of the repository."""

import ctypes
import importlib
import json
import os
import resource
import runpy
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packages import ROOT, SOURCE, Package, untouched

WARM = (
    "torch numpy scipy.special scipy.stats scipy.stats.qmc h5py hdf5plugin numcodecs pydantic yaml rich "
    "numba jaxtyping beartype hypothesis hypothesis.extra.numpy pytest_timeout PIL.Image matplotlib"
)
LEFT_BEHIND = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".pytest_cache", ".hypothesis", "*.spin")


def make_tree(folder: Path) -> Path:
    """Return a fresh copy of the repository under ``folder``, for mutants to be written into."""
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(ROOT, tree, ignore=LEFT_BEHIND)
    return tree


def warm_up() -> None:
    """Import what tests import and is not ours, once for all forks."""
    for name in WARM.split():
        __import__(name)


def warm_up_further(tree: Path, package: Package) -> None:
    """Import, as the tests do, what of Spinlock no mutant of the package can change."""
    sys.path[:0] = [str(tree / "src"), str(tree / "tests")]
    runpy.run_path(str(tree / "tests" / "conftest.py"))
    for name in untouched(package):
        with suppress(ImportError):
            importlib.import_module(name)
    mutated = {str(tree / module) for module in package.modules}
    known = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    assert not mutated & known


@dataclass
class Baseline:
    """What the unchanged tests do: seconds of each test, and the tests that run each line of a module."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)

    def tests_of(self, module: str, lines: range | None) -> set[str]:
        """Return the tests that run some of the lines, or any line of the module."""
        covered = self.lines.get(module, {})
        touched = [tests for line, tests in covered.items() if lines is None or line in lines]
        return {test for tests in touched for test in tests if test}

    def quick(self, tests: Iterable[str], limit: float) -> list[str]:
        """Return tests, quick ones first: as many as take ``limit`` seconds, and one at least."""
        ordered = sorted(tests, key=lambda test: (self.seconds.get(test, 0.0), test))
        ends = accumulate(self.seconds.get(test, 0.0) for test in ordered)
        kept = max(1, sum(end < limit for end in ends))
        return ordered[:kept]


class Recorder:
    """A pytest plugin: runs chosen tests in the order given, and notes seconds, fixtures and the failure.

    A test that the baseline does not know, because its parameters come from the mutated code, is run too.
    """

    def __init__(self, chosen: list[str] | None, known: set[str], context: Callable[[str], Any]) -> None:
        self.chosen, self.known, self.context = chosen, known, context
        self.seconds: dict[str, float] = {}
        self.fixtures: dict[str, list[str]] = {}
        self.failure = ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        if self.chosen is None:
            return
        place = {name: rank for rank, name in enumerate(self.chosen)}
        kept = [item for item in items if item.nodeid in place or item.nodeid not in self.known]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = sorted(kept, key=lambda item: place.get(item.nodeid, -1))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self.context(item.nodeid)
        self.fixtures[item.nodeid] = list(item.fixturenames)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """Lines that a shared fixture runs belong to all its tests."""
        if fixturedef.scope == "function":
            return (yield)
        self.context(f"fixture {fixturedef.argname}")
        try:
            return (yield)
        finally:
            self.context(request.node.nodeid if "::" in request.node.nodeid else "")

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failure = self.failure or report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failure = self.failure or f"collection of {report.nodeid}"


def run_tests(
    tree: Path, tests: tuple[str, ...], recorder: Recorder, caches: Path, *, until_failure: bool
) -> int:
    """Run pytest in this process on the tree; return its exit status."""
    os.chdir(tree)
    sys.modules["__main__"] = ModuleType("__main__")  # spawned processes import none of ours
    sys.path[:0] = [str(tree / "src"), str(tree)]
    os.environ |= {"PYTHONPATH": str(tree / "src"), "NUMBA_CACHE_DIR": str(caches), "PYTHONHASHSEED": "0"}
    from numba.core import config

    config.reload_config()
    warm = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    options = ["-q", "-W", warm, "-n", "0", "-m", "not slow", "-p", "no:cacheprovider", "--tb=line"]
    return int(pytest.main([*options, *(["-x"] if until_failure else []), *tests], plugins=[recorder]))


def end_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends, however it ends."""
    set_option = getattr(ctypes.CDLL(None), "prctl", None)
    if set_option is not None:
        set_option(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def in_fork(work: Callable[[], dict[str, Any]], log: Path, *, cpu: float, wall: float) -> dict[str, Any]:
    """Return what ``work`` returns in a forked process group; ``{"timeout": True}`` beyond the limits."""
    log.unlink(missing_ok=True)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        end_with_parent()
        os.close(reader)
        output = os.open(log, os.O_WRONLY | os.O_CREAT)
        for stream in (1, 2):
            os.dup2(output, stream)
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 3))
        try:
            answer = json.dumps(work()).encode()
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(answer)
        except BaseException:  # noqa: BLE001 (a fork must never return)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    os.close(writer)
    return _collect(child, reader, time.monotonic() + wall)


def _collect(child: int, reader: int, deadline: float) -> dict[str, Any]:
    os.set_blocking(reader, False)
    answer, status, late = b"", None, False
    while status is None:
        ended, code = os.waitpid(child, os.WNOHANG)
        while piece := _read(reader):
            answer += piece
        if ended:
            status = code
        elif time.monotonic() > deadline:
            late = True
            os.killpg(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
        else:
            time.sleep(0.02)
    while piece := _read(reader):
        answer += piece
    os.close(reader)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)):
        return {"timeout": True}
    return json.loads(answer) if answer else {"died": status}


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 1 << 20)
    except BlockingIOError:
        return b""


def measure_baseline(tree: Path, name: str, package: Package, folder: Path) -> Baseline:
    """Run the unchanged tests once under coverage, or recall it; raise where one fails."""
    files = [path for test in package.tests for path in sorted([tree / test, *(tree / test).rglob("*.py")])]
    files += [tree / module for module in package.modules]
    state = sha256(b"".join(path.read_bytes() for path in files if path.is_file())).hexdigest()
    kept = folder / f"{name}.baseline.json"
    answer = json.loads(kept.read_text()) if kept.exists() else {}
    if answer.get("state") != state:
        log = folder / "baseline.log"
        answer = in_fork(partial(_watched_run, tree, package, folder), log, cpu=1800, wall=3600)
        if answer.get("status") != 0:
            raise SystemExit(f"the unchanged tests do not pass ({answer.get('failure', answer)}): see {log}")
        kept.write_text(json.dumps({**answer, "state": state}))
    users: dict[str, list[str]] = {}
    for test, names in answer["fixtures"].items():
        for fixture in names:
            users.setdefault(f"fixture {fixture}", []).append(test)
    lines = {
        module: {
            int(line): sorted({test for context in contexts for test in users.get(context, [context])})
            for line, contexts in covered.items()
        }
        for module, covered in answer["lines"].items()
    }
    return Baseline(answer["seconds"], lines)


def _watched_run(tree: Path, package: Package, folder: Path) -> dict[str, Any]:
    """Run all tests of a package; return seconds, fixtures and lines of each."""
    os.environ["COVERAGE_CORE"] = "ctrace"
    import coverage

    modules = [str(tree / module) for module in package.modules]
    watch = coverage.Coverage(data_file=None, include=modules, concurrency=["thread"])
    watch.start()
    recorder = Recorder(None, set(), watch.switch_context)
    status = run_tests(tree, package.tests, recorder, folder / "numba", until_failure=False)
    watch.stop()
    data = watch.get_data()
    lines = {
        str(module): data.contexts_by_lineno(str(tree / module))
        for module in package.modules
        if str(tree / module) in data.measured_files()
    }
    return {
        "status": status,
        "failure": recorder.failure,
        "seconds": recorder.seconds,
        "fixtures": recorder.fixtures,
        "lines": lines,
    }


def clean(tree: Path, module: str) -> None:
    """Remove compiled forms of a module, whose stamp may be that of the last mutant."""
    path = tree / module
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()


def compiles_loops(module: str) -> bool:
    """Return whether numba sees the module: its cache must be empty then, and coverage is blind."""
    return "numerics.compiled" in (ROOT / module).read_text() or module == str(SOURCE / "keys.py")
