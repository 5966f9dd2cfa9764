"""Making a dataset leaves the process as it was: random states, threads, signals, open files."""

import random
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch


def random_states() -> tuple:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 (the state that must not change)
    return random.getstate(), (kind, keys.tobytes(), *rest), torch.get_rng_state().numpy().tobytes()


def threads_of_a_new_thread() -> int:
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture(params=[1, 2])
def torch_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("few_shards")
def test_no_random_state_and_no_thread_count_changes(tmp_path, torch_threads):
    before = random_states()
    tiny.generate(
        tmp_path / "a.h5", tiny.EVERYTHING, {"sampling.total_samples": 7, "simulation.parallelism.workers": 2}
    )
    assert random_states() == before
    assert torch.get_num_threads() == torch_threads
    assert threads_of_a_new_thread() == torch_threads


def test_signals_threads_and_files_are_given_back(tmp_path):
    tiny.generate(tmp_path / "warm.h5", tiny.PLAIN)
    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    }
    threads, files = set(threading.enumerate()), open_files()
    for strategy in ("inline", "process"):
        changes = {"simulation.parallelism.strategy": strategy, "simulation.parallelism.workers": 2}
        tiny.generate(tmp_path / f"{strategy}.h5", tiny.PLAIN, changes)
        assert set(threading.enumerate()) == threads
        assert open_files() <= files
        assert {number: signal.getsignal(number) for number in handlers} == handlers
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


PEAK = """
import resource, sys
from spinlock.cli.program import run
code = run(sys.argv[1:])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_samples(tmp_path):
    settings = tiny.changed(
        tiny.PLAIN, {"simulation.num_realizations": 8, "dataset.storage.trajectories": "all"}
    )
    config = tiny.write_config(tmp_path / "c.yaml", settings)
    peak = {}
    for samples in (40, 400):
        output = tmp_path / f"{samples}.h5"
        words = ("generate", "--quiet", "--config", config, "--output", output, "--total-samples", samples)
        run = tiny.python("-c", PEAK, *words)
        code, peak[samples] = map(int, run.stdout.split())
        assert code == 0, run.stderr
    assert peak[400] < 1.1 * peak[40]
