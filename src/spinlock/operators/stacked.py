"""Many different networks applied to many states at once, each state as if it were alone."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from spinlock.errors import UsageError
from spinlock.numerics.hidden_noise import HiddenNoise
from spinlock.numerics.noise import unchanged
from spinlock.operators.catalogue import HiddenHook, Operator
from spinlock.operators.cnn import Cnn
from spinlock.operators.stack.passes import StackPass, plan_pass
from spinlock.operators.stack.tables import PIXELS, PackedNetworks

Products = Literal["ieee", "tf32x3", "tf32"]
"""Operands of float32 matrix products: exact, three rounded products for one, or rounded to 10 bits."""

MOST_ROWS = 65_535
"""Rows of one launch: the limit of a grid's second axis."""

ALIGNMENT = 16
"""Bytes to which states are aligned: Triton compiles other code where they are not."""

PASS_BYTES = 4 << 30
"""Memory for the hidden fields of one pass; how many rows share a pass changes no bit."""


def kernels_run_on(device: torch.device) -> bool:
    """Return whether the kernels can run on a device: a GPU, with Triton installed."""
    return device.type == "cuda" and find_spec("triton") is not None


class InTurn:
    """S operators of any families behind the interface of a stack: each state goes through its own, alone.

    On a CPU its bits are those of a rollout of the sample alone.

    Parameters
    ----------
    operators
        Operators; they are moved to the device.
    device
        Where states are.
    """

    draws_inside = False
    """Whether it draws noise inside operators; hooks do."""

    def __init__(self, operators: Sequence[Operator], device: torch.device) -> None:
        self.lockstep = [operator.lockstep for operator in operators]
        self._operators = operators
        for operator in operators:
            if isinstance(operator, nn.Module):
                operator.to(device)

    def apply(
        self,
        states: Float32[Tensor, "r c h w"],
        owners: Sequence[int],
        peers: Mapping[int, Sequence[int]] | None = None,
        hooks: Mapping[int, HiddenHook] | None = None,
        noise: HiddenNoise | None = None,
    ) -> Float32[Tensor, "r c h w"]:
        """Return O of every state; see `StackedCnn.apply`. Noise inside comes from hooks alone."""
        assert noise is None, "an operator that is applied alone draws no noise"
        sharing, hooks = _sharing(self.lockstep, states, owners, peers), hooks or {}
        outputs = torch.empty_like(states)
        for owner, rows in _rows_of(owners).items():
            place = {row: k for k, row in enumerate(rows)}
            results = self._operators[owner].ensemble(
                [states[row : row + 1] for row in rows],
                [hooks.get(row, unchanged) for row in rows],
                [[place[other] for other in sharing.get(row, [row])] for row in rows],
            )
            for row, y in zip(rows, results, strict=True):
                outputs[row] = y[0]
        return outputs


class StackedCnn:
    """S networks of any widths, depths, kernels and blocks that are applied in the same launches.

    The bits of a state's result depend on that state, its network and its peers, not on its place, its
    neighbours or how many there are; from those of `InTurn` they differ by rounding.

    Parameters
    ----------
    networks
        Operators of the family ``cnn``, of one precision and with one number of state channels.
    device
        Where states are: a GPU with Triton, or a CPU under Triton's interpreter.
    products
        The operands of float32 matrix products.
    pass_bytes
        Memory for hidden fields.
    """

    draws_inside = True
    """Whether it draws noise inside operators; only what it cannot draw needs hooks."""

    def __init__(
        self,
        networks: Sequence[Cnn],
        device: torch.device,
        *,
        products: Products = "ieee",
        pass_bytes: int = PASS_BYTES,
    ) -> None:
        kinds = {(str(network.weight.dtype), network.weight.shape[0]) for network in networks}
        if len(kinds) != 1:
            raise UsageError(
                "operators of a stack must have one precision and one number of state channels; "
                f"these have {sorted(kinds) or 'none: the stack is empty'}"
            )
        self.lockstep = [network.lockstep for network in networks]
        self._device, self._products, self._pass_bytes = device, products, pass_bytes
        self._packed = PackedNetworks(networks, device)
        self._passes: tuple[object, list[StackPass]] = None, []

    def apply(
        self,
        states: Float32[Tensor, "r c h w"],
        owners: Sequence[int],
        peers: Mapping[int, Sequence[int]] | None = None,
        hooks: Mapping[int, HiddenHook] | None = None,
        noise: HiddenNoise | None = None,
    ) -> Float32[Tensor, "r c h w"]:
        """Return O of every state, by the network that owns it.

        Parameters
        ----------
        states
            [R, C, H, W], H = W.
        owners
            For each state, the number of its network.
        peers
            For states of a lockstep network, the states that share their statistics, in order; without it,
            all states of the network.
        hooks
            For some states, what is called after every hidden block, with that block's noise in place.
        noise
            Noise and dropout behind every hidden block.
        """
        from spinlock.operators.stack.launches import run_pass

        sharing = _sharing(self.lockstep, states, owners, peers)
        states = states.contiguous()
        if states.data_ptr() % ALIGNMENT:
            states = states.clone()
        outputs = torch.empty_like(states)
        for plan in self._planned(states.shape[-1], owners, sharing):
            run_pass(plan, self._packed, states, outputs, hooks or {}, noise, self._products)
        return outputs

    def _planned(
        self, size: int, owners: Sequence[int], peers: Mapping[int, Sequence[int]]
    ) -> list[StackPass]:
        """Return the passes over some rows; those of the last call are kept."""
        asked = size, tuple(owners), tuple((row, tuple(rows)) for row, rows in sorted(peers.items()))
        if self._passes[0] != asked:
            passes = [
                plan_pass(
                    self._packed, np.array(rows), np.array([owners[row] for row in rows]),
                    [peers.get(row, (row,) if self.lockstep[owners[row]] else ()) for row in rows],
                    size=size, pixels=PIXELS, device=self._device,
                )
                for rows in self._divided(size, owners)
            ]  # fmt: skip
            self._passes = asked, passes
        return self._passes[1]

    def _divided(self, size: int, owners: Sequence[int]) -> list[list[int]]:
        """Return the rows of each pass: all rows of a network together, within the memory of a pass."""
        passes: list[list[int]] = []
        room = 0
        item = self._packed.weights.element_size()
        for owner, rows in _rows_of(owners).items():
            needed = 3 * item * size**2 * int(self._packed.channels[owner]) * len(rows)
            if not passes or needed > room or len(passes[-1]) + len(rows) > MOST_ROWS:
                passes.append([])
                room = self._pass_bytes
            passes[-1] += rows
            room -= needed
        return passes


def stack_operators(
    operators: Sequence[nn.Module], device: torch.device, *, products: Products = "ieee"
) -> StackedCnn | InTurn:
    """Return the fastest stack that the operators and the device allow."""
    networks = [operator for operator in operators if isinstance(operator, Cnn)]
    if kernels_run_on(device) and len(networks) == len(operators):
        return StackedCnn(networks, device, products=products)
    return InTurn([operator for operator in operators if isinstance(operator, Operator)], device)


def _sharing(
    lockstep: Sequence[bool],
    states: Tensor,
    owners: Sequence[int],
    peers: Mapping[int, Sequence[int]] | None,
) -> Mapping[int, Sequence[int]]:
    """Return the states that share statistics with each: those given, else all of the network."""
    if len(owners) != len(states):
        raise UsageError(f"{len(states)} states have {len(owners)} owners: each state needs one")
    if peers is not None:
        return peers
    members = {owner: rows for owner, rows in _rows_of(owners).items() if lockstep[owner]}
    return {row: rows for rows in members.values() for row in rows}


def _rows_of(owners: Sequence[int]) -> dict[int, list[int]]:
    """Return the rows of each network."""
    rows: dict[int, list[int]] = {}
    for row, owner in enumerate(owners):
        rows.setdefault(owner, []).append(row)
    return rows
