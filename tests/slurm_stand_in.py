"""Stand-ins for sbatch, squeue and scancel: array tasks run as processes of this machine, two at a time.

They know what the executor asks of SLURM and nothing else: an unknown option fails. What they print and how
they end tasks was compared with SLURM 22.05. A test disturbs them through `Slurm`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NAMES = ("sbatch", "squeue", "scancel")
AT_ONCE = 2
KILL_SECONDS = 10.0
DIRECTIVE = re.compile(r'#SBATCH --([a-z-]+)(?:=(?:"(.*)"|(.*)))?$')
FINAL = {"CANCELLED", "COMPLETED", "FAILED", "NODE_FAIL", "PREEMPTED", "TIMEOUT", "OUT_OF_MEMORY"}


class Slurm:
    """A cluster of one machine, as a test sees it.

    Parameters
    ----------
    folder
        Where commands, jobs and faults are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs_folder = folder / "jobs"
        self.jobs_folder.mkdir(parents=True)
        self.commands = folder / "bin"
        self.commands.mkdir()
        for name in NAMES:
            script = self.commands / name
            script.write_text(
                f'#!/bin/sh\nexec {sys.executable} -S -E {Path(__file__).resolve()} {name} "{folder}" "$@"\n'
            )
            script.chmod(0o755)

    @property
    def path(self) -> str:
        """``PATH`` with the commands in front."""
        return os.pathsep.join([str(self.commands), os.environ["PATH"]])

    def without(self, name: str) -> None:
        """Remove a command."""
        (self.commands / name).unlink()

    def jobs(self) -> list[dict[str, Any]]:
        """What was submitted: number, name, directives, tasks."""
        found = [read(path) for path in self.jobs_folder.glob("*/job.json")]
        return sorted(found, key=lambda job: job["number"])

    def states(self) -> dict[tuple[int, int], dict[str, Any]]:
        """State, and the pid of the process once there is one, by job and task."""
        return {
            (job["number"], task): read(self.jobs_folder / str(job["number"]) / f"{task}.json")
            for job in self.jobs()
            for task in range(job["tasks"])
        }

    def running(self) -> list[tuple[int, int]]:
        return [key for key, state in self.states().items() if state["state"] == "RUNNING"]

    def pid(self, key: tuple[int, int]) -> int:
        return self.states()[key]["pid"]

    def end(self, key: tuple[int, int], state: str, number: int = signal.SIGKILL) -> None:
        """Let SLURM end a running task: by a signal, with a state."""
        write(self.jobs_folder / str(key[0]) / f"{key[1]}.end", {"state": state, "signal": number})

    def fault(self, name: str, content: object = True) -> None:
        """Make a command misbehave from now on (see `sbatch`, `squeue`, `scancel`, `Controller`)."""
        write(self.folder / name, content)

    def mend(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def wait(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline, f"{what} never came: {self.states()}"
            time.sleep(0.02)

    def over(self) -> bool:
        return all(state["state"] in FINAL for state in self.states().values())

    def close(self) -> None:
        """End whatever is left."""
        for state in self.states().values():
            with suppress(KeyError, ProcessLookupError):
                os.killpg(state["pid"], signal.SIGKILL)
        for job in self.jobs():
            write(self.jobs_folder / str(job["number"]) / "cancel", 0)
        self.wait(self.over, "the end")


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """A cluster for the body; nothing of it is left running."""
    cluster = Slurm(folder)
    try:
        yield cluster
    finally:
        cluster.close()


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def write(path: Path, content: object) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(json.dumps(content))
    new.replace(path)


def say(*words: object) -> int:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    return 0


def fail(words: str) -> int:
    sys.stderr.write(f"{words}\n")
    return 1


def options(arguments: list[str], known: set[str]) -> tuple[dict[str, str], list[str]]:
    """Options ``--name=value`` and other words; what is not known fails."""
    found, words = {}, []
    for argument in arguments:
        name, _, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--"):
            words.append(argument)
        elif name not in known:
            raise SystemExit(f"unrecognized option '--{name}'")
        else:
            found[name] = value
    return found, words


def sbatch(folder: Path, arguments: list[str]) -> int:
    """``sbatch --parsable SCRIPT``; the partition ``nix`` is refused.

    Faults: ``sbatch-fails`` refuses everything, ``sbatch-loses`` takes the job and says that it did not,
    ``sbatch-mumbles`` answers nonsense.
    """
    asked, (script,) = options(arguments, {"parsable"})
    assert "parsable" in asked
    if (folder / "sbatch-fails").exists():
        return fail("sbatch: error: Batch job submission failed: Unable to contact slurm controller")
    if (folder / "sbatch-mumbles").exists():
        return say("hello")
    directives: dict[str, Any] = {}
    for line in Path(script).read_text().splitlines():
        if line.startswith("#SBATCH"):
            found = DIRECTIVE.match(line)
            assert found is not None, line
            directives[found[1]] = found[2] or found[3] or True
    if directives.get("partition") == "nix":
        sys.stderr.write("sbatch: error: invalid partition specified: nix\n")
        return fail("sbatch: error: Batch job submission failed: Invalid partition name specified")
    number = 1 + max([0, *(int(job.name) for job in (folder / "jobs").iterdir())])
    job = folder / "jobs" / str(number)
    job.mkdir()
    shutil.copy(script, job / "script")  # as SLURM does: later changes of the file change nothing
    tasks = 1 + int(str(directives["array"]).removeprefix("0-"))
    for task in range(tasks):
        write(job / f"{task}.json", {"state": "PENDING"})
    write(job / "job.json", {"number": number, "name": directives["job-name"], "tasks": tasks,
                             "output": directives["output"], "directives": directives})  # fmt: skip
    subprocess.Popen(
        [sys.executable, "-S", "-E", __file__, "controller", str(folder), str(number)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    if (folder / "sbatch-loses").exists():
        return fail("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    return say(number)


def squeue(folder: Path, arguments: list[str]) -> int:
    """``squeue --noheader --array --states=all --name=NAME --format='%F %K %T %r'``.

    Faults: ``squeue-fails`` answers nothing, ``squeue-forgets`` forgets tasks as soon as they end.
    """
    asked, words = options(arguments, {"noheader", "array", "states", "name", "format"})
    assert not words
    assert (asked["states"], asked["format"]) == ("all", "%F %K %T %r")
    if (folder / "squeue-fails").exists():
        return fail("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    for path in (folder / "jobs").glob("*/job.json"):
        job = read(path)
        for task in range(job["tasks"] if job["name"] == asked["name"] else 0):
            state = read(path.with_name(f"{task}.json"))["state"]
            if state in FINAL and (folder / "squeue-forgets").exists():
                continue
            say(job["number"], task, state, "Resources" if state == "PENDING" else "None")
    return 0


def scancel(folder: Path, arguments: list[str]) -> int:
    """``scancel NUMBER`` or ``scancel --name=NAME``. Fault: ``scancel-fails``."""
    asked, words = options(arguments, {"name"})
    if (folder / "scancel-fails").exists():
        return fail("scancel: error: Unable to contact slurm controller (connect failure)")
    for path in (folder / "jobs").glob("*/job.json"):
        job = read(path)
        if str(job["number"]) in words or job["name"] == asked.get("name"):
            write(path.with_name("cancel"), True)
    return 0


class Controller:
    """What runs the tasks of a job. Faults: ``environment`` {task: {name: value}}, ``held`` lets all wait."""

    def __init__(self, folder: Path, number: str) -> None:
        self.folder, self.job = folder, folder / "jobs" / number
        self.described = read(self.job / "job.json")
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.endings: dict[int, str] = {}
        self.deadline = 0.0

    def run(self) -> int:
        tasks = list(range(self.described["tasks"]))
        while tasks or self.processes:
            if (self.job / "cancel").exists() and not self.deadline:
                self.deadline = time.monotonic() + KILL_SECONDS * bool(read(self.job / "cancel"))
                for task in tasks:
                    self.note(task, "CANCELLED")
                tasks = []
                for task in self.processes:
                    self.send(task, signal.SIGTERM, "CANCELLED")
            while tasks and len(self.processes) < AT_ONCE and not (self.folder / "held").exists():
                self.start(tasks.pop(0))
            for task in list(self.processes):
                self.see(task)
            time.sleep(0.01)
        return 0

    def start(self, task: int) -> None:
        number = self.described["number"]
        output = self.described["output"].replace("%%", "\0").replace("%A", str(number))
        output = output.replace("%a", str(task)).replace("\0", "%")
        more = read(self.folder / "environment") if (self.folder / "environment").exists() else {}
        environment = {
            **os.environ, "SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_CPUS_ON_NODE": "1", **more.get(str(task), {}),
        }  # fmt: skip
        with Path(output).open("ab") as log:
            self.processes[task] = subprocess.Popen(
                ["/bin/bash", str(self.job / "script")], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, start_new_session=True,
            )  # fmt: skip
        write(self.job / f"{task}.json", {"state": "RUNNING", "pid": self.processes[task].pid})

    def see(self, task: int) -> None:
        code = self.processes[task].poll()
        asked = self.job / f"{task}.end"
        if code is not None:
            del self.processes[task]
            self.note(task, self.endings.get(task, "FAILED" if code else "COMPLETED"))
        elif asked.exists():
            wish = read(asked)
            asked.unlink()
            self.send(task, wish["signal"], wish["state"])
        elif self.deadline and time.monotonic() > self.deadline:
            self.send(task, signal.SIGKILL, "CANCELLED")

    def send(self, task: int, number: int, state: str) -> None:
        """Signal a task as SLURM does: USR1 its script alone, what ends it all its processes."""
        self.endings[task] = state
        with suppress(ProcessLookupError):
            (os.kill if number == signal.SIGUSR1 else os.killpg)(self.processes[task].pid, number)

    def note(self, task: int, state: str) -> None:
        write(self.job / f"{task}.json", read(self.job / f"{task}.json") | {"state": state})


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    if what == "controller":
        sys.exit(Controller(Path(where), rest[0]).run())
    sys.exit({"sbatch": sbatch, "squeue": squeue, "scancel": scancel}[what](Path(where), rest))
