"""Making a dataset leaves the process as it was: random states, threads, signals, open files."""

import json
import signal
import threading
from pathlib import Path

import pytest

import tiny

# In a process of its own: the types checked in tests are checked at places that `random` chooses.
STATES = """
import json, random, sys, threading
from pathlib import Path
import numpy as np
import tiny, torch

def states():
    kind, keys, *rest = np.random.get_state()
    return repr((random.getstate(), kind, keys.tobytes(), rest, torch.get_rng_state().tolist()))

def threads_of_a_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start(); thread.join()
    return found[0]

torch.set_num_threads(2)
before = states()
changes = {"sampling.total_samples": 7, "simulation.parallelism.workers": 2}
tiny.generate(Path(sys.argv[1]) / "a.h5", tiny.EVERYTHING, changes)
print(json.dumps([states() == before, torch.get_num_threads(), threads_of_a_new_thread()]))
random.random(); after = states()
print(json.dumps(after != before))
"""


def test_no_random_state_and_no_thread_count_changes(tmp_path):
    run = tiny.python("-c", STATES, tmp_path, env={"PYTHONPATH": f"{tiny.SOURCE}:{tiny.ROOT / 'tests'}"})
    assert run.returncode == 0, run.stderr
    same, told = map(json.loads, run.stdout.splitlines())
    assert same == [True, 2, 2]
    assert told, "a changed state was not noticed"


def test_signals_threads_and_files_are_given_back(tmp_path):
    tiny.generate(tmp_path / "warm.h5", tiny.PLAIN)
    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    }
    threads, files = set(threading.enumerate()), open_files()
    for strategy in ("inline", "process"):
        changes = {"simulation.parallelism": {"strategy": strategy, "workers": 1 + (strategy == "inline")}}
        tiny.generate(tmp_path / f"{strategy}.h5", tiny.PLAIN, changes)
        assert set(threading.enumerate()) == threads
        assert open_files() <= files
        assert {number: signal.getsignal(number) for number in handlers} == handlers
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


PEAK = f"""{tiny.PEAK_MEMORY}
import sys
from spinlock.cli.program import run
code = run(sys.argv[1:])
print(code, peak_memory())
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
