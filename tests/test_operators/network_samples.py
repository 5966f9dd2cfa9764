"""Small operators, keyed states and a network of torch's own modules to compare with."""

import math

import torch
from torch import nn

from spinlock.keys import Key, Purpose
from spinlock.numerics.random import normals_from_words, random_words
from spinlock.operators import build, families

SMALL = {"num_layers": 2, "base_channels": 8, "kernel_size": 3}

MODULES = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
}


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(x)


def keyed_states(batch=1, channels=3, size=16, sample=0, seed=3):
    count = batch * channels * size * size
    drawn = random_words(Key(seed), Purpose.PROBE, count, samples=sample)
    return normals_from_words(drawn, count).reshape(batch, channels, size, size)


def operator(sample=0, seed=0, channels=3, precision="float32", **options):
    return build(
        "cnn", {**SMALL, **options}, channels=channels, seed=seed, sample=sample, precision=precision
    )


def cnn_defaults():
    return {name: option.default for name, option in families["cnn"].options.items()}


def torch_normalization(name, channels):
    if name == "instance":
        return nn.InstanceNorm2d(channels, eps=1e-5)
    if name == "group":
        return nn.GroupNorm(math.gcd(channels, 8), channels, eps=1e-5, affine=False)
    if name == "layer":
        return LayerNorm()
    return nn.Identity()


class LayerNorm(nn.Module):
    def forward(self, x):
        return nn.functional.layer_norm(x, x.shape[1:], eps=1e-5)


class Reference(nn.Module):
    """The network of the documentation, of torch.nn modules in float64, with an operator's weights."""

    def __init__(
        self, network, *, normalization, activation, block, output_activation, padding_mode="circular"
    ):
        super().__init__()
        self.residual, self.bounded = block == "residual", output_activation == "tanh"
        self.activate = MODULES.get(activation, Sine)()
        self.steps = []
        for hidden in network.blocks:
            width, before, size, _ = hidden.weight.shape
            convolution = nn.Conv2d(
                before, width, size, padding="same", padding_mode=padding_mode, bias=False
            )
            convolution.weight = nn.Parameter(hidden.weight.double(), requires_grad=False)
            self.steps.append(
                (convolution, torch_normalization(normalization, width), hidden.bias, hidden.shortcut)
            )
        self.read_out_weight, self.read_out_bias = network.weight.double(), network.bias.double()

    def forward(self, x):
        x = x.double()
        for convolution, normalization, bias, shortcut in self.steps:
            y = self.activate(normalization(convolution(x)) + bias.double()[:, None, None])
            if self.residual:
                carried = x if shortcut is None else nn.functional.conv2d(x, shortcut.double())
                y = (carried + y) / math.sqrt(2)
            x = y
        y = nn.functional.conv2d(x, self.read_out_weight, self.read_out_bias)
        return torch.tanh(y) if self.bounded else y
