#!/usr/bin/env python3
"""Print what one sample of each initial condition costs on one core, beside a pair of FFTs of the same size.

    python benchmarks/initial_conditions.py [--grid-size 128] [--repeats 9]

Times are medians of processor time over samples at default options, in milliseconds; the ratio is to rfft2
and irfft2 of three channels, measured in the same run. The limit holds for a 128 grid.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable

import torch

from spinlock.initial_conditions import generate, registry
from spinlock.numerics.pinned import pinned_arithmetic

LIMITS = {"closed": 10.0, "fft": 10.0, "steps": 100.0, "particles": 100.0}
OWN_LIMITS = {"regulatory_network": 1000.0}
"""Milliseconds a sample by class of cost, and for types with a limit of their own."""


def median_time(call: Callable[[int], object], repeats: int) -> float:
    """Return the median processor time of ``call(k)`` in milliseconds; the first two calls do not count."""
    durations = []
    for number in range(-2, repeats):
        start = time.process_time()
        call(number + 2)
        if number >= 0:
            durations.append(1e3 * (time.process_time() - start))
    return statistics.median(durations)


def main() -> int:
    """Print the table; exit 1 if a type is above its limit on a 128 grid."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--grid-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    size = options.grid_size
    white = generate("gaussian_random_field", size, 3, [0], kernel="white")
    with pinned_arithmetic():
        pair = median_time(
            lambda _: torch.fft.irfft2(torch.fft.rfft2(white), s=(size, size)), 10 * options.repeats
        )
    print(
        f"{platform.machine()}, {platform.python_version()}, torch {torch.__version__}, one thread, {size}²"
    )
    print(f"FFT pair of three channels: {pair:.3f} ms\n")
    print("| type | cost | ms a sample | FFT pairs | limit, ms |\n|---|---|---|---|---|")
    slow = []
    for entry in sorted(registry.entries(), key=lambda entry: entry.name):
        limit = OWN_LIMITS.get(entry.name, LIMITS[entry.cost])
        taken = median_time(lambda index, name=entry.name: generate(name, size, 3, [index]), options.repeats)
        slow += [entry.name] if taken > limit and size == 128 else []
        print(f"| {entry.name} | {entry.cost} | {taken:.2f} | {taken / pair:.1f} | {limit:g} |")
    if slow:
        print(f"\nabove the limit: {', '.join(slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
