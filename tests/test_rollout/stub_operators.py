"""Operators whose trajectories are known, and a short way to roll one out."""

import torch

from spinlock.keys import Key, Purpose
from spinlock.numerics.noise import noise
from spinlock.numerics.random import normals_from_words, random_words
from spinlock.operators import build
from spinlock.rollout import UpdatePolicy, roll_out

NOISE = (
    "noise_type",
    "noise_scale",
    "noise_location",
    "noise_schedule",
    "schedule_period",
    "spatial_correlation",
)
NOISE_OPTIONS = (*NOISE, "dropout_rate")


class Stub:
    """The operator x -> function(x), which remembers how often it was applied to a state."""

    lockstep = False

    def __init__(self, function):
        self.function = function
        self.applications = 0

    def ensemble(self, states, hooks, peers):
        assert len(states) == len(hooks) == len(peers)
        assert all(0 <= place < len(states) for places in peers for place in places)
        self.applications += len(states)
        return [self.function(x) for x in states]


class LockstepStub(Stub):
    """x -> function(x, mean of its peers); remembers who the peers were."""

    lockstep = True

    def __init__(self, function):
        super().__init__(function)
        self.peers = []

    def ensemble(self, states, hooks, peers):
        self.peers.append([tuple(positions) for positions in peers])
        return [
            self.function(x, torch.cat([states[k] for k in positions]).mean(dim=0, keepdim=True))
            for x, positions in zip(states, peers, strict=True)
        ]


def identity():
    return Stub(lambda x: x.clone())


def scaled(factor):
    return Stub(lambda x: x * factor)


def network(sample=0, **options):
    small = {"num_layers": 1, "base_channels": 8, "activation": "tanh", "gain": 1.5}
    return build("cnn", {**small, **options}, channels=2, seed=0, sample=sample)


def keyed_field(channels=2, size=16, sample=0):
    count = channels * size * size
    drawn = random_words(Key(17), Purpose.PROBE, count, samples=sample)
    return normals_from_words(drawn, count).reshape(channels, size, size)


def run(operator, *, initial=None, policy="autoregressive", steps=8, realizations=3, keep="all", **options):
    """Roll an operator out; options are those of policies and noise, and of `roll_out`."""
    initial = keyed_field() if initial is None else initial
    return roll_out(
        operator,
        initial,
        policy=UpdatePolicy.of(policy, {k: options.pop(k) for k in ("dt", "alpha") if k in options}),
        noise=noise(**{name: options.pop(name) for name in NOISE_OPTIONS if name in options}),
        seed=options.pop("seed", 0),
        sample=options.pop("sample", 0),
        num_realizations=realizations,
        num_timesteps=steps,
        keep=range(steps + 1) if keep == "all" else keep,
        **options,
    )


def same(a, b):
    """Equal bits, NaN included."""
    return torch.equal(a.view(torch.int32), b.view(torch.int32))
