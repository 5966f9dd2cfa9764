"""Real runs, of threads or of worker processes, killed at random moments: nothing is lost, nothing is left.

Moments are numbers of changes of the disk, counted over all processes of a run.
"""

import errno
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import faults
import tiny

SETTINGS = tiny.changed(tiny.PLAIN, {"sampling.total_samples": 4})

EVENTS = 340
"""About as many changes as such a run makes."""

KINDS = ("kill", "kill group", "kill driver")
"""Who is killed: the process that makes the change, all of them, or the driver."""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return faults.compiled(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return tiny.generate(tmp_path_factory.mktemp("undisturbed") / "a.h5", SETTINGS)


@dataclass
class Disturbed:
    """A run that is disturbed at a change of the disk, whichever of its processes makes it."""

    library: Path
    folder: Path
    strategy: str

    def __post_init__(self) -> None:
        self.below = self.folder / "run"
        self.below.mkdir()
        self.output = self.below / "a.h5"
        parallelism = {"strategy": self.strategy, "workers": 2}
        self.config = tiny.write_config(self.folder / "c.yaml", SETTINGS, simulation__parallelism=parallelism)
        self.page = self.folder / "page"

    def run(self, at: int, mode: str, error: int = 0) -> tuple[int, str]:
        """Return the exit code and what was said on standard error."""
        faults.write_page(self.page, at, mode, error)
        environment = {
            "LD_PRELOAD": str(self.library),
            "FAULTS_PAGE": str(self.page),
            "FAULTS_BELOW": str(self.below),
            "FAULTS_LOG": str(self.folder / "log"),
        }
        with tiny.running(self.output, "--config", self.config, env=environment) as run:
            faults.name_driver(self.page, run.process.pid)
            workers: set[int] = set()
            while run.process.poll() is None:
                workers |= set(run.workers())
                time.sleep(0.05)
            code, _, err = run.end()
            assert tiny.gone(sorted(workers))
        return code, err

    def ends_well(self, undisturbed: Path) -> None:
        """Go on without a fault and compare."""
        assert not self.output.exists() or tiny.differing(undisturbed, self.output) == []
        tiny.generate(self.output, SETTINGS)
        assert tiny.differing(undisturbed, self.output) == []
        assert {path.name for path in self.below.iterdir()} == {"a.yaml", *tiny.with_companions(self.output)}


def disturb(seed: int, library: Path, folder: Path, undisturbed: Path) -> None:
    choose = random.Random(seed)
    strategy = choose.choice(("process", "process", "inline"))
    at, kind = choose.randrange(1, EVENTS), choose.choice(KINDS)
    run = Disturbed(library, folder, strategy)
    code, err = run.run(at, kind)
    said = (seed, strategy, at, kind, code, err)
    events = faults.events_in(folder / "log", run.below)
    assert len(events) >= at, said
    if code == 0:  # it was a worker
        assert strategy == "process", said
        assert "its worker was killed by SIGKILL" in err, said
        assert run.output.exists(), said
    else:
        assert code == -9, said
    run.ends_well(undisturbed)


def test_a_run_killed_at_a_random_moment_goes_on(library, tmp_path, undisturbed):
    disturb(0, library, tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 10))
def test_a_run_killed_at_any_random_moment_goes_on(seed, library, tmp_path, undisturbed):
    disturb(seed, library, tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "number"), [("fail from", errno.ENOSPC), ("fail", errno.EIO)])
def test_worker_processes_on_a_failing_disk_tell_once(mode, number, library, tmp_path, undisturbed):
    run = Disturbed(library, tmp_path, "process")
    code, err = run.run(80, mode, number)
    assert code == 1, err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("spinlock generate: ")]
    assert f"cannot be written ({os.strerror(number)})" in line
    assert "run the same command again" in line
    assert tiny.temporaries(tmp_path) == []
    run.ends_well(undisturbed)
