"""The batches of an epoch as numbers of items, for a `DataLoader` over a map-style dataset; it resumes."""

from collections.abc import Iterator

import torch

from spinlock.torch.batches import Batches


class SpinlockSampler(Batches, torch.utils.data.Sampler[list[int]]):
    """A batch sampler whose order is keyed by (seed, epoch), divided over ranks, resumed at any batch.

    Give it to a `DataLoader` as ``batch_sampler``; arguments are those of `spinlock.torch.batches.Batches`,
    and the batches are those of `SpinlockIterable` with the same ones. ``set_epoch`` leaves an epoch that is
    under way where it is, so loops that call it before every epoch resume too.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> from spinlock.torch import SpinlockDataset, SpinlockSampler
    >>> items = SpinlockDataset("datasets/test_100.h5", crop=32)
    >>> sampler = SpinlockSampler(items, batch_size=8, seed=1)
    >>> for batch in sampler.counted(DataLoader(items, batch_sampler=sampler)):
    ...     state = sampler.state_dict()  # after it, load_state_dict goes on with the next batch
    >>> sampler.epoch
    1
    """

    def __iter__(self) -> Iterator[list[int]]:
        """Iterate over the items of each batch, from where the state says."""
        for _, places in self.remaining():
            yield places
