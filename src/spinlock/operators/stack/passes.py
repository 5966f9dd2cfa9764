"""One pass of a stack over some of its rows: which tile of which network reads and writes where."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spinlock.operators.stack.tables import FIELDS, LANES, NORMALIZATION_CODES, Facts, PackedNetworks


@dataclass(frozen=True)
class Launch:
    """Rows whose tiles have one shape: their table, and the output tiles of the widest of them."""

    table: Tensor
    tile: int
    depth: int
    moments: bool
    out_tiles: int


@dataclass(frozen=True)
class LayerPass:
    """One layer: its convolutions, those of its shortcuts, and the tables of what follows.

    Attributes
    ----------
    convolutions, shortcuts
        A launch for each shape of tile.
    every, normalized, pooled
        Tables of all rows, of those with statistics, and of those that share them.
    stride
        Padded channels of the widest row.
    groups
        Programs that the shared statistics of one row need, at most.
    fields
        First element, padded channels and channels of each row's field behind the layer.
    """

    convolutions: list[Launch]
    shortcuts: list[Launch]
    every: Tensor
    normalized: Tensor
    pooled: Tensor
    stride: int
    groups: int
    fields: dict[int, tuple[int, int, int]]


@dataclass(frozen=True)
class StackPass:
    """A pass: its layers in order, the read-out, and the sizes of the arrays they work in.

    Attributes
    ----------
    elements, partials, statistics
        Elements of one array of fields (there are three: two in turn, and the shortcuts'), of the moments of
        tiles, and of one set of statistics (there are two: the channels' own, and those shared).
    peers
        Places of the statistics that states share.
    """

    layers: list[LayerPass]
    read_out: list[Launch]
    elements: int
    partials: int
    statistics: int
    peers: Tensor


def plan_pass(
    networks: PackedNetworks,
    rows: np.ndarray,
    owners: np.ndarray,
    peers: Sequence[Sequence[int]],
    *,
    size: int,
    pixels: int,
    device: torch.device,
) -> StackPass:
    """Return the pass over states ``rows``, int64 [B], of networks ``owners``, int64 [B], on one grid.

    ``peers`` are, for each of them, the rows of this pass that share its statistics; empty where none do.
    A tile has ``pixels`` pixels.
    """
    area, frame = size**2, networks.state_channels * size**2
    columns = np.max([facts["columns"] for facts in networks.blocks], axis=0)[owners]
    slots, elements = _offsets(area * networks.channels[owners])
    partials, all_partials = _offsets(2 * -(-area // pixels) * columns)
    statistics, all_statistics = _offsets(2 * columns)
    shared, starts, counts = _places_of_peers(
        dict(zip(rows.tolist(), statistics.tolist(), strict=True)), peers
    )
    common = {
        "row": rows,
        "partials": partials,
        "statistics": statistics,
        "peers": starts,
        "num_peers": counts,
    }
    layers, last = [], slots
    for layer, (blocks, shortcuts) in enumerate(zip(networks.blocks, networks.shortcuts, strict=True)):
        read = rows * frame if layer == 0 else slots + (layer - 1) % 2 * elements
        write = slots + layer % 2 * elements
        main = _of(blocks, owners) | common | {"source": read, "target": write}
        beside = _of(shortcuts, owners) | {"source": read, "target": slots + 2 * elements}
        layers.append(_layer(main, beside, rows, device))
        last = np.where(main["width"] > 0, write, last)
    out = _of(networks.read_out, owners) | {"source": last, "target": rows * frame}
    return StackPass(
        layers=layers,
        read_out=_launches(out, device),
        elements=elements,
        partials=all_partials,
        statistics=all_statistics,
        peers=torch.from_numpy(shared).to(device),
    )


def _of(facts: Facts, owners: np.ndarray) -> Facts:
    return {name: values[owners] for name, values in facts.items()}


def _offsets(sizes: np.ndarray) -> tuple[np.ndarray, int]:
    """Return where pieces of some sizes begin, one behind the other, and where the last one ends."""
    ends = np.cumsum(sizes)
    return ends - sizes, int(ends[-1])


def _places_of_peers(
    place: dict[int, int], peers: Sequence[Sequence[int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the places of all rows' peers, where each row's begin, and how many they are."""
    counts = np.array([len(members) for members in peers], np.int64)
    shared = np.array([place[other] for members in peers for other in members] or [0], np.int64)
    return shared, np.cumsum(counts) - counts, counts


def _layer(main: Facts, beside: Facts, rows: np.ndarray, device: torch.device) -> LayerPass:
    normalization = main.get("normalization", np.zeros(len(rows), np.int64))
    present = main["width"] > 0
    pooled = present & (normalization >= NORMALIZATION_CODES["group"])
    batch = normalization == NORMALIZATION_CODES["batch"]
    programs = np.where(batch, -(-main["width"] // LANES), main["width"] // np.maximum(main["group"], 1))
    written = zip(
        rows[present].tolist(), *(main[name][present].tolist() for name in ("target", "stride", "width")),
        strict=True,
    )  # fmt: skip
    return LayerPass(
        convolutions=_launches(main, device),
        shortcuts=_launches(beside, device),
        every=_table(main, present, device),
        normalized=_table(main, present & (normalization > 0), device),
        pooled=_table(main, pooled, device),
        stride=int(main["stride"].max()),
        groups=int(programs[pooled].max(initial=0)),
        fields={row: (start, stride, width) for row, start, stride, width in written},
    )


def _launches(facts: Facts, device: torch.device) -> list[Launch]:
    """Return a launch for each shape of tile among the rows that have such a layer."""
    if not facts["width"].any():
        return []
    moments = facts["normalization"] > 0 if "normalization" in facts else np.zeros_like(facts["width"])
    shapes = np.stack([facts["tile"], facts["depth"], moments], axis=1)
    launches = []
    for tile, depth, with_moments in np.unique(shapes[facts["width"] > 0], axis=0).tolist():
        chosen = (shapes == (tile, depth, with_moments)).all(axis=1) & (facts["width"] > 0)
        widest = int(facts["width"][chosen].max())
        table = _table(facts, chosen, device)
        launches.append(Launch(table, tile, depth, bool(with_moments), -(-widest // tile)))
    return launches


def _table(facts: Facts, chosen: np.ndarray, device: torch.device) -> Tensor:
    """Return the table [B', fields] of the chosen rows."""
    nothing = np.zeros(int(chosen.sum()), np.int64)
    columns = [facts[name][chosen] if name in facts else nothing for name in FIELDS]
    return torch.from_numpy(np.stack(columns, axis=1)).to(device)
