"""The arithmetic that stored numbers are made with: one torch thread, denormal numbers taken for zero."""

from collections.abc import Iterator
from contextlib import contextmanager

from spinlock.numerics.denormals import zero_denormals
from spinlock.numerics.threads import single_thread


@contextmanager
def pinned_arithmetic() -> Iterator[None]:
    """Run the body so that its results depend on its arguments alone, not on the caller's settings.

    Every numerical entry point does so: rollouts, replays, operators, initial conditions and features. May
    be nested, and used from several threads at once.
    """
    with single_thread(), zero_denormals():
        yield
