"""A worker that falls silent is killed and its shard tried again; one that speaks may take its time."""

import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

import tiny
from spinlock.errors import StorageError
from spinlock.execution import shard as shards
from spinlock.execution.executors import inline, process, silence, worker_process
from spinlock.execution.executors.choice import execute
from spinlock.execution.executors.outcome import Quarantined
from spinlock.execution.executors.silence import Heard, Lines, SilentError, longest_silence
from spinlock.storage import Receipt
from test_execution.stub_worker import Stub, job_of

HANG = "time.sleep(10**6)"


def outcomes(kind, job):
    with (
        tiny.unchecked_shapes(),
        closing(execute(kind, job, range(job.plan.num_shards), lambda: None)) as found,
    ):
        return sorted(found, key=lambda outcome: outcome.shard)


def warned(caplog) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


class Script:
    """Stands for a poll: each answer is whether there is something to read."""

    def __init__(self, writing: int, *answers: bytes) -> None:
        self.writing, self.answers, self.waited = writing, list(answers), []

    def poll(self, milliseconds):
        self.waited.append(milliseconds / 1000)
        answer = self.answers.pop(0)
        if answer:
            os.write(self.writing, answer)
        return bool(answer)


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as stream:
        yield Lines(stream), writing
        os.close(writing)


def test_every_word_begins_the_wait_anew(pipe):
    lines, writing = pipe
    lines._poll = script = Script(writing, b"", b"", b"ha", b"", b"", b"lf\nwho", b"", b"", b"le\n")
    assert lines.next(0.75) == b"half"
    assert lines.next(0.75) == b"whole"
    assert script.answers == []
    assert set(script.waited) <= {silence.POLLED_SECONDS}


def test_three_polls_without_a_word_are_too_many(pipe):
    """The control: the same limit, and one more poll without an answer."""
    lines, writing = pipe
    lines._poll = script = Script(writing, b"ha", b"", b"", b"", b"lf\n")
    with pytest.raises(SilentError, match=r"nothing was said for 0\.75 s"):
        lines.next(0.75)
    assert script.answers == [b"lf\n"]


def test_the_end_of_the_pipe_is_no_silence(pipe):
    lines, writing = pipe
    os.write(writing, b"cut")
    lines._poll = type("Ready", (), {"poll": lambda *_: True})()
    os.dup2(os.open(os.devnull, os.O_RDONLY), writing)  # nobody writes any more
    with pytest.raises(EOFError):
        lines.next(60)


def test_auto_is_generous_and_grows_with_the_sample(tmp_path, monkeypatch):
    plan = job_of(tmp_path, 1, 2).plan
    assert longest_silence(plan) == 600
    monkeypatch.setattr(silence, "slowest_seconds", lambda _: 100.0)
    assert longest_silence(plan) == 4000
    assert longest_silence(job_of(tmp_path, 1, 2, stall=7).plan) == 7


def test_a_worker_that_hangs_is_killed_and_its_shard_quarantined_after_three_attempts(
    tmp_path, monkeypatch, caplog
):
    stub = Stub(tmp_path, monkeypatch, f"if shard == 1: {HANG}")
    found = outcomes("process", job_of(tmp_path, 2, 4, stall=1.5))
    assert isinstance(found[1], Quarantined)
    for words in ("its worker was stuck and was killed", "nothing was said for 1.5 s", "stall_seconds"):
        assert words in found[1].reason
    assert [isinstance(outcome, Receipt) for outcome in found] == [True, False, True, True]
    assert stub.tries(1) == 3
    assert stub.all_gone()
    assert sum("is tried again" in said for said in warned(caplog)) >= 2


def test_a_worker_that_hangs_once_is_replaced(tmp_path, monkeypatch):
    stub = Stub(tmp_path, monkeypatch, f"if shard == 1 and tried == 1: {HANG}")
    found = outcomes("process", job_of(tmp_path, 1, 3, stall=1.5))
    assert all(isinstance(outcome, Receipt) for outcome in found)
    assert stub.tries(1) == 2
    assert len(stub.pids()) == 2


def test_with_the_limit_of_auto_nobody_is_killed(tmp_path, monkeypatch):
    """The control: as long a silence, and no limit that it passes."""
    stub = Stub(tmp_path, monkeypatch, "if shard == 1 and tried == 1: time.sleep(2)")
    found = outcomes("process", job_of(tmp_path, 1, 3))
    assert all(isinstance(outcome, Receipt) for outcome in found)
    assert stub.tries(1) == 1


