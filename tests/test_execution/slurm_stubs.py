"""Array tasks without torch: they speak as tasks do, and do what a test asks instead of work."""

import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import torch

import tiny
from slurm_stand_in import Slurm
from spinlock.execution.executors import slurm_end, slurm_script, slurm_watch
from spinlock.execution.executors.choice import execute
from spinlock.execution.executors.outcome import Job, Outcome
from spinlock.execution.plan import make_plan
from spinlock.storage import Receipt, shard_path
from spinlock.storage.receipts import receipt_path

SOURCE = '''
import json, os, shutil, signal, sys, time
from pathlib import Path
record = Path(sys.argv[1])
try:
    made = json.loads(record.read_text())
except FileNotFoundError:
    sys.exit()  # given up
run, stub = Path(made["directory"]), Path(__file__).parent
task = int(os.environ["SLURM_ARRAY_TASK_ID"])
def say(**event):
    with open(record.with_name(f"{record.stem}-{task}.journal"), "a") as journal:
        journal.write(json.dumps(event) + "\\n")
def tries(shard):
    """How often a shard was begun, this time included."""
    with open(stub / f"tries-{shard}", "a") as file:
        file.write(".")
    return (stub / f"tries-{shard}").stat().st_size
def commit(shard):
    for folder, name in (("shards", f"part-{shard:06d}.h5"), ("receipts", f"part-{shard:06d}.json")):
        shutil.copy(stub / name, run / folder / (name + ".new"))
        os.replace(run / folder / (name + ".new"), run / folder / name)
def wait(lease=False):
    """Wait to be killed, or asked to leave; with a lease leave without it as well."""
    while record.exists() or not lease:
        time.sleep(0.01)
    leave(signal.SIGTERM)
def leave(number, frame=None):
    say(left=signal.Signals(number).name)
    os._exit(128 + number)
signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGUSR1, leave)
mine = made["shards"][task::made["tasks"]]
shards = [shard for shard in mine if not (run / "receipts" / f"part-{shard:06d}.json").exists()]
BEFORE
say(ready=1)
for shard in shards:
    tried = tries(shard)
    BODY
    commit(shard)
    say(rows=1)
    say(done=shard)
say(end=True)
'''


class Stub:
    """Stands in for the array tasks of a plan of ``samples`` shards of one row each.

    Parameters
    ----------
    folder
        Where everything is kept; the run directory is ``a.h5.parts`` in it.
    body
        What a task does for each ``shard``, before it is committed; ``tried`` counts from 1.
    before
        What a task does before it is ready.
    """

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        cluster: Slurm,
        body: str = "pass",
        *,
        before: str = "pass",
        samples: int = 6,
        tasks: int = 2,
        **slurm: object,
    ) -> None:
        self.cluster, self.folder = cluster, folder / "stub"
        self.folder.mkdir()
        self.script = self.folder / "stub.py"
        self.script.write_text(SOURCE.replace("BODY", body.replace("\n", "\n    ")).replace("BEFORE", before))
        changes = {
            "sampling.total_samples": samples,
            "simulation.parallelism": {"strategy": "slurm", "slurm": {"poll_seconds": 0.05, **slurm}},
        }
        plan = make_plan(tiny.config_of(folder / "a.h5", tiny.PLAIN, changes))
        directory = folder / "a.h5.parts"
        for name in ("shards", "receipts"):
            (directory / name).mkdir(parents=True, exist_ok=True)
            (self.folder / name).mkdir()
        self.rows = 0
        self.workers: list[int] = []
        self.job = Job(plan, directory, (torch.device("cpu"),), tasks, on_workers=self.workers.append)
        for shard in range(samples):
            content = f"shard {shard}".encode()
            digest = hashlib.sha256(content).hexdigest()
            receipt = Receipt(shard, shard, shard + 1, plan.digest, len(content), digest, digest)
            (self.folder / shard_path(directory, shard).name).write_bytes(content)
            (self.folder / receipt_path(directory, shard).name).write_text(receipt.to_json())
        patch.setenv("PATH", cluster.path)
        patch.setattr(slurm_end, "ASKED_SECONDS", 0.02)
        command = [sys.executable, "-S", "-E", str(self.script)]
        patch.setattr(slurm_script, "task_command", lambda record: [*command, str(record.path)])

    def before_look(self, patch: pytest.MonkeyPatch, what: Callable[[int], object]) -> None:
        """Call ``what`` with 1, 2, … before each time that the driver looks at an array."""
        look, count = slurm_watch.WatchedArray.look, itertools.count(1)

        def looked(array: slurm_watch.WatchedArray) -> None:
            what(next(count))
            look(array)

        patch.setattr(slurm_watch.WatchedArray, "look", looked)

    def row(self) -> None:
        self.rows += 1

    def outcomes(self, shards: Sequence[int] | None = None) -> list[Outcome]:
        """Run the executor to its end."""
        asked = list(range(self.job.plan.num_shards)) if shards is None else shards
        with closing(execute("slurm", self.job, asked, self.row)) as found:
            return sorted(found, key=lambda outcome: outcome.shard)

    def tries(self, shard: int) -> int:
        path = self.folder / f"tries-{shard}"
        return path.stat().st_size if path.exists() else 0

    def records(self) -> list[str]:
        return [path.name for path in (self.job.directory / "slurm").glob("*.json")]

    def scripts(self) -> list[str]:
        return [path.read_text() for path in (self.job.directory / "slurm").glob("*.sh")]

    def receipts(self) -> list[int]:
        found = (self.job.directory / "receipts").glob("part-*.json")
        return sorted(json.loads(path.read_text())["shard"] for path in found)
