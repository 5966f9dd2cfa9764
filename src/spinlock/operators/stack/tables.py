"""Where everything of a stack of networks lies: weights packed once, a table of integers for each launch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spinlock.operators.activations import ACTIVATIONS
from spinlock.operators.block import HiddenBlock
from spinlock.operators.cnn import Cnn
from spinlock.operators.normalization import groups

FIELDS = (
    "row", "source", "target", "weights", "bias", "before", "width", "kernel", "columns", "stride",
    "partials", "statistics", "activation", "normalization", "group", "residual", "bounded", "peers",
    "num_peers",
)  # fmt: skip
"""The columns of a table: offsets in elements, sizes in channels, and codes of what a block does."""

ACTIVATION_CODES = {name: code for code, name in enumerate(ACTIVATIONS)}
NORMALIZATION_CODES = {"none": 0, "instance": 1, "group": 2, "layer": 3, "batch": 4}
"""From ``group`` on, statistics are shared by channels or states."""
RESIDUAL_CODES = {"none": 0, "identity": 1, "shortcut": 2}

FEWEST_CHANNELS = 16
"""Channels of a field are padded to a multiple of this; no tile of a matrix product is smaller."""

PIXELS = 64
"""Pixels of a tile."""

LANES = 32
"""Channels that a program of the statistics takes at a time."""

Facts = dict[str, np.ndarray]
"""A column of numbers, one for each network, int64 [S]."""


def padded(count: int, multiple: int = FEWEST_CHANNELS) -> int:
    """Return the least multiple that holds a count."""
    return -(-count // multiple) * multiple


def tile_channels(width: int) -> int:
    """Return how many output channels a tile has: a function of the layer's own width."""
    return 16 if width <= 16 else 32 if width <= 32 else 64


def tile_depth(before: int, *, first: bool) -> int:
    """Return how many products are summed at a time: a function of the layer's own input."""
    return 32 if not first and padded(before) % 32 == 0 else 16


@dataclass
class _Heap:
    """Arrays laid one behind the other, each at a multiple of 16 elements."""

    pieces: list[Tensor] = field(default_factory=list)
    length: int = 0

    def add(self, values: Tensor) -> int:
        place, length = self.length, padded(values.numel())
        self.pieces.append(functional.pad(values.flatten(), (0, length - values.numel())))
        self.length += length
        return place

    def joined(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        return torch.cat([piece.to(dtype) for piece in self.pieces]).to(device)


class PackedNetworks:
    """The weights of S networks in one array, and for each layer what every network does there.

    Attributes
    ----------
    weights, biases
        All matrices [taps and input channels, output channels] in the networks' precision; biases in float32.
    blocks, shortcuts
        For each layer, the facts of its convolution and of its 1×1 shortcut; ``width`` is 0 where a network
        has none.
    read_out
        The facts of the 1×1 read-out.
    channels
        Padded channels of each network's widest field, int64 [S].
    lockstep
        Whether each network's states share statistics.
    """

    def __init__(self, networks: Sequence[Cnn], device: torch.device) -> None:
        self._weights, self._biases = _Heap(), _Heap()
        hidden = [[b for b in network.blocks if isinstance(b, HiddenBlock)] for network in networks]
        depth = max(len(blocks) for blocks in hidden)
        self.blocks = [self._facts([self._block(b, layer) for b in hidden]) for layer in range(depth)]
        self.shortcuts = [self._facts([self._shortcut(b, layer) for b in hidden]) for layer in range(depth)]
        self.read_out = self._facts([self._read_out(network) for network in networks])
        self.channels = np.max([facts["stride"] for facts in self.blocks], axis=0)
        self.lockstep = [network.lockstep for network in networks]
        self.state_channels = int(networks[0].weight.shape[0])
        self.weights = self._weights.joined(device, networks[0].weight.dtype)
        self.biases = self._biases.joined(device, torch.float32)

    @staticmethod
    def _facts(rows: Sequence[dict[str, int]]) -> Facts:
        names = set().union(*rows)
        return {name: np.array([row.get(name, 0) for row in rows], np.int64) for name in names}

    def _matrix(self, weight: Tensor, *, first: bool) -> dict[str, int]:
        """Pack a convolution's weight [out, in, k, k]; a first layer's input channels are not padded."""
        width, before, size, _ = weight.shape
        columns = padded(width, tile_channels(width))
        depth = before if first else padded(before)
        matrix = functional.pad(weight.permute(2, 3, 1, 0), (0, columns - width, 0, depth - before))
        matrix = matrix.reshape(size * size * depth, columns)
        matrix = functional.pad(matrix, (0, 0, 0, padded(len(matrix)) - len(matrix)))
        return {
            "weights": self._weights.add(matrix), "before": depth, "width": width, "kernel": size,
            "columns": columns, "stride": padded(width), "tile": tile_channels(width),
            "depth": tile_depth(before, first=first),
        }  # fmt: skip

    def _block(self, blocks: Sequence[HiddenBlock], layer: int) -> dict[str, int]:
        if layer >= len(blocks):
            return {"width": 0}
        block = blocks[layer]
        width = len(block.bias)
        kind = "none" if not block.residual else "identity" if block.shortcut is None else "shortcut"
        pooled = block.normalization in ("group", "layer")
        return self._matrix(block.weight, first=layer == 0) | {
            "bias": self._biases.add(block.bias),
            "activation": ACTIVATION_CODES[block.activation],
            "normalization": NORMALIZATION_CODES[block.normalization],
            "group": width // groups(block.normalization, width) if pooled else 1,
            "residual": RESIDUAL_CODES[kind],
        }

    def _shortcut(self, blocks: Sequence[HiddenBlock], layer: int) -> dict[str, int]:
        if layer >= len(blocks):
            return {"width": 0}
        shortcut = blocks[layer].shortcut
        return {"width": 0} if shortcut is None else self._matrix(shortcut, first=layer == 0)

    def _read_out(self, network: Cnn) -> dict[str, int]:
        packed = self._matrix(network.weight, first=False)
        return packed | {"bias": self._biases.add(network.bias), "bounded": int(network.bounded)}
