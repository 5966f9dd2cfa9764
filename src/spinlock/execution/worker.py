"""A worker process: reads one job and then shard numbers from its standard input, answers on its standard output.

A job is the configuration, the plan's digest, the run directory and a device, as one line of JSON; the worker makes
the plan anew and refuses another digest. It ignores SIGINT (the driver decides), and leaves when the pipe closes:
a worker never outlives its driver by more than a step.
"""

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO


def main() -> int:
    """Serve the driver until the pipe closes or SIGTERM or SIGUSR1 asks to leave."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: stop.set())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not reach the protocol
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines, stop), daemon=True).start()
    first = lines.get()
    if first is not None:
        _serve(json.loads(first), lines, answers, stop)
    return 0


def _read(lines: "queue.SimpleQueue[str | None]", stop: threading.Event) -> None:
    for line in sys.stdin:
        lines.put(line)
    stop.set()
    lines.put(None)


def _serve(job: dict[str, Any], lines: "queue.SimpleQueue[str | None]", answers: TextIO, stop: threading.Event) -> None:
    import torch

    from spinlock.config import config_from_stored
    from spinlock.execution.devices import pin_numerics
    from spinlock.execution.plan import make_plan
    from spinlock.execution.shard import Signals, run_shard

    torch.set_num_threads(1)
    pin_numerics()
    plan = make_plan(config_from_stored(job["config"]))
    if plan.digest != job["digest"]:
        raise SystemExit(f"the plan made here has digest {plan.digest}, the driver's has {job['digest']}")

    def answer(message: dict[str, Any]) -> None:
        try:
            answers.write(json.dumps(message) + "\n")
            answers.flush()
        except BrokenPipeError:
            stop.set()

    answer({"ready": True})
    signals = Signals(stop.is_set, lambda: answer({"row": 1}))
    directory, device = Path(job["directory"]), torch.device(job["device"])
    while not stop.is_set() and (line := lines.get()) is not None:
        task = json.loads(line)
        answer(_attempt(lambda task=task: run_shard(plan, task["shard"], directory, device, attempt=task["attempt"], signals=signals)))


def _attempt(work: Any) -> dict[str, Any]:
    """Return the answer for one shard: its receipt, or what went wrong."""
    from spinlock.errors import StorageError

    try:
        return {"receipt": work().to_json()}
    except StorageError as error:
        return {"storage_error": str(error)}
    except Exception as error:  # noqa: BLE001 (whatever it is, the driver is told)
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    sys.exit(main())
