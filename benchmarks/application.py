#!/usr/bin/env python3
"""Print what one application of an operator to one state costs, beside its bare convolutions.

    python benchmarks/application.py [--repeats 25]

One torch thread; the first operators of each job of jobs.py, both sides in turn. A line gives the sums over
these operators of the medians and of the smallest durations.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import torch
from bare_convolutions import FORMS, Convolutions, layers_of
from jobs import ROLLOUT, SNAPSHOT, WIDE, configured

from spinlock.execution.devices import prepare_process
from spinlock.execution.plan import Plan, make_plan
from spinlock.execution.simulate import build_operator
from spinlock.numerics.pinned import pinned_arithmetic
from spinlock.operators import Operator

JOBS = {"rollout": (ROLLOUT, 1), "wide": (WIDE, 1), "snapshot": (SNAPSHOT, 4)}


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def durations(plan: Plan, operators: int, precision: str, repeats: int) -> tuple[list[float], list[float]]:
    """Return median and smallest duration in ms of applications, and of their convolutions in float32."""
    channels, sums = plan.config.simulation.num_channels, ([0.0, 0.0], [0.0, 0.0])
    for draw in plan.draws(0, operators):
        operator = cast("Operator", build_operator(plan, draw, torch.device("cpu"), precision))
        x = torch.randn(1, channels, draw.grid_size, draw.grid_size)
        layers = layers_of(draw.operator_options, channels)
        bare = [Convolutions(layers, draw.grid_size, 1, form) for form in FORMS if form.alone]
        calls = [partial(operator, x), *bare]
        taken = [[1e3 * seconds(call) for call in calls] for _ in range(repeats + 1)][1:]
        columns = list(zip(*taken, strict=True))
        best = min(columns[1:], key=statistics.median)
        for total, column in zip(sums, (columns[0], best), strict=True):
            total[0] += statistics.median(column)
            total[1] += min(column)
    return sums


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=25)
    repeats = parser.parse_args().repeats
    prepare_process()
    print("| job | precision | application, ms | float32 convolutions, ms | ratio |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, pinned_arithmetic(), torch.inference_mode():
        for name, (settings, operators) in JOBS.items():
            plan = make_plan(configured(settings, Path(folder)))
            for precision in ("float32", "bfloat16"):
                own, bare = durations(plan, operators, precision, repeats)
                figures = ["{:.2f} ({:.2f})".format(*side) for side in (own, bare)]
                ratio = own[0] / bare[0]
                print(f"| {name} | {precision} | {figures[0]} | {figures[1]} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
