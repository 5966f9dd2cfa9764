"""The floor: the convolutions of a plan alone, as often as it needs them, in the best form found here."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional

from spinlock.execution.executors.choice import usable_cores
from spinlock.execution.plan import Plan
from spinlock.numerics.threads import single_thread
from spinlock.operators.cnn import layer_widths
from spinlock.rollout.dynamics import SHORTEST

Layer = tuple[int, int, int]
"""Channels in, channels out, kernel size."""


@dataclass(frozen=True)
class Form:
    """How convolutions are done: the layout, and one realization to a core or all at once on all cores."""

    channels_last: bool
    alone: bool

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "channels first"
        return f"{layout}, {'a realization a core' if self.alone else 'all realizations at once'}"


FORMS = tuple(Form(last, alone) for alone in (True, False) for last in (False, True))


def layers_of(options: Mapping[str, Any], channels: int) -> list[Layer]:
    """Return the convolutions of one application of an operator."""
    widths = layer_widths(options["num_layers"], options["base_channels"], options["channel_schedule"])
    hidden = [(before, after, options["kernel_size"]) for before, after in pairwise([channels, *widths])]
    return [*hidden, (widths[-1], channels, 1)]


class Convolutions:
    """The convolutions of one operator on states of one size, in one form."""

    def __init__(self, layers: Sequence[Layer], size: int, states: int, form: Form) -> None:
        layout = torch.channels_last if form.channels_last else torch.contiguous_format
        batch = 1 if form.alone else states
        self.weights = [torch.randn(b, a, k, k).contiguous(memory_format=layout) for a, b, k in layers]
        self.inputs = [
            torch.randn(batch, a, size, size).contiguous(memory_format=layout) for a, _, _ in layers
        ]

    def __call__(self) -> None:
        """Do each of them once."""
        for x, weight in zip(self.inputs, self.weights, strict=True):
            functional.conv2d(x, weight, padding=weight.shape[-1] // 2)


def states_of(plan: Plan) -> int:
    """Return how many states an operator is applied to in a step: the realizations, and the twin."""
    simulation = plan.config.simulation
    return simulation.num_realizations + (1 if simulation.num_timesteps >= SHORTEST else 0)


def floor(plan: Plan, form: Form, samples: int | None = None, steps: int | None = None) -> Callable[[], None]:
    """Return a call that does the convolutions of a plan, or of its first samples and steps, in one form."""
    states, simulation = states_of(plan), plan.config.simulation
    draws = plan.draws(0, min(samples or plan.total_samples, plan.total_samples))
    operators = [
        Convolutions(layers_of(d.operator_options, simulation.num_channels), d.grid_size, states, form)
        for d in draws
    ]
    count = min(steps or simulation.num_timesteps, simulation.num_timesteps) * (states if form.alone else 1)

    def repeated(operator: Convolutions) -> None:
        with _threads(form), torch.inference_mode():
            for _ in range(count):
                operator()

    def run() -> None:
        with ThreadPoolExecutor(usable_cores() if form.alone else 1) as pool:
            list(pool.map(repeated, operators))

    return run


@contextmanager
def _threads(form: Form) -> Iterator[None]:
    """Use one torch thread where realizations stand alone, and all cores otherwise."""
    with single_thread() if form.alone else nullcontext():
        yield


def best_form(plan: Plan) -> Form:
    """Return the form in which the convolutions of a few operators and steps take the least time."""
    calls = {form: floor(plan, form, samples=2 * usable_cores(), steps=4) for form in FORMS}
    return min(FORMS, key=lambda form: min(_duration(calls[form]) for _ in range(3)))


def _duration(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
