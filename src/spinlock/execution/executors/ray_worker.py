"""A worker on a Ray cluster: an actor that is given an order and shard numbers, and answers in JSON.

Ray starts it again, here or on another node, when its process dies; the order then comes with it. Shards are
computed one after the other in one thread, while another tells the driver of the signs of life.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from spinlock.errors import SpinlockError
from spinlock.execution.orders import Order, answer_of
from spinlock.storage import write_errors

if TYPE_CHECKING:
    from spinlock.execution.plan import Plan
    from spinlock.storage import Receipt

VISIBLE_SECONDS = 20.0
"""A network file system may show a new file so late on another machine."""

LOOKED_SECONDS = 0.2

MARK = "visible.tmp"
"""Beginning of the name of the file by which a node proves that it sees the run directory.

It is that of a temporary file, so that the next run sweeps up after a driver that was killed.
"""


class RefusedError(SpinlockError):
    """A node cannot take part in the run, whatever the shard."""


class ShardActor:
    """Computes shards where Ray has put it.

    Parameters
    ----------
    order
        The order, as JSON.
    mark
        A file in the run directory that the driver has written.
    """

    def __init__(self, order: str, mark: str) -> None:
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
        self._order, self._mark = Order(**json.loads(order)), Path(mark)
        self._plan: Plan | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._rows, self._heard = 0, False

    def hello(self) -> str:
        """Return who it is and where it computes, or why it cannot."""
        from spinlock.execution.environment import numerical_environment

        try:
            self._prepared()
        except RefusedError as error:
            return json.dumps({**self._who(), "refused": str(error)})
        return json.dumps({**self._who(), "environment": numerical_environment(self._device())})

    def run(self, shard: int, attempt: int) -> str:
        """Return the answer for a shard, and the rows not told of yet; without an answer it was given up."""
        from spinlock.execution.in_flight import InFlight
        from spinlock.execution.shard import Signals, run_shard

        signals, in_flight = Signals(self._stopping, self._on_row), InFlight(self._order.sharing)

        def work() -> "Receipt":
            return run_shard(
                self._prepared(), shard, Path(self._order.directory), self._device(),
                attempt=attempt, signals=signals, in_flight=in_flight,
            )  # fmt: skip

        try:
            self._prepared()
        except RefusedError as error:
            return json.dumps({**self._who(), "refused": str(error)})
        answer = {} if self._stop.is_set() else answer_of(work) or {}
        if "out_of_memory" in answer:
            self._stop.set()  # the driver ends it, so that its memory is free before anything else begins
        return json.dumps({**self._who(), **answer, **self._told()})

    def signs(self, seconds: float) -> str:
        """Wait so long, or until it must leave, and return what was heard of the shard in the meantime."""
        self._stop.wait(seconds)
        return json.dumps(self._told())

    def leave(self) -> None:
        """Give up the shard at its next step, and those that wait."""
        self._stop.set()

    def _who(self) -> dict[str, Any]:
        return {"node": _node(), "host": socket.gethostname(), "pid": os.getpid()}

    def _device(self) -> Any:
        import torch

        return torch.device(self._order.device)

    def _prepared(self) -> "Plan":
        """Return the plan, made the first time that it is asked for."""
        if self._plan is None:
            self._require_sight()
            self._require_device()
            try:
                self._plan = self._order.plan()
            except SpinlockError as error:
                raise RefusedError(str(error)) from None
        return self._plan

    def _require_sight(self) -> None:
        deadline = time.monotonic() + VISIBLE_SECONDS
        while not _visible(self._mark):
            if time.monotonic() > deadline:
                raise RefusedError(
                    f"it does not see {self._mark.parent}: put dataset.output_path on a file system that all "
                    "nodes of the cluster share, under the same path, or take a cluster of this node alone"
                )
            time.sleep(LOOKED_SECONDS)

    def _require_device(self) -> None:
        import torch

        if self._device().type == "cuda" and not torch.cuda.is_available():
            raise RefusedError(
                "Ray gave it a GPU that its torch cannot use: install torch for CUDA there, or set "
                "simulation.device: cpu"
            )

    def _stopping(self) -> bool:
        with self._lock:
            self._heard = True
        return self._stop.is_set()

    def _on_row(self) -> None:
        with self._lock:
            self._rows += 1

    def _told(self) -> dict[str, Any]:
        """Return the rows and signs of life since the last time."""
        with self._lock:
            told = {"rows": self._rows, "heard": self._heard or self._rows > 0}
            self._rows, self._heard = 0, False
        return told


def end_actor(pid: int) -> None:
    """Kill a process of this machine, if it is an actor that computes shards."""
    with suppress(OSError):
        if ShardActor.__name__.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def _node() -> str:
    """Return the number that Ray gives the node."""
    import ray

    return ray.get_runtime_context().get_node_id()


def _visible(path: Path) -> bool:
    try:
        return path.read_text() == path.name
    except OSError:
        return False


@contextmanager
def visible_mark(directory: Path) -> Iterator[Path]:
    """Keep a file in a directory for the body, by which others prove that they see the directory."""
    path = Path(directory).absolute() / f"{MARK}-{uuid4().hex}"
    with write_errors(directory):
        path.write_text(path.name)
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink()
