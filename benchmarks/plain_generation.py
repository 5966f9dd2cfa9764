"""Generation as most people would write it: the baseline of the benchmark.

One `nn.Sequential` per operator, one forward per realization with batch 1, contiguous, eager, h5py's gzip-4
without shuffle, everything in sequence, torch's default threads. The operators have the shapes and the noise
scale of a plan's draws; weights and states are random numbers of torch's own.
"""

from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Tensor, nn

from spinlock.execution.plan import Draw, Plan
from spinlock.operators.cnn import layer_widths

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "silu": nn.SiLU}
NORMALIZATIONS: dict[str, type[nn.Module]] = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}


def network(options: dict[str, Any], channels: int) -> nn.Sequential:
    """Return the network of a draw, with torch's own weights."""
    widths = layer_widths(options["num_layers"], options["base_channels"], options["channel_schedule"])
    kernel, layers, before = options["kernel_size"], [], channels
    for width in widths:
        layers += [
            nn.Conv2d(before, width, kernel, padding=kernel // 2, padding_mode="circular"),
            NORMALIZATIONS[options["normalization"]](width),
            ACTIVATIONS[options["activation"]](),
        ]
        before = width
    return nn.Sequential(*layers, nn.Conv2d(before, channels, 1))


def random_field(channels: int, size: int, device: torch.device) -> Tensor:
    """Return a Gaussian random field [1, C, size, size] with spectrum (1 + k²)⁻¹, of unit variance."""
    frequencies = torch.fft.fftfreq(size, 1 / size, device=device)
    squares = frequencies[:, None] ** 2 + frequencies[None, :] ** 2
    white = torch.fft.fft2(torch.randn(1, channels, size, size, device=device))
    field = torch.fft.ifft2(white / (1 + squares)).real
    return field / field.std()


def rolled_out(model: nn.Module, x: Tensor, draw: Draw, steps: int) -> Tensor:
    """Return the last state of one realization."""
    scale = draw.noise.noise_scale
    for _ in range(steps):
        if draw.noise.noise_location == "state":
            x = x + scale * torch.randn_like(x)
        x = model(x)
        if draw.noise.noise_location == "output":
            x = x + scale * torch.randn_like(x)
    return x


def generate(plan: Plan, path: Path, device: torch.device | None = None, samples: int | None = None) -> None:
    """Write a dataset of the shapes of a plan, or of its first samples, sample by sample."""
    device = device or torch.device("cpu")
    simulation, size = plan.config.simulation, plan.grids[-1]
    count, channels = samples or plan.total_samples, simulation.num_channels
    shape = (simulation.num_realizations, channels, size, size)
    packed: dict[str, Any] = {"dtype": "float32", "compression": "gzip", "compression_opts": 4}
    with h5py.File(path, "w") as file, torch.no_grad():
        inputs = file.create_dataset("inputs", (count, *shape[1:]), chunks=(1, *shape[1:]), **packed)
        outputs = file.create_dataset("outputs", (count, *shape), chunks=(1, *shape), **packed)
        for draw in plan.draws(0, count):
            model = network(draw.operator_options, channels).to(device)
            x = random_field(channels, size, device)
            inputs[draw.index] = x[0].cpu().numpy()
            last = [rolled_out(model, x, draw, simulation.num_timesteps) for _ in range(shape[0])]
            outputs[draw.index] = torch.cat(last).cpu().numpy()
