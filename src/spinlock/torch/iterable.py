"""An epoch as a stream of batches: shuffled by key, divided over ranks and workers, resumed at any batch."""

from collections.abc import Iterator

import torch
from torch.utils.data import default_collate, get_worker_info

from spinlock.torch.batches import Batches
from spinlock.torch.map_style import Item


class SpinlockIterable(Batches, torch.utils.data.IterableDataset[Item]):
    """Batches of an epoch in an order keyed by (seed, epoch), whatever the number of workers.

    Give it to a `DataLoader` with ``batch_size=None``; arguments are those of
    `spinlock.torch.batches.Batches`. Of a rank's batches the k-th goes to worker k mod W: a loader takes them
    in turn, so the stream is the same for every W. Batches left over at the end of an epoch, fewer than there
    are ranks, are dropped.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> from spinlock.torch import SpinlockDataset, SpinlockIterable
    >>> batches = SpinlockIterable(SpinlockDataset("datasets/test_100.h5", crop=32), batch_size=8)
    >>> loader = DataLoader(batches, batch_size=None, num_workers=0)
    >>> for batch in batches.counted(loader):
    ...     state = batches.state_dict()  # after it, load_state_dict goes on with the next batch
    >>> batches.epoch
    1
    """

    def __iter__(self) -> Iterator[Item]:
        """Iterate over the batches of this worker, from where the state says."""
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for k, places in self.remaining():
            if k % workers == number:
                yield default_collate(self.dataset.__getitems__(places))
