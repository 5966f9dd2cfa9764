"""A worker process: reads one job, then shard numbers, from standard input; answers on standard output.

A job is the configuration, the plan's digest, the run directory and a device, as one line of JSON; the worker
makes the plan anew and refuses another digest. It ignores SIGINT (the driver decides), and leaves when the
pipe closes: a worker never outlives its driver by more than a step, or half a minute if it is stuck.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spinlock.storage import Receipt

BEAT_SECONDS = 0.2
"""While a rollout or a measurement goes on, the driver is told so at most so often."""

HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Signals a worker is started with blocked, so that none arrives before it knows what to do."""

LEAVE_SECONDS = 30.0
"""A worker that is stuck when its driver goes ends itself after so long."""

Lines = queue.SimpleQueue[str | None]


def main() -> int:
    """Serve the driver until the pipe closes (0), or SIGTERM or SIGUSR1 asks to leave (128 + its number)."""
    stop = threading.Event()
    lines: Lines = queue.SimpleQueue()
    asked: list[int] = []

    def leave(number: int, _frame: object) -> None:
        asked.append(number)
        stop.set()
        lines.put(None)  # wakes a worker that waits for work

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print must not reach the protocol
    threading.Thread(target=_read, args=(lines, stop), daemon=True).start()
    first = lines.get()
    if first is not None:
        _serve(json.loads(first), lines, answers, stop)
    return 128 + asked[0] if asked else 0


def _read(lines: Lines, stop: threading.Event) -> None:
    for line in sys.stdin:
        lines.put(line)
    stop.set()
    lines.put(None)
    time.sleep(LEAVE_SECONDS)
    os._exit(1)


def _serve(job: dict[str, Any], lines: Lines, answers: int, stop: threading.Event) -> None:
    import torch

    from spinlock.execution.in_flight import InFlight
    from spinlock.execution.orders import Order, OtherPlanError, answer_of
    from spinlock.execution.shard import Signals, run_shard

    order = Order(**job)
    try:
        plan = order.plan()
    except OtherPlanError as error:
        raise SystemExit(str(error)) from None

    def answer(message: dict[str, Any]) -> None:
        with contextlib.suppress(
            BrokenPipeError
        ):  # the driver is gone, and so is standard input: `_read` says stop
            os.write(answers, (json.dumps(message) + "\n").encode())

    last = time.monotonic()

    def stopping() -> bool:
        """Return whether to leave; asked at every step and realization, so the driver hears of it."""
        nonlocal last
        if time.monotonic() - last > BEAT_SECONDS:
            last = time.monotonic()
            answer({"step": 1})
        return stop.is_set()

    answer({"ready": True})
    signals = Signals(stopping, lambda: answer({"row": 1}))
    directory, device, in_flight = Path(order.directory), torch.device(order.device), InFlight(order.sharing)

    def work(task: dict[str, int]) -> "Receipt":
        return run_shard(
            plan, task["shard"], directory, device,
            attempt=task["attempt"], signals=signals, in_flight=in_flight,
        )  # fmt: skip

    while not stop.is_set() and (line := lines.get()) is not None:
        task = json.loads(line)
        message = answer_of(lambda task=task: work(task))
        if message is not None:
            answer(message)


if __name__ == "__main__":
    sys.exit(main())
