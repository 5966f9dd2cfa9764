"""Samples of every kind of noise, policy and normalization for stacks, and both ways to roll them out."""

import torch

from spinlock.numerics.noise import noise
from spinlock.operators import build
from spinlock.operators.stacked import InTurn
from spinlock.rollout import UpdatePolicy, roll_out
from spinlock.rollout.stacked import Start, roll_out_stack
from test_rollout.stub_operators import LockstepStub, Stub, keyed_field

SEED = 5
CPU = torch.device("cpu")

NOISES = [
    {},
    {"noise_scale": 0.1},
    {"noise_scale": 0.1, "noise_type": "laplace", "noise_location": "output"},
    {"noise_scale": 0.2, "noise_schedule": "periodic", "spatial_correlation": 0.1},
    {"noise_scale": 0.1, "noise_type": "dropout", "noise_location": "hidden"},
    {"dropout_rate": 0.2},
    {"noise_scale": 0.3, "noise_schedule": "annealing", "noise_location": "output"},
]
SCALED_NOISES = [
    {"noise_scale": 0.2, "noise_type": "multiplicative"},
    {"noise_scale": 0.3, "noise_type": "dropout", "noise_location": "output"},
]
POLICIES = [("autoregressive", {}), ("residual", {"dt": 0.2}), ("convex", {"alpha": 0.3})]
NORMALIZATIONS = ["none", "instance", "layer", "group", "batch"]


class Known(Stub):
    """A stub that is an operator in every respect."""

    def __call__(self, x):
        return self.function(x)


class KnownTogether(LockstepStub):
    """A stub in lockstep that is an operator in every respect."""

    def __call__(self, x):
        return self.function(x, x)


def start(sample, noises=NOISES, size=16, **chosen):
    """Return the start of a sample; noise and policy change with its number unless chosen."""
    name, constants = POLICIES[sample % len(POLICIES)]
    model = chosen.pop("noise", noises[sample % len(noises)])
    policy = UpdatePolicy.of(*chosen.pop("policy", (name, constants)))
    initial = chosen.pop("initial", None)
    return Start(
        sample, keyed_field(size=size, sample=sample) if initial is None else initial, policy, noise(**model)
    )


def network(sample, **options):
    normalization = NORMALIZATIONS[sample % len(NORMALIZATIONS)]
    small = {"num_layers": 1 + sample % 2, "base_channels": 4, "normalization": normalization}
    return build("cnn", {**small, **options}, channels=2, seed=0, sample=sample)


def together(operators, starts, kind=InTurn, device=CPU, realizations=3, steps=3, keep="all", **how):
    starts = [Start(s.sample, s.initial.to(device), s.policy, s.noise) for s in starts]
    with torch.inference_mode():
        return roll_out_stack(
            kind(operators, device),
            starts,
            seed=SEED,
            num_realizations=realizations,
            num_timesteps=steps,
            keep=range(steps + 1) if keep == "all" else keep,
            deliver=CPU,
            **how,
        )


def one_by_one(operators, starts, realizations=3, steps=3, keep="all", **how):
    with torch.inference_mode():
        return [
            roll_out(
                operator,
                s.initial,
                policy=s.policy,
                noise=s.noise,
                seed=SEED,
                sample=s.sample,
                num_realizations=realizations,
                num_timesteps=steps,
                keep=range(steps + 1) if keep == "all" else keep,
                **how,
            )
            for operator, s in zip(operators, starts, strict=True)
        ]


def same_bits(a, b):
    """Whether two rollouts hold the same, NaN included; exponents to rounding."""
    return (
        torch.equal(a.frames.view(torch.int32), b.frames.view(torch.int32))
        and torch.equal(a.final.view(torch.int32), b.final.view(torch.int32))
        and facts(a) == facts(b)
    )


def facts(rollout):
    """Return the whole numbers and words of a rollout."""
    return (
        rollout.finite_steps.tolist(),
        rollout.float16_steps.tolist(),
        rollout.dynamics,
        rollout.timesteps,
        rollout.num_timesteps,
    )
