"""The launches of one pass, layer by layer; import where Triton is installed."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spinlock.numerics.hidden_noise import HiddenNoise
from spinlock.operators.catalogue import HiddenHook
from spinlock.operators.stack.disturbance import disturb
from spinlock.operators.stack.kernels import convolve, finish, gather_moments, pool_moments
from spinlock.operators.stack.passes import Launch, LayerPass, StackPass
from spinlock.operators.stack.tables import LANES, PIXELS, PackedNetworks

ELEMENTS = 1024
"""Values that a program takes where it goes through a field value by value."""


class _Work:
    """The arrays of a pass, and its launches."""

    def __init__(self, plan: StackPass, packed: PackedNetworks, states: Tensor, products: str) -> None:
        self._plan, self._packed, self._products = plan, packed, products
        self._states, self.size = states, states.shape[-1]
        self.fields = torch.empty(3 * plan.elements, dtype=packed.weights.dtype, device=states.device)
        self._partials = states.new_empty(plan.partials)
        self._statistics = states.new_empty(2 * plan.statistics)

    def convolve(
        self, launches: Sequence[Launch], target: Tensor, *, first: bool, read_out: bool = False
    ) -> None:
        tiles = -(-(self.size**2) // PIXELS)
        for launch in launches:
            convolve[(tiles * launch.out_tiles, len(launch.table))](
                self._states if first else self.fields, self._packed.weights, self._packed.biases, target,
                self._partials, launch.table, launch.out_tiles,
                SIZE=self.size, PIXELS=PIXELS, CHANNELS=launch.tile, DEPTH=launch.depth,
                FIRST=first, MOMENTS=launch.moments, READ_OUT=read_out, PRECISION=self._products,
            )  # fmt: skip

    def normalize(self, layer: LayerPass) -> None:
        if len(layer.normalized):
            gather_moments[(-(-layer.stride // LANES), len(layer.normalized))](
                self._partials, self._statistics, layer.normalized, SIZE=self.size, PIXELS=PIXELS
            )
        if len(layer.pooled):
            pool_moments[(layer.groups, len(layer.pooled))](
                self._statistics, self._plan.peers, layer.pooled, self._plan.statistics
            )

    def finish(self, number: int, layer: LayerPass) -> None:
        elements = self._plan.elements
        shortcut = self.fields[(2 - number % 2) * elements :]
        blocks = -(-(self.size**2 * layer.stride) // ELEMENTS)
        finish[(blocks, len(layer.every))](
            self._states if number == 0 else self.fields, shortcut, self._packed.biases, self._statistics,
            self.fields, layer.every, self._plan.statistics,
            SIZE=self.size, ELEMENTS=ELEMENTS, FIRST=number == 0,
        )  # fmt: skip

    def disturb(self, noise: HiddenNoise, number: int, layer: LayerPass) -> None:
        """Add the noise of every row that has some."""
        blocks = -(-(self.size**2 * layer.stride) // ELEMENTS)
        disturb[(blocks, len(layer.every))](
            self.fields, layer.every, noise.numbers, noise.levels, *noise.key, noise.step, number,
            SIZE=self.size, ELEMENTS=ELEMENTS,
        )  # fmt: skip

    def call(self, hooks: Mapping[int, HiddenHook], number: int, layer: LayerPass) -> None:
        """Let hooks replace the fields of their rows."""
        for row in hooks.keys() & layer.fields.keys():
            start, stride, width = layer.fields[row]
            field = self.fields[start : start + self.size**2 * stride].view(1, self.size, self.size, stride)
            x = field[..., :width].permute(0, 3, 1, 2)
            x.copy_(hooks[row](number, x.contiguous()))


def run_pass(
    plan: StackPass,
    packed: PackedNetworks,
    states: Tensor,
    outputs: Tensor,
    hooks: Mapping[int, HiddenHook],
    noise: HiddenNoise | None,
    products: str,
) -> None:
    """Write the outputs of the rows of a pass; ``products`` is the precision of float32 matrix products."""
    work = _Work(plan, packed, states, products)
    for number, layer in enumerate(plan.layers):
        work.convolve(layer.convolutions, work.fields, first=number == 0)
        work.convolve(layer.shortcuts, work.fields, first=number == 0)
        work.normalize(layer)
        work.finish(number, layer)
        if noise is not None:
            work.disturb(noise, number, layer)
        work.call(hooks, number, layer)
    work.convolve(plan.read_out, outputs, first=False, read_out=True)
