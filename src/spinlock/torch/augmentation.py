"""What training does to fields on the way out: rolls on the torus, crops, normalization; all keyed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinlock.dataset.statistics import ChannelStatistics
from spinlock.errors import UsageError
from spinlock.keys import Key, Purpose, words

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """How the fields of an item are shown; all fields of one item the same way.

    Parameters
    ----------
    crop
        Side of a square cut out at a keyed place, or None for whole fields.
    roll
        Shift fields around the torus by a keyed number of pixels along both axes: circular convolutions, and
        so the dynamics, commute with it. With ``crop`` the square may then reach over the edge.
    normalize
        For each array (``inputs``, ``outputs``, ``trajectories``, ``frames``), the statistics by which it is
        scaled channel by channel: (x − mean) / std; a channel that is constant is only centred.
    seed
        Places and shifts are keyed by seed, epoch and item.
    """

    crop: int | None = None
    roll: bool = False
    normalize: Mapping[str, ChannelStatistics] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a crop of nothing."""
        if self.crop is not None and self.crop < 1:
            raise UsageError(f"crop {self.crop} is out of range: the least is 1 pixel")

    @property
    def acts(self) -> bool:
        """Whether fields are shown otherwise than they are."""
        return self.crop is not None or self.roll or bool(self.normalize)

    def shown(self, fields: Mapping[str, Array], item: int, epoch: int) -> dict[str, Array]:
        """Return fields [..., C, g, g] as item number ``item`` of an epoch shows them.

        Raises
        ------
        UsageError
            Where the crop is larger than the grid.
        """
        scaled = {name: self._normalized(name, values) for name, values in fields.items()}
        if self.crop is None and not self.roll:
            return scaled
        grid = next(iter(scaled.values())).shape[-1]
        if self.crop is not None and self.crop > grid:
            raise UsageError(f"crop {self.crop} is larger than the grid of item {item}, {grid}")
        first = self._place(grid, item, epoch)
        side = grid if self.crop is None else self.crop
        axes = [np.arange(start, start + side) % grid for start in first]
        return {name: values[..., axes[0][:, None], axes[1]] for name, values in scaled.items()}

    def _place(self, grid: int, item: int, epoch: int) -> tuple[int, int]:
        choices = grid if self.roll or self.crop is None else grid - self.crop + 1
        high, low = divmod(item, 1 << 32)
        drawn = words(Key(self.seed, "augmentation"), Purpose.CHOICE, [low], 2, step=epoch, site=high)[0]
        y, x = (drawn * choices >> 32).tolist()
        return y, x

    def _normalized(self, name: str, values: Array) -> Array:
        found = (self.normalize or {}).get(name)
        if found is None:
            return values
        mean, std = (np.array(column)[:, None, None] for column in (found.mean, found.std))
        return ((values - mean) / np.where(std > 0, std, 1.0)).astype(np.float32)
