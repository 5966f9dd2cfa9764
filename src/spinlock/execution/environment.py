"""Where the numbers were computed: what the last bits of a dataset depend on beside its configuration."""

import platform
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from spinlock import __version__


def numerical_environment(device: torch.device) -> dict[str, str]:
    """Return what decides the bits: device model, torch build, instruction set. No host is named."""
    if device.type == "cuda":
        model = torch.cuda.get_device_name(device)
        capability = "sm_{}{}".format(*torch.cuda.get_device_capability(device))
    else:
        model = platform.machine()
        capability = torch.backends.cpu.get_cpu_capability()
    return {
        "device": device.type,
        "device_model": model,
        "instruction_set": capability,
        "torch": torch.__version__,
    }


def differences(environments: Iterable[Mapping[str, str]]) -> str:
    """Return in words what is not the same in all environments; empty where nothing is."""
    known = list(environments)
    names = sorted({name for one in known for name in one})
    facts = {name: sorted({str(one.get(name)) for one in known}) for name in names}
    return "; ".join(f"{name}: {' and '.join(values)}" for name, values in facts.items() if len(values) > 1)


def software_versions() -> dict[str, Any]:
    """Return the versions that stand in receipts and provenance."""
    return {
        "spinlock": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }
