"""Names of devices."""

import re

import torch

from spinlock.errors import UsageError

NAME = re.compile(r"cpu|cuda(:\d+)?")


def parse_device(name: str | torch.device) -> torch.device:
    """Return the device of that name, or raise `UsageError` where no device has such a name."""
    if isinstance(name, str) and not NAME.fullmatch(name):
        raise UsageError(
            f"device {name!r} is not allowed: it must be cpu, cuda or cuda:<number>; commands also take auto"
        )
    return torch.device(name)