@pytest.mark.parametrize(
    "body", ["os.kill(os.getpid(), signal.SIGSTOP)", f"signal.signal(15, print); {HANG}"]
)
def test_a_run_that_ends_does_not_wait_for_a_stuck_worker(tmp_path, monkeypatch, body):
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(worker_process, "GRACE_SECONDS", 0.5)
    stub = Stub(tmp_path, monkeypatch, f"\n    if shard == 0:\n        (here / 'at it').touch(); {body}")
    job = job_of(tmp_path, 2, 4)
    run = execute("process", job, range(4), lambda: None)
    assert isinstance(next(run), Receipt)
    deadline = time.monotonic() + 60
    while not (stub.folder / "at it").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.close()
    assert stub.all_gone()


STOP = """
import os, signal, sys
if "spinlock.execution.worker" in sys.orig_argv:
    from pathlib import Path
    from spinlock.rollout import ensemble
    from spinlock.execution import shard
    here, right = Path(__file__).parent, shard.simulate
    def simulate(plan, draw, *words, **how):
        tries = here / f"tries-{draw.index}"
        tries.write_text(tries.read_text() + "." if tries.exists() else ".")
        if draw.index == 1 and len(tries.read_text()) <= TIMES:
            os.kill(os.getpid(), signal.SIGSTOP)
        return right(plan, draw, *words, **how)
    shard.simulate = simulate
"""


def stopping(folder, times: int) -> dict[str, str]:
    """The environment in which a worker that begins sample 1 stops, as often as that."""
    hook = folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(STOP.replace("TIMES", str(times)))
    return {"PYTHONPATH": f"{hook}{os.pathsep}{tiny.SOURCE}"}


@pytest.mark.slow
def test_a_worker_stopped_by_a_signal_is_replaced_and_the_arrays_are_the_same(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PYTHONPATH", stopping(tmp_path, 1)["PYTHONPATH"])
    job = job_of(tmp_path, 1, 3, stall=4)
    found = outcomes("process", job)
    assert [receipt.attempt for receipt in found] == [1, 2, 1]
    (said,) = warned(caplog)
    assert "its worker was stuck and was killed: nothing was said for 4 s" in said
    monkeypatch.undo()
    (tmp_path / "undisturbed").mkdir()
    undisturbed = outcomes("inline", job_of(tmp_path / "undisturbed", 1, 3))
    assert [receipt.sha256 for receipt in found] == [receipt.sha256 for receipt in undisturbed]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["stopped", "killed"])
def test_a_shard_whose_worker_fails_three_times_is_named_and_made_later(tmp_path, fault):
    output = tmp_path / "a.h5"
    parallelism = {"strategy": "process", "workers": 2, "stall_seconds": 3}
    config = tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN, sampling__total_samples=4,
                               simulation__parallelism=parallelism)  # fmt: skip
    environment = stopping(tmp_path, 3)
    if fault == "killed":
        hook = tmp_path / "hook" / "sitecustomize.py"
        hook.write_text(hook.read_text().replace("SIGSTOP", "SIGKILL"))
    ended = tiny.spinlock_command("generate", "--config", config, "--output", output, env=environment)
    assert ended.returncode == 1, ended.stderr
    assert "1 of 4 shards failed three times; the others are kept" in ended.stderr
    how = "its worker was stuck and was killed" if fault == "stopped" else "its worker was killed by SIGKILL"
    assert f"\n  sample 1: {how}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not output.exists()
    assert tiny.temporaries(tmp_path) == []
    parts = tmp_path / "a.h5.parts" / "shards"
    kept = {path.name for path in parts.iterdir()}
    assert kept == {"part-000000.h5", "part-000002.h5", "part-000003.h5"}
    again = tiny.spinlock_command("generate", "--config", config, "--output", output, env=environment)
    assert again.returncode == 0, again.stderr
    assert "going on: 3 of 4 samples were done before" in again.stderr
    tries = [len((tmp_path / "hook" / f"tries-{k}").read_text()) for k in range(4)]
    assert tries == [1, 4, 1, 1]
    undisturbed = tiny.generate(tmp_path / "b.h5", tiny.PLAIN, {"sampling.total_samples": 4})
    assert tiny.differing(undisturbed, output) == []


