"""Training on datasets with torch: items, windows, streams of batches; nothing depends on the workers."""

from spinlock.torch.augmentation import Augmentation
from spinlock.torch.batches import Batches
from spinlock.torch.iterable import SpinlockIterable
from spinlock.torch.map_style import SpinlockDataset
from spinlock.torch.order import Order
from spinlock.torch.sampler import SpinlockSampler
from spinlock.torch.window import Window

__all__ = [
    "Augmentation",
    "Batches",
    "Order",
    "SpinlockDataset",
    "SpinlockIterable",
    "SpinlockSampler",
    "Window",
]
