"""What stands in the run directory for an array job: the script, the record, the journals, the agreement."""

import errno
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import tiny
from spinlock.errors import ConfigError, StorageError, UsageError
from spinlock.execution import devices as devices_module
from spinlock.execution import slurm_task
from spinlock.execution.executors import choice, slurm_journal
from spinlock.execution.executors.slurm_files import ArrayRecord, read_record, standing_records
from spinlock.execution.executors.slurm_journal import Journal, JournalReader
from spinlock.execution.executors.slurm_script import job_name, script_text
from spinlock.execution.plan import make_plan
from spinlock.execution.run_directory import RunDirectory
from spinlock.execution.slurm_task import MANY_CORES, allocated_cores


def record_in(folder: Path, **how) -> ArrayRecord:
    return ArrayRecord(str(folder), "spinlock-a.h5-0123abcd", list(range(10)), 3, **how)


SCRIPT = """#!/bin/bash
#SBATCH --job-name=spinlock-a.h5-0123abcd
#SBATCH --array=0-2
#SBATCH --output=/data/a.h5.parts/logs/%A_%a.log
#SBATCH --no-requeue
#SBATCH --signal=B:USR1@60
#SBATCH --partition=gpu,cpu
#SBATCH --time=60
#SBATCH --gres=gpu:a100:2
#SBATCH --constraint="[rack1|rack2] # odd"
#SBATCH --exclusive

# Task t computes the shards t, t + 3, t + 2 * 3 ... of the list in
# spinlock-a.h5-0123abcd.json
"""


def test_the_script_is_readable_and_holds_the_options_as_written():
    options = {"partition": "gpu,cpu", "time": 60, "gres": "gpu:a100:2", "constraint": "[rack1|rack2] # odd",
               "exclusive": True}  # fmt: skip
    text = script_text(record_in(Path("/data/a.h5.parts")), options)
    assert text.startswith(SCRIPT)
    last = text.splitlines()[-1]
    assert last == (
        f"exec {sys.executable} -P -m spinlock.execution.slurm_task "
        "/data/a.h5.parts/slurm/spinlock-a.h5-0123abcd.json"
    )
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


def test_a_script_of_a_folder_with_an_odd_name_runs_there(tmp_path):
    folder = tmp_path / "50% of $(it) & more"
    text = script_text(record_in(folder), {})
    assert f'#SBATCH --output="{tmp_path}/50%% of $(it) & more/logs/%A_%a.log"' in text
    command = text.splitlines()[-1].replace("exec", "printf '%s\\n'")
    printed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == str(folder / "slurm" / "spinlock-a.h5-0123abcd.json")


@pytest.mark.parametrize("name", ['a"b', "a'b", "a\\b", "a\nb"])
def test_a_folder_that_no_script_can_name_is_refused(name):
    with pytest.raises(UsageError, match=r"choose a dataset\.output_path without"):
        script_text(record_in(Path("/data") / name), {})


def test_names_of_jobs_hold_what_they_make():
    assert job_name("my data, 1.h5", "0a") == "spinlock-my_data__1.h5-0a"
    assert len(job_name("x" * 300, "0a")) < 60


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"partitoin ": "gpu"}, "is no long option of sbatch"),
        ({"p": 'gpu"\nrm -rf ~'}, "without quotation marks"),
        ({"comment": "two\nlines"}, "text on one line"),
        ({"array": "0-3"}, "array is an option of sbatch that the run gives itself"),
        ({"exclusive": False}, "true for an option without a value"),
        ({"time": 1.5}, "it must be text, an integer"),
        ({"time": ""}, "it must be text"),
        ("gpu", "it must be a section of options of sbatch"),
    ],
)
def test_options_that_no_script_may_hold_are_refused(tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, {"simulation.parallelism.slurm.options": options})


def test_tasks_share_all_shards():
    record = record_in(Path("/data"))
    assert sorted(shard for task in range(3) for shard in record.shards_of(task)) == list(range(10))
    assert record.shards_of(1) == [1, 4, 7]