class Told(logging.Handler):
    """Sets an event once a word is said."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words, self.event = words, threading.Event()

    def emit(self, record):
        if self.words in record.getMessage():
            self.event.set()


def test_a_silent_thread_is_told_of_once(tmp_path, monkeypatch, caplog):
    told, right = Told("nothing was heard of shard"), shards.run_shard

    def run_shard(plan, shard, *words, **how):
        if shard < 2:
            assert told.event.wait(60), "nobody told of it"
        return right(plan, shard, *words, **how)

    logger = logging.getLogger("spinlock")
    logger.addHandler(told)
    monkeypatch.setattr(inline, "run_shard", run_shard)
    try:
        found = outcomes("inline", job_of(tmp_path, 2, 3, stall=0.3))
    finally:
        logger.removeHandler(told)
    assert [receipt.attempt for receipt in found] == [1, 1, 1]
    said = [words for words in warned(caplog) if "nothing was heard of shard" in words]
    assert len(said) == 1
    for words in ("for 0.3 s", "cannot be killed", "simulation.parallelism.strategy=process"):
        assert words in said[0]


def test_a_thread_that_steps_is_heard():
    heard = Heard()
    heard.now(3)
    assert heard.silent([3], patience=3600) == []
    assert heard.silent([3, 4], patience=-1.0) == [3]


ORPHAN = """
import sys, time
from spinlock.execution import worker
worker.LEAVE_SECONDS = 0.1
worker._serve = lambda *_: print("at it", file=sys.stderr, flush=True) or time.sleep(10**6)
sys.exit(worker.main())
"""


def test_a_stuck_worker_ends_itself_when_its_driver_is_gone():
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=tiny.environment(),
    ) as worker:
        assert worker.stdin is not None
        assert worker.stderr is not None
        worker.stdin.write("{}\n")
        worker.stdin.flush()
        assert worker.stderr.readline() == "at it\n"
        assert worker.poll() is None
        worker.stdin.close()
        assert worker.wait(60) == 1


KILL_ONCE = "\n    if shard == 0 and tried == 1:\n        os.kill(os.getpid(), signal.SIGKILL)"


def test_a_worker_that_the_kernel_killed_for_memory_halves_what_is_in_flight(tmp_path, monkeypatch, caplog):
    kills = iter(range(99))
    monkeypatch.setattr(worker_process, "oom_kills", lambda: next(kills))
    both = "\n    while len(list(here.glob('tries-*'))) < 2: time.sleep(0.01)"
    Stub(tmp_path, monkeypatch, both + KILL_ONCE)
    found = outcomes("process", job_of(tmp_path, 2, 4))
    assert all(isinstance(outcome, Receipt) for outcome in found)
    (said,) = warned(caplog)
    assert "memory ran out with 2 worker processes in flight" in said
    assert "killed by SIGKILL, as the kernel kills where memory runs out" in said


def test_a_worker_killed_by_somebody_is_an_attempt_whose_reason_names_memory_too(
    tmp_path, monkeypatch, caplog
):
    """The control: the kernel has killed nobody."""
    monkeypatch.setattr(worker_process, "oom_kills", lambda: 7)
    stub = Stub(tmp_path, monkeypatch, KILL_ONCE)
    outcomes("process", job_of(tmp_path, 1, 2))
    assert stub.tries(0) == 2
    (said,) = warned(caplog)
    assert "killed by SIGKILL: by somebody, or by the system for lack of memory" in said
    assert "simulation.memory_fraction" in said


@pytest.mark.parametrize("error", [MemoryError("no room"), StorageError("x cannot be written")])
def test_memory_that_runs_out_in_writing_halves_what_is_in_flight(tmp_path, monkeypatch, caplog, error):
    if isinstance(error, StorageError):
        error.__cause__ = OSError(12, "Cannot allocate memory")
    right, barrier, failed = shards.write_shard, threading.Barrier(4), []

    def write_shard(path, *words, **how):
        if path.name[-4] in "0123" and path not in failed:
            failed.append(path)
            barrier.wait(60)
            raise error
        return right(path, *words, **how)

    monkeypatch.setattr(shards, "write_shard", write_shard)
    found = outcomes("inline", job_of(tmp_path, 4, 6))
    assert [receipt.attempt for receipt in found] == [1] * 6
    assert len(failed) == 4
    (said,) = warned(caplog)
    assert "memory ran out with 4 samples in flight" in said
    assert "at most 2" in said


def test_memory_that_runs_out_in_writing_alone_is_an_attempt(tmp_path, monkeypatch, caplog):
    """The control: with one thread there is nothing to halve."""
    right, failed = shards.write_shard, []

    def write_shard(path, *words, **how):
        failed.append(path)
        if len(failed) == 1:
            raise MemoryError("no room")
        return right(path, *words, **how)

    monkeypatch.setattr(shards, "write_shard", write_shard)
    assert [receipt.attempt for receipt in outcomes("inline", job_of(tmp_path, 1, 2))] == [2, 1]
    (said,) = warned(caplog)
    assert "shard 0 failed (MemoryError: no room) and is tried again" in said
