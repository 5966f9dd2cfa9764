"""Which devices a run uses, and what the user must be told about them."""

import warnings
from collections.abc import Sequence

import torch

from spinlock.config.model import Config
from spinlock.errors import UsageError
from spinlock.numerics.allocation import keep_freed_memory
from spinlock.numerics.devices import parse_device

NO_GPU = (
    "If it has one, its driver or a torch built for it is missing: look at `nvidia-smi` and "
    '`python -c "import torch; print(torch.version.cuda)"`'
)
"""What to do where a GPU that was asked for is not found."""


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
        f"device {name!r}: this machine has no such GPU; the CPU is used. {NO_GPU}", UserWarning, stacklevel=2
    )
    return torch.device("cpu")


def computed_elsewhere(config: Config) -> bool:
    """Return whether other machines compute, so that the devices of this one do not matter."""
    return config.simulation.parallelism.strategy in ("ray", "slurm")


def resolve_devices(config: Config) -> list[torch.device]:
    """Return the device of each slot on this machine; a missing GPU is named and left out.

    Every entry of ``devices`` is as many slots as ``slots_per_device`` says. Where other machines compute,
    it is what this one would estimate with, and nothing is said of what it lacks.

    Raises
    ------
    UsageError
        Where the precision does not suit a device.
    """
    simulation = config.simulation
    asked: Sequence[str] | str = simulation.parallelism.devices
    if computed_elsewhere(config):
        return [torch.device("cpu") if simulation.device == "cpu" else resolve_device("auto")]
    if asked == "auto":
        devices = [resolve_device(simulation.device)]
    else:
        missing = [name for name in asked if not available(name)]
        devices = [resolve_device(name) for name in asked if name not in missing]
        if missing:
            rest = ", ".join(dict.fromkeys(map(str, devices))) or "the CPU"
            names = ", ".join(dict.fromkeys(missing))
            said = f"no such GPU here: {names}; the run uses {rest}. {NO_GPU}"
            warnings.warn(said, UserWarning, stacklevel=2)
        devices = devices or [torch.device("cpu")]
    for device in devices:
        refuse_unsuited(simulation.precision, device)
    return devices * simulation.parallelism.slots_per_device


def refuse_unsuited(precision: str, device: torch.device) -> None:
    """Raise `UsageError` where a device is no good for a precision."""
    if precision == "float16" and device.type == "cpu":
        raise UsageError(
            "simulation.precision: float16 is several times slower than float32 on a CPU; "
            "use bfloat16, or a GPU"
        )


def prepare_process() -> None:
    """Make the arithmetic repeatable (no TF32, no autotuned, no nondeterministic kernels); keep freed memory.

    Called before anything is computed, in every process that computes.
    """
    keep_freed_memory()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
