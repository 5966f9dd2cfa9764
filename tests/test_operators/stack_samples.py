"""Stacks of both kinds, and where each can be tested."""

import os
from importlib.util import find_spec

import pytest
import torch

from spinlock.operators.stacked import InTurn, StackedCnn

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu":
    os.environ.setdefault("TRITON_INTERPRET", "1")

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton")
"""Kernels run on the GPU where there is one, else on the CPU under Triton's interpreter."""

KINDS = [pytest.param(InTurn, id="in-turn"), pytest.param(StackedCnn, id="kernels", marks=needs_triton)]


def applied(kind, networks, states, owners, peers=None, hooks=None, **options):
    """Apply a new stack of a kind where it can run; the result comes back to the CPU."""
    with torch.inference_mode():
        stack = kind(networks, DEVICE, **options)
        return stack.apply(states.to(DEVICE), owners, peers, hooks).cpu()
