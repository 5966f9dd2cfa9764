#!/usr/bin/env python3
"""Print how fast stacked networks are on a GPU, against their naive form and the card's peak.

    python benchmarks/gpu_kernels.py [--operators 100] [--steps 8] [--size 64] [--device cuda]

The networks are those of the rollout job (4 layers × 32 channels, kernel 3, instance norm, gelu, M = 10,
state noise). Configuration and storage are not touched, so that torch, numpy and numba are enough to run it.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from spinlock.numerics.noise import noise
from spinlock.operators import build
from spinlock.operators.cnn import Cnn, cnn_flops
from spinlock.operators.stacked import InTurn, Products, StackedCnn, kernels_run_on
from spinlock.rollout import UpdatePolicy
from spinlock.rollout.stacked import OperatorStack, Start, roll_out_stack

SHAPE = {"num_layers": 4, "base_channels": 32, "kernel_size": 3}
CHANNELS, REALIZATIONS = 3, 10
PRODUCTS: tuple[Products, ...] = ("ieee", "tf32x3", "tf32")
PASSES = (32 << 20, 256 << 20, 4 << 30)


def measured(call: Callable[[], object], repeats: int = 3) -> float:
    """Return the median duration of a call, after one that does not count."""

    def once() -> float:
        start = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    once()
    return statistics.median(once() for _ in range(repeats))


def naive_network() -> nn.Sequential:
    """Return the network as most people would write it, with torch's own weights."""
    layers: list[nn.Module] = []
    before = CHANNELS
    for _ in range(SHAPE["num_layers"]):
        width = SHAPE["base_channels"]
        layers += [
            nn.Conv2d(before, width, 3, padding=1, padding_mode="circular"),
            nn.InstanceNorm2d(width),
            nn.GELU(),
        ]
        before = width
    return nn.Sequential(*layers, nn.Conv2d(before, CHANNELS, 1))


def naive_rollout(size: int, steps: int, device: torch.device) -> None:
    """Roll out one operator: one realization after the other, batch 1."""
    model = naive_network().to(device)
    for _ in range(REALIZATIONS):
        x = torch.randn(1, CHANNELS, size, size, device=device)
        for _ in range(steps):
            x = model(x + 0.05 * torch.randn_like(x))


def networks(count: int, precision: str = "float32") -> list[Cnn]:
    """Return the operators of the job."""
    built = [
        build("cnn", SHAPE, channels=CHANNELS, seed=0, sample=k, precision=precision) for k in range(count)
    ]
    return [network for network in built if isinstance(network, Cnn)]


def starts(count: int, size: int, device: torch.device) -> list[Start]:
    """Return where the samples of the job start."""
    generator = torch.Generator().manual_seed(0)
    fields = torch.randn(count, CHANNELS, size, size, generator=generator).to(device)
    policy, model = UpdatePolicy.of("autoregressive", {}), noise(noise_scale=0.05)
    return [Start(k, field, policy, model) for k, field in enumerate(fields)]


def rolled_out(stack: OperatorStack, samples: list[Start], steps: int) -> torch.Tensor:
    """Return the last frames of all samples."""
    results = roll_out_stack(stack, samples, seed=0, num_realizations=REALIZATIONS, num_timesteps=steps)
    return torch.stack([result.final for result in results])


def applications(made: list[Cnn], size: int, device: torch.device) -> None:
    """Print the rate of one application for each kind of product, number format and size of a pass."""
    count = len(made)
    flops = REALIZATIONS * count * cnn_flops(channels=CHANNELS, size=size, channel_schedule="constant",
                                             block="conv", **SHAPE)  # fmt: skip
    x = torch.randn(REALIZATIONS * count, CHANNELS, size, size, device=device)
    owners = [k // REALIZATIONS for k in range(len(x))]
    reference = InTurn(made[:2], device).apply(x[: 2 * REALIZATIONS], owners[: 2 * REALIZATIONS])
    for precision in ("float32", "bfloat16"):
        chosen = made if precision == "float32" else networks(count, precision)
        for products in PRODUCTS if precision == "float32" else PRODUCTS[:1]:
            for room in PASSES:
                stack = StackedCnn(chosen, device, products=products, pass_bytes=room)
                seconds = measured(lambda stack=stack: stack.apply(x, owners))
                error = (stack.apply(x, owners)[: len(reference)] - reference).abs().max()
                print(
                    f"apply, {precision} {products}, passes of {room >> 20} MiB: {1e3 * seconds:.2f} ms, "
                    f"{flops / seconds / 1e12:.2f} TFLOP/s, largest difference {float(error):.1e}",
                    flush=True,
                )


def identity(made: list[Cnn], samples: list[Start], steps: int, device: torch.device) -> None:
    """Print whether rollouts keep their bits in another place and with other neighbours."""

    def run(order: list[int]) -> torch.Tensor:
        stack = StackedCnn([made[k] for k in order], device)
        return rolled_out(stack, [samples[k] for k in order], steps)[torch.tensor(order).argsort()]

    count = min(8, len(made))
    few = list(range(count))
    whole = rolled_out(StackedCnn(made, device), samples, steps)[:count]
    alone = torch.cat([rolled_out(StackedCnn([made[k]], device), [samples[k]], steps) for k in few])
    print(f"bits: reversed {torch.equal(run(few[::-1]), whole)}, alone {torch.equal(alone, whole)}")


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--operators", type=int, default=100)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.backends.cudnn.allow_tf32 = False
    with torch.inference_mode():
        made = networks(options.operators)
        samples = starts(options.operators, options.size, device)
        naive = measured(lambda: naive_rollout(options.size, options.steps, device))
        for products in PRODUCTS if kernels_run_on(device) else ():
            stack = StackedCnn(made, device, products=products)
            own = measured(lambda stack=stack: rolled_out(stack, samples, options.steps)) / options.operators
            print(f"rollout, {products}: naive {1e3 * naive:.1f} ms, stacked {1e3 * own:.2f} ms an operator: "
                  f"{naive / own:.1f} times", flush=True)  # fmt: skip
        applications(made, options.size, device)
        identity(made, samples, options.steps, device)


if __name__ == "__main__":
    main()
