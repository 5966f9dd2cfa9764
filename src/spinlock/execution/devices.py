"""Which devices a run uses, and what the user must be told about them."""

import warnings
from collections.abc import Sequence

import torch

from spinlock.config.model import Config
from spinlock.errors import UsageError
from spinlock.numerics.allocation import keep_freed_memory
from spinlock.numerics.devices import parse_device


def available(name: str) -> bool:
    """Return whether a device can be used on this machine."""
    device = parse_device(name)
    if device.type != "cuda":
        return True
    return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()


def resolve_device(name: str) -> torch.device:
    """Return the device a name means here: auto is the first GPU, else the CPU.

    Without the GPU asked for, the CPU is used and a warning says so.

    Raises
    ------
    UsageError
        Where no device has such a name.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if available(name):
        return torch.device("cuda:0" if name == "cuda" else name)
    warnings.warn(
        f"device {name!r}: this machine has no such GPU; the CPU is used", UserWarning, stacklevel=2
    )
    return torch.device("cpu")


def resolve_devices(config: Config) -> list[torch.device]:
    """Return the devices workers are spread over; a missing GPU is named and left out."""
    simulation = config.simulation
    asked: Sequence[str] | str = simulation.parallelism.devices
    if asked == "auto":
        devices = [resolve_device(simulation.device)]
    else:
        missing = [name for name in asked if not available(name)]
        devices = [resolve_device(name) for name in asked if name not in missing]
        if missing:
            rest = ", ".join(map(str, devices)) or "the CPU"
            names = ", ".join(missing)
            warnings.warn(f"no such GPU here: {names}; the run uses {rest}", UserWarning, stacklevel=2)
        devices = devices or [torch.device("cpu")]
    if simulation.precision == "float16" and any(device.type == "cpu" for device in devices):
        raise UsageError(
            "simulation.precision: float16 is several times slower than float32 on a CPU; "
            "use bfloat16, or a GPU"
        )
    return devices


def prepare_process() -> None:
    """Make the arithmetic repeatable (no TF32, no autotuned, no nondeterministic kernels); keep freed memory.

    Called before anything is computed, in every process that computes.
    """
    keep_freed_memory()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