def test_records_come_back_as_they_were(tmp_path):
    record = record_in(
        tmp_path, failures={"3": 2}, settings={"slurm": {"tasks": 4}}, environments=[{"a": "b"}]
    )
    record.write()
    assert standing_records(tmp_path) == [record]
    numbered = record.submitted("12;east")
    assert (read_record(record.path), numbered.number) == (numbered, "12")
    assert numbered.log(2) == tmp_path / "logs" / "12_2.log"
    record.drop()
    assert standing_records(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        read_record(record.path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": 1}'])
def test_a_damaged_record_is_named_with_what_to_do(tmp_path, content):
    record = record_in(tmp_path)
    record.write()
    record.path.write_text(content)
    with pytest.raises(StorageError, match=r"scancel --name=spinlock-a\.h5-0123abcd"):
        standing_records(tmp_path)


def test_the_first_task_decides_on_the_environment(tmp_path):
    record = record_in(tmp_path)
    record.write()
    answers = []
    start = threading.Barrier(8)

    def ask(number: int) -> None:
        start.wait()
        answers.append(json.dumps(record.agreed([{"device": str(number)}])))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(set(answers)) == 1
    assert tiny.temporaries(tmp_path) == []


def test_a_journal_is_read_once_line_by_line(tmp_path):
    path = tmp_path / "a.journal"
    reader = JournalReader(path)
    assert reader.news() == []
    Journal(path).say(ready=2)
    assert reader.news() == [{"ready": 2}]
    with path.open("a") as file:
        file.write('{"done": 1}\n{"do')
    assert reader.news() == [{"done": 1}]
    assert reader.news() == []
    with path.open("a") as file:
        file.write('ne": 2}\nnonsense\n[1]\n{"done": 3}\n')
    assert reader.news() == [{"done": 2}, {"done": 3}]


def test_rows_are_told_together_and_before_what_follows(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm_journal, "ROW_SECONDS", 1e9)
    journal, reader = Journal(tmp_path / "a"), JournalReader(tmp_path / "a")
    threads = [threading.Thread(target=lambda: [journal.row() for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reader.news() == []
    journal.say(done=1)
    journal.say(done=2)
    assert reader.news() == [{"rows": 200}, {"done": 1}, {"done": 2}]
    monkeypatch.setattr(slurm_journal, "ROW_SECONDS", 0.0)
    journal.row()
    assert reader.news() == [{"rows": 1}]


def test_a_journal_that_cannot_be_written_ends_nothing(tmp_path, capsys):
    Journal(tmp_path / "no folder" / "a").say(done=1)
    assert "No such file or directory: {'done': 1}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "gpus", "devices", "workers"),
    [
        ({}, 4, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"], 4),
        ({"slots_per_device": 2}, 2, ["cuda:0", "cuda:1"] * 2, 4),
        ({"devices": ["cuda:1", "cuda:1", "cpu"]}, 4, ["cuda:1", "cuda:1", "cpu"], 3),
        ({"device": "cuda:1"}, 4, ["cuda:1"], 1),
        ({"device": "cpu"}, 4, ["cpu"], 3),
        ({}, 0, ["cpu"], 3),
        ({"workers": 2}, 0, ["cpu"], 2),
    ],
)
def test_a_task_takes_the_devices_that_slurm_gives_it(tmp_path, monkeypatch, changes, gpus, devices, workers):
    changes = dict(changes)
    device, parallelism = changes.pop("device", "auto"), {"strategy": "slurm", **changes}
    changes = {
        "sampling.total_samples": 50,
        "simulation.device": device,
        "simulation.parallelism": parallelism,
    }
    plan = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, changes))
    with RunDirectory(tmp_path / "a.h5", plan) as run:
        settings = plan.config.simulation.parallelism.model_dump(mode="json")
        record = ArrayRecord(str(run.path), "spinlock-a", [0], 1, {"0": 2}, settings, allow_mixed=True)
        monkeypatch.setattr(slurm_task, "all_gpus", lambda: [f"cuda:{number}" for number in range(gpus)])
        monkeypatch.setattr(devices_module, "available", lambda name: gpus > 0 or name == "cpu")
        monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
        monkeypatch.setattr(choice, "usable_cores", lambda: 8)
        monkeypatch.setattr(choice, "most_in_flight", lambda *_, **__: None)
        monkeypatch.setenv("SLURM_CPUS_ON_NODE", "3")
        kind, job = slurm_task._job(record, 50)
    assert [str(device) for device in job.devices] == devices
    assert (kind, job.workers) == ("process" if "cuda" in devices[0] and workers > 1 else "inline", workers)
    assert job.attempts().number(0) == 3
    assert (job.plan.digest, job.directory) == (plan.digest, run.path)


@pytest.mark.parametrize(
    ("said", "cores"),
    [
        ({}, MANY_CORES),
        ({"SLURM_CPUS_ON_NODE": "3"}, 3),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "1"}, 8),
        ({"SLURM_CPUS_ON_NODE": "many"}, MANY_CORES),
    ],
)
def test_a_task_uses_the_cores_that_it_was_given(monkeypatch, said, cores):
    for name in ("SLURM_CPUS_ON_NODE", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert allocated_cores() == cores


@pytest.fixture
def asked(monkeypatch):
    """The signals that asked to leave, with the handler of a task in place."""
    found = []
    monkeypatch.setattr(slurm_task, "asked", found)
    before = signal.signal(signal.SIGTERM, slurm_task._leave)
    yield found
    signal.signal(signal.SIGTERM, before)


def test_a_task_whose_record_is_gone_leaves(tmp_path, asked):
    record = record_in(tmp_path, settings={"slurm": {"poll_seconds": 0.01}})
    record.write()

    def work() -> None:
        with slurm_task._lease(record):
            record.drop()
            time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert asked == [signal.SIGTERM]


def test_a_task_that_is_done_in_time_is_left_alone(tmp_path, asked):
    record = record_in(tmp_path, settings={"slurm": {"poll_seconds": 0.01}})
    record.write()
    with slurm_task._lease(record):
        time.sleep(0.1)
    record.drop()
    time.sleep(0.1)
    assert asked == []


def test_a_file_system_that_does_not_answer_says_nothing_of_the_record(tmp_path, monkeypatch):
    record = record_in(tmp_path)
    assert not slurm_task._stands(record)

    def stale(_path: Path) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "stat", stale)
    assert slurm_task._stands(record)


def test_a_task_that_is_asked_twice_gives_up_in_peace(asked):
    with pytest.raises(KeyboardInterrupt):
        slurm_task._leave(signal.SIGUSR1, None)
    slurm_task._leave(signal.SIGTERM, None)
    assert asked == [signal.SIGUSR1]


def test_a_task_of_an_array_that_was_given_up_does_nothing(tmp_path):
    path = tmp_path / "spinlock-a.json"
    done = tiny.python("-m", "spinlock.execution.slurm_task", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "has given it up" in done.stdout
