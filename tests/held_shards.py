"""A gate in the middle of shards: tasks and worker processes stay at work until a test has disturbed them."""

import os
from pathlib import Path

import tiny

HOOK = """
import sys
if {"spinlock.execution.slurm_task", "spinlock.execution.worker"} & set(sys.orig_argv):
    import time
    from pathlib import Path
    from spinlock.execution import shard
    from spinlock.execution.executors import choice
    right = shard.run_shard
    def run_shard(plan, number, *words, signals, **how):
        asked = signals.stopping
        def stopping():
            while not Path("GATE").exists() and not asked():
                time.sleep(0.01)
            return asked()
        if number >= 3:
            signals = shard.Signals(stopping, signals.on_row)
        return right(plan, number, *words, signals=signals, **how)
    shard.run_shard = run_shard
    choice.WORTH_PROCESSES = WORTH
"""
"""Holds every shard from the third on, in the middle of it, until the gate is open; small work may be worth
processes."""

HELD = 3
"""Shards that are done while the gate is closed."""


class Gate:
    """Keeps tasks and worker processes at work until a test has done to them what it wants to.

    Parameters
    ----------
    folder
        Where the gate and its hook are made; ``path`` is the ``PYTHONPATH`` with the hook in it.
    worth
        Core seconds from which tasks take worker processes.
    """

    def __init__(self, folder: Path, worth: float = 20.0) -> None:
        self._file = folder / "gate"
        hook = folder / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(
            HOOK.replace("GATE", str(self._file)).replace("= WORTH", f"= {worth}")
        )
        self.path = os.pathsep.join([str(hook), str(tiny.SOURCE)])

    def open(self) -> None:
        self._file.touch()
