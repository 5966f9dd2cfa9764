"""Denormal numbers as zero: on many processors arithmetic with them is a hundred times as slow."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_DENORMAL = 2.0**-1060


def denormals_are_zero() -> bool:
    """Return whether the processor takes denormal numbers for zero, in the calling thread."""
    return _DENORMAL + 0.0 == 0.0


@contextmanager
def zero_denormals() -> Iterator[None]:
    """Run the body with denormal operands and results taken for zero; restore the thread's mode afterwards.

    Float32 below 1.2e-38 and float64 below 2.2e-308 become 0, so that a state that decays to nothing takes
    as long as any other. The mode belongs to the thread, and threads started in the body inherit it. Where
    the processor has no such mode (torch knows those of x86 and ARM) nothing changes. May be nested.
    """
    before = denormals_are_zero()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
