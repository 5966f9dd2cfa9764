"""The batches of an epoch that a rank has, in a keyed order, and how far it has come with them."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch

from spinlock.errors import UsageError
from spinlock.torch.map_style import Item, SpinlockDataset
from spinlock.torch.order import Order

ORDER = ("seed", "shuffle", "block", "buffer", "batch_size", "num_ranks", "drop_last")
"""What the order of batches follows from, beside the number of items."""


class Batches:
    """The batches of each epoch: global batch g goes to rank g mod R, all ranks have equally many.

    Parameters
    ----------
    dataset
        Where items come from.
    batch_size
        Items in a batch.
    seed, shuffle, block, buffer
        The order, as for `spinlock.torch.order.Order`; blocks are of items.
    rank, num_ranks
        Which part of every epoch this process has.
    drop_last
        Leave out a last batch that is not full.

    Raises
    ------
    UsageError
        For numbers out of range, or an epoch without a batch for every rank.
    """

    def __init__(
        self,
        dataset: SpinlockDataset,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        block: int = 64,
        buffer: int = 16,
        rank: int = 0,
        num_ranks: int = 1,
        drop_last: bool = False,
    ) -> None:
        if batch_size < 1 or not 0 <= rank < num_ranks:
            raise UsageError("batch_size must be at least 1, and rank in [0, num_ranks)")
        self.dataset, self.batch_size, self.seed, self.shuffle = dataset, batch_size, seed, shuffle
        self.block, self.buffer, self.rank, self.num_ranks = block, buffer, rank, num_ranks
        self.drop_last = drop_last
        if len(self) < 1:
            raise UsageError(
                f"{len(dataset)} items in batches of {batch_size} give {num_ranks} ranks no batch each"
            )
        self._start = torch.zeros(2, dtype=torch.int64).share_memory_()  # epoch, batch: workers that live on
        self._done = 0

    def __len__(self) -> int:
        """Return the number of batches that this rank has in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return (full + (rest > 0 and not self.drop_last)) // self.num_ranks

    @property
    def epoch(self) -> int:
        """The epoch that comes next, or is under way; setting it begins that epoch."""
        return int(self._start[0].item())

    @epoch.setter
    def epoch(self, number: int) -> None:
        self._begin(number, 0)

    def set_epoch(self, number: int) -> None:
        """Begin an epoch, as training loops ask samplers to; one that is under way goes on."""
        if number != self.epoch:
            self._begin(number, 0)

    def _begin(self, epoch: int, batch: int) -> None:
        self._start.copy_(torch.tensor([epoch, batch]))
        self._done = batch

    def remaining(self) -> Iterator[tuple[int, list[int]]]:
        """Iterate over the batches still to come in this epoch, each with its number; roll by that epoch."""
        epoch, first = self._start.tolist()
        self.dataset.epoch = epoch
        yield from islice(enumerate(self._batches(epoch)), first, len(self))

    def _batches(self, epoch: int) -> Iterator[list[int]]:
        """Yield the items of each batch of this rank."""
        order = Order(len(self.dataset), self.block, self.buffer, self.seed, epoch, self.shuffle)
        places = iter(order)
        batch = 0
        while found := list(islice(places, self.batch_size)):
            if batch % self.num_ranks == self.rank:
                yield found
            batch += 1

    def counted(self, loader: Iterable[Item]) -> Iterator[Item]:
        """Iterate over a loader of these batches, counted for `state_dict`; then the next epoch begins.

        What counts is what was taken from here: batches that workers fetched ahead come again. Each loop
        begins where the epoch was begun or taken up, and so does its count after one that was broken off.
        """
        self._done = int(self._start[1].item())
        for batch in loader:
            self._done += 1
            yield batch
        self._begin(self.epoch + 1, 0)

    def state_dict(self) -> dict[str, Any]:
        """Return how far this rank has come, as JSON can hold it; the last batch from `counted` is done."""
        order = {name: getattr(self, name) for name in ORDER}
        items = {"items": len(self.dataset), "dataset": self.dataset.identity}
        return {"epoch": self.epoch, "batch": self._done, **items, **order}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken; a loader that is running is not affected.

        Raises
        ------
        UsageError
            For a state of other items, or of another order of batches.
        """
        here = self.state_dict()
        other = [name for name in ("items", *ORDER) if state.get(name) != here[name]]
        if other:
            differs = ", ".join(f"{name} {state.get(name)} there, {here[name]} here" for name in other)
            raise UsageError(f"the state is of another order of batches ({differs})")
        if state.get("dataset") != here["dataset"]:
            raise UsageError("the state is of another dataset, or of other rows or windows of it")
        if not 0 <= int(state["batch"]) <= len(self):
            raise UsageError(f"the state is at batch {state['batch']}; an epoch here has {len(self)}")
        self._begin(int(state["epoch"]), int(state["batch"]))
