"""One torch thread: results of 1×1 convolutions and inverse FFTs depend on how many threads share them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_inside = 0
_outside = 1
_known = threading.local()


@contextmanager
def single_thread() -> Iterator[None]:
    """Run the body on one torch thread and restore the calling thread's count afterwards.

    torch keeps the count for each Python thread, and a new one starts with what was set last anywhere. So a
    thread met here for the first time while others are inside is given back the count from before they
    entered, not theirs. May be nested, and used from several threads at once.
    """
    global _inside, _outside
    with _lock:
        mine = torch.get_num_threads()
        if _inside == 0:
            _outside = mine
        elif not hasattr(_known, "met"):
            mine = _outside
        _known.met = True
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(mine)
