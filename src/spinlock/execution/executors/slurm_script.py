"""The script that is given to sbatch: one array job, whose tasks are this package's own program."""

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import spinlock
from spinlock.errors import UsageError
from spinlock.execution.executors.slurm_files import LOG_FOLDER, ArrayRecord

WARNED_SECONDS = 60
"""So long before its time limit a task is asked to leave."""

PLAIN = re.compile(r"[A-Za-z0-9_./,:;@%+=~^*&|!()\[\]-]+")
"""What an option of sbatch may hold without quotes."""

TEMPLATE = """#!/bin/bash
{directives}

# Task t computes the shards t, t + {tasks}, t + 2 * {tasks} ... of the list in
# {record}
# and commits each by itself. The run that submitted this job waits for it; Ctrl-C there ends both.
# Without it, the tasks are ended by: scancel --name={name}

export PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
exec {command}
"""


def script_text(record: ArrayRecord, options: Mapping[str, str | int | bool]) -> str:
    """Return the script of an array job.

    Parameters
    ----------
    record
        The job.
    options
        Further options of sbatch by their long names, as the configuration gives them.

    Raises
    ------
    UsageError
        Where the run directory has a name that no option of sbatch can hold.
    """
    logs = str(Path(record.directory) / LOG_FOLDER).replace("%", "%%")
    own: dict[str, str | int | bool] = {
        "job-name": record.name,
        "array": f"0-{record.tasks - 1}",
        "output": f"{logs}/%A_%a.log",
        "no-requeue": True,  # the driver submits again what is lost, and counts
        "signal": f"B:USR1@{WARNED_SECONDS}",
    }
    directives = "\n".join(_directive(name, value) for name, value in {**own, **options}.items())
    return TEMPLATE.format(
        directives=directives,
        tasks=record.tasks,
        record=record.path.name,
        name=record.name,
        path=shlex.quote(str(Path(spinlock.__file__).resolve().parents[1])),
        command=shlex.join(task_command(record)),
    )


def task_command(record: ArrayRecord) -> list[str]:
    """Return the command of every task; SLURM tells each its number in the environment."""
    return [sys.executable, "-P", "-m", "spinlock.execution.slurm_task", str(record.path)]


def _directive(name: str, value: str | int | bool) -> str:
    if value is True:
        return f"#SBATCH --{name}"
    text = str(value)
    if PLAIN.fullmatch(text):
        return f"#SBATCH --{name}={text}"
    if re.search(r"[\"'\\\x00-\x1f\x7f]", text):
        raise UsageError(
            f"{text!r} cannot stand in a script of SLURM (--{name}): choose a dataset.output_path without "
            "quotation marks, backslashes and line breaks"
        )
    return f'#SBATCH --{name}="{text}"'


def job_name(output: str, token: str) -> str:
    """Return the name of a job: what it makes, and a token that no other job has."""
    return f"spinlock-{re.sub(r'[^A-Za-z0-9_.-]', '_', output)[:40]}-{token}"
