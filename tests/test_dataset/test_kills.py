"""Whatever ends a run, the next one goes on, and nothing of the old one is left running or half-written."""

import os
import signal

import pytest

import tiny


@pytest.fixture
def process_config(tmp_path):
    return tiny.write_config(
        tmp_path / "c.yaml", tiny.EVERYTHING, simulation__parallelism__strategy="process"
    )


@pytest.fixture
def inline_config(tmp_path):
    return tiny.write_config(tmp_path / "c.yaml", tiny.EVERYTHING)


@pytest.mark.slow
def test_a_run_killed_three_times_ends_with_the_same_bytes(everything, tmp_path, process_config):
    output = tmp_path / "a.h5"
    words = ("--config", process_config, "--total-samples", 9)
    with tiny.running(output, *words, "--workers", 1) as run:
        run.wait_for_receipts(1)
        workers = run.workers()
        run.kill_group()
    assert tiny.gone(workers)
    with tiny.running(output, *words, "--workers", 2, "--batch-size", 7) as run:
        run.wait_for_receipts(run.receipts() + 2)
        workers = run.workers()
        assert len(workers) == 2
        os.kill(run.process.pid, signal.SIGKILL)
        assert tiny.gone(workers)
    assert not output.exists()
    with tiny.running(output, *words, "--workers", 1) as run:
        (worker,) = run.wait_for_workers(1)
        run.wait_for_receipts(run.receipts() + 1)
        os.kill(worker, signal.SIGKILL)
        code, _, err = run.end()
    assert code == 0, err
    assert "going on: " in err
    assert tiny.differing(everything, output, rows=9) == []
    assert not run.parts.exists()
    assert tiny.temporaries(tmp_path) == []


PARTS = ("inline", "process")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
QUICK = ("process", signal.SIGINT)


@pytest.mark.parametrize(
    ("strategy", "number"),
    [
        pytest.param(strategy, number, marks=[] if (strategy, number) == QUICK else [pytest.mark.slow])
        for strategy in PARTS
        for number in SIGNALS
    ],
)
def test_a_signal_ends_a_run_that_says_how_to_go_on(everything, tmp_path, strategy, number):
    output = tmp_path / "a.h5"
    config = tiny.write_config(
        tmp_path / "c.yaml", tiny.EVERYTHING, simulation__parallelism__strategy=strategy
    )
    with tiny.running(output, "--config", config, "--workers", 2) as run:
        run.wait_for_receipts(2)
        workers = run.workers()
        if number == signal.SIGINT:
            os.killpg(run.process.pid, number)  # as a terminal does
        else:
            os.kill(run.process.pid, number)
        code, out, err = run.end()
        assert tiny.gone(workers)
        done = run.receipts()
    assert code == 130
    assert "Run the same command again to go on" in err
    assert "Traceback" not in err
    assert out == ""
    assert tiny.temporaries(tmp_path) == []
    assert not output.exists()
    assert 2 <= done < 12
    tiny.generate(output, tiny.EVERYTHING)
    assert tiny.differing(everything, output) == []


@pytest.mark.slow
def test_ctrl_c_while_workers_start_is_as_quiet(tmp_path, process_config):
    with tiny.running(tmp_path / "a.h5", "--config", process_config, "--workers", 2) as run:
        workers = run.wait_for_workers(2)
        os.killpg(run.process.pid, signal.SIGINT)
        code, _, err = run.end()
        assert tiny.gone(workers)
    assert code == 130
    assert "Run the same command again to go on" in err
    assert "Traceback" not in err
    assert tiny.temporaries(tmp_path) == []


@pytest.mark.slow
def test_a_scheduler_that_signals_every_process_ends_the_run_as_well(everything, tmp_path, process_config):
    output = tmp_path / "a.h5"
    with tiny.running(output, "--config", process_config, "--workers", 2) as run:
        run.wait_for_receipts(2)
        workers = run.workers()
        os.killpg(run.process.pid, signal.SIGUSR1)
        code, _, err = run.end()
        assert tiny.gone(workers)
    assert code == 130, err
    tiny.generate(output, tiny.EVERYTHING)
    assert tiny.differing(everything, output) == []


@pytest.mark.slow
def test_a_worker_asked_to_leave_is_replaced(everything, tmp_path, process_config):
    output = tmp_path / "a.h5"
    with tiny.running(output, "--config", process_config, "--workers", 1) as run:
        (worker,) = run.wait_for_workers(1)
        run.wait_for_receipts(1)
        os.kill(worker, signal.SIGTERM)
        code, _, err = run.end()
    assert code == 0, err
    assert tiny.differing(everything, output) == []


@pytest.mark.slow
def test_kill_after_kill_inline(everything, tmp_path, inline_config):
    output = tmp_path / "a.h5"
    for more in (1, 1, 2, 1):
        with tiny.running(output, "--config", inline_config, "--workers", 2) as run:
            run.wait_for_receipts(run.receipts() + more)
            run.kill_group()
    tiny.generate(output, tiny.EVERYTHING)
    assert tiny.differing(everything, output) == []
    assert tiny.temporaries(tmp_path) == []


@pytest.mark.slow
def test_two_runs_at_once_are_told_apart(tmp_path, inline_config):
    output = tmp_path / "a.h5"
    with tiny.running(output, "--config", inline_config) as first:
        first.wait_for_receipts(1)
        os.kill(first.process.pid, signal.SIGSTOP)  # or it might be done before the second one has started
        second = tiny.spinlock_command("generate", "--config", inline_config, "--output", output)
        pid = first.process.pid
        first.kill_group()
    assert second.returncode == 1
    assert f"another process (pid {pid}) is working in" in second.stderr
    assert "Traceback" not in second.stderr
