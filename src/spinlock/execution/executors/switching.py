"""How soon a thread that waits for the interpreter gets it, while several threads simulate."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_SECONDS = 1e-3
"""A thread that comes back from torch asks for the interpreter; whoever runs Python keeps it at most so long.

Python's own 5 ms are longer than most calls of torch here, so that threads wait more than they compute.
"""

_lock = threading.Lock()
_inside = 0
_outside = 0.0


@contextmanager
def prompt_switching() -> Iterator[None]:
    """Shorten the interval for the body, in the whole process; the last to leave restores it."""
    global _inside, _outside
    with _lock:
        if _inside == 0:
            _outside = sys.getswitchinterval()
            sys.setswitchinterval(min(_outside, SWITCH_SECONDS))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                sys.setswitchinterval(_outside)
