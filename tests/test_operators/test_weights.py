"""Weights: pure functions of (seed, family, sample), of the stated variance, that carry a signal through."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from spinlock.errors import OptionError, UnknownNameError, UsageError
from spinlock.keys import Key, Purpose, site_number, words
from spinlock.operators import build, families, operator_digest, operator_family
from spinlock.operators.activations import ACTIVATIONS, Signal, moment
from test_operators.network_samples import keyed_states, operator

NAMES = sorted(ACTIVATIONS)


def tensors(network):
    return dict(network.state_dict())


# --- identity ---


def test_building_twice_gives_the_same_bits_and_digest():
    first, second = operator(sample=3), operator(sample=3)
    assert all(
        torch.equal(a, b) for a, b in zip(tensors(first).values(), tensors(second).values(), strict=True)
    )
    assert operator_digest(first) == operator_digest(second)


def test_what_else_is_built_does_not_matter():
    alone = operator_digest(operator(sample=5))
    for sample in (9, 5, 2):
        operator(sample=sample, num_layers=4)
    assert operator_digest(operator(sample=5)) == alone


def test_samples_and_seeds_differ_pairwise():
    digests = {
        (seed, sample): operator_digest(operator(seed=seed, sample=sample))
        for seed in (0, 1)
        for sample in range(40)
    }
    assert len(set(digests.values())) == 80
    table = torch.stack([operator(sample=sample).blocks[1].weight.flatten() for sample in range(24)])
    correlation = torch.corrcoef(table.double()) - torch.eye(24, dtype=torch.float64)
    assert float(correlation.abs().max()) < 5 / math.sqrt(table.shape[1])


def test_weights_are_the_documented_numbers():
    """Normals of (seed, family) at (sample, site, layer), by the numpy generator in float64."""
    network = operator(
        seed=11, sample=6, channels=2, num_layers=2, base_channels=4, gain=1.5, activation="relu"
    )
    for layer, (before, square) in enumerate([(2, 1.0), (4, 0.5)]):
        weight = network.blocks[layer].weight
        drawn = words(
            Key(11, "cnn"), Purpose.WEIGHTS, [6], weight.numel(), site=site_number("weight"), step=layer
        )
        u = (drawn.reshape(-1, 4) + 0.0) * 2.0**-32
        radius, angle = np.sqrt(-2 * np.log(u[:, :2] + 2.0**-33)), 2 * np.pi * u[:, 2:]
        normals = np.concatenate((radius * np.cos(angle), radius * np.sin(angle)), axis=1).flatten()
        expected = 1.5 * normals / math.sqrt(before * 9 * square)
        assert np.allclose(weight.flatten().numpy(), expected, atol=2e-5)


def test_families_have_weights_of_their_own():
    @operator_family(source="none", sites=("weight",), flops=lambda **_: 0, hidden_width=lambda **_: 0)
    def other_family(channels, weights):
        """A family that only draws."""
        layer = torch.nn.Conv2d(channels, 8, 3, bias=False)
        layer.weight = torch.nn.Parameter(weights.normal("weight", 0, 8, channels, 3, 3))
        return layer

    try:
        ours = build("other_family", {}, channels=3, seed=0, sample=0).weight
        theirs = operator().blocks[0].weight * math.sqrt(27)
        assert abs(float(torch.corrcoef(torch.stack((ours.flatten(), theirs.flatten())))[0, 1])) < 0.25
    finally:
        families.remove("other_family")


def test_no_global_generator_is_read_or_moved():
    before = torch.get_rng_state()
    digest = operator_digest(operator())
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.rand(7)
        assert operator_digest(operator()) == digest


def test_digest_sees_every_tensor_and_one_changed_bit():
    network = operator(block="residual", bias_scale=0.3)
    digests = {operator_digest(network)}
    for tensor in network.state_dict().values():
        value = tensor.view(-1)[-1].clone()
        tensor.view(-1)[-1] = torch.nextafter(value, value + 1)
        digests.add(operator_digest(network))
        tensor.view(-1)[-1] = value
    assert len(digests) == 1 + len(network.state_dict()) == 1 + 2 * 2 + 1 + 2
    assert operator_digest(network) == operator_digest(operator(block="residual", bias_scale=0.3))


def test_digest_tells_shapes_apart():
    def two(shape):
        module = torch.nn.Module()
        module.register_buffer("weight", torch.zeros(shape))
        return operator_digest(module)

    assert len({two((4, 6)), two((6, 4)), two((24,))}) == 3


@pytest.mark.parametrize("block", ["conv", "residual"])
def test_a_deeper_network_begins_with_the_shallower_one(block):
    shallow, deep = operator(num_layers=2, block=block), operator(num_layers=5, block=block)
    for ours, theirs in zip(shallow.blocks, deep.blocks, strict=False):
        assert torch.equal(ours.weight, theirs.weight)
        assert torch.equal(ours.bias, theirs.bias)
    assert not torch.equal(deep.blocks[2].weight, deep.blocks[3].weight)


def test_a_wider_first_block_begins_with_the_narrower_one():
    narrow, wide = operator(base_channels=8).blocks[0], operator(base_channels=32).blocks[0]
    assert torch.equal(narrow.weight, wide.weight[:8])
    assert torch.equal(narrow.bias, wide.bias[:8])


# --- refusals ---


def test_unknown_family_names_the_near_miss():
    with pytest.raises(
        UnknownNameError, match=r"unknown operator family 'cmn' \(did you mean 'cnn'\?\); known: cnn"
    ):
        build("cmn", {}, channels=3, seed=0, sample=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernal_size": 3}, r"cnn has no option 'kernal_size' \(did you mean 'kernel_size'\?\)"),
        ({"kernel_size": 4}, r"kernel_size = 4 is not allowed: it must be an odd integer in \[1, 15\] px"),
        ({"activation": "rellu"}, r"did you mean 'relu'\?"),
        ({"num_layers": 0}, r"an integer in \[1, 64\]"),
        ({"gain": float("nan")}, r"gain = nan is not allowed: it must be a number in \[0.01, 100\]"),
    ],
)
def test_bad_options_are_refused_with_what_is_allowed(options, message):
    with pytest.raises(OptionError, match=message):
        build("cnn", options, channels=3, seed=0, sample=0)


@pytest.mark.parametrize("sample", [-1, 2**32])
def test_sample_that_does_not_fit_the_counter_is_refused(sample):
    with pytest.raises(UsageError, match=r"sample index .* is out of range"):
        operator(sample=sample)


# --- variance ---


def exact_moment(name, order):
    activation = {
        "relu": lambda z: max(z, 0.0),
        "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
        "gelu": lambda z: z * stats.norm.cdf(z),
        "silu": lambda z: z / (1 + math.exp(-z)),
        "elu": lambda z: z if z > 0 else math.expm1(z),
        "tanh": math.tanh,
        "sin": math.sin,
    }[name]
    halves = [
        integrate.quad(lambda z: activation(z) ** order * math.exp(-z * z / 2), low, high, epsabs=1e-13)[0]
        for low, high in ((-14, 0), (0, 14))
    ]
    return sum(halves) / math.sqrt(2 * math.pi)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_moments_of_activations_against_quadrature(name, order):
    assert moment(name, order) == pytest.approx(exact_moment(name, order), abs=1e-9)


def test_known_moments():
    assert moment("relu", 2) == pytest.approx(0.5, abs=1e-12)
    assert moment("relu", 1) == pytest.approx(1 / math.sqrt(2 * math.pi), abs=1e-9)
    assert moment("sin", 2) == pytest.approx((1 - math.exp(-2)) / 2, abs=1e-12)
    assert moment("leaky_relu", 2) == pytest.approx((1 + 1e-4) / 2, abs=1e-12)


def variance_is(values, expected):
    """Whether the mean square of normal ``values`` is ``expected``, within 5 standard errors."""
    error = math.sqrt(2 / values.numel())
    return abs(float(values.double().square().mean()) / expected - 1) < 5 * error


@pytest.mark.parametrize("gain", [0.7, 1.0, 2.5])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_weights_have_the_stated_variance(activation, gain):
    network = operator(
        num_layers=3, base_channels=32, kernel_size=5, gain=gain, activation=activation, channels=32
    )
    squares = [1.0] + [exact_moment(activation, 2)] * 3
    layers = [*(block.weight for block in network.blocks), network.weight]
    for weight, square in zip(layers, squares, strict=True):
        fan_in = weight[0].numel()
        assert variance_is(weight, gain**2 / (fan_in * square))
        assert not variance_is(weight, 1.5 * gain**2 / (fan_in * square))
        assert abs(float(weight.mean())) < 5 * float(weight.std()) / math.sqrt(weight.numel())


def test_residual_weights_follow_the_signal():
    network = operator(num_layers=3, base_channels=64, block="residual", activation="relu", channels=4)
    mean, square = exact_moment("relu", 1), 0.5
    first = Signal(mean / math.sqrt(2), (1 + square) / 2)
    second = Signal((first.mean + mean) / math.sqrt(2), (first.square + 2 * first.mean * mean + square) / 2)
    for weight, signal in zip(
        [network.blocks[1].weight, network.blocks[2].weight], [first, second], strict=True
    ):
        assert variance_is(weight, 1 / (weight[0].numel() * signal.square))
        assert not variance_is(weight, 1 / (weight[0].numel() * square))
    assert network.blocks[1].shortcut is None
    assert variance_is(network.blocks[0].shortcut, 1 / 4)


@pytest.mark.parametrize("scale", [0.05, 2.0])
def test_biases_have_the_stated_spread(scale):
    drawn = [
        operator(sample=sample, base_channels=64, num_layers=3, bias_scale=scale) for sample in range(10)
    ]
    hidden = torch.cat([block.bias for network in drawn for block in network.blocks])
    assert variance_is(hidden, scale**2)
    assert variance_is(torch.cat([network.bias for network in drawn]), scale**2)
    assert abs(float(hidden.mean())) < 5 * scale / math.sqrt(hidden.numel())


def test_no_bias_scale_means_no_bias():
    network = operator(bias_scale=0.0)
    assert not any(bias.any() for bias in [network.bias, *(block.bias for block in network.blocks)])


# --- the signal on its way ---


def growth(activation, block, gain, samples=range(8), kernel_size=1, base_channels=192, num_layers=6):
    """Mean over operators of the mean square of y = O(x), for a state of mean square 1."""
    outputs = []
    for sample in samples:
        network = operator(
            sample=sample, channels=64, num_layers=num_layers, base_channels=base_channels,
            kernel_size=kernel_size, normalization="none", activation=activation, block=block, gain=gain,
            bias_scale=0.0,
        )  # fmt: skip
        outputs.append(float(network(keyed_states(channels=64, sample=sample)).square().mean()))
    return float(np.mean(outputs))


@pytest.mark.parametrize("block", ["conv", "residual"])
@pytest.mark.parametrize("activation", NAMES)
def test_a_deep_wide_network_preserves_the_signal(activation, block):
    assert 0.75 < growth(activation, block, 1.0) < 1.35


@pytest.mark.parametrize("activation", NAMES)
def test_other_gains_do_not_preserve_it(activation):
    shrunk = growth(activation, "conv", 0.7, samples=range(2))
    grown = growth(activation, "conv", 1.4, samples=range(2))
    assert shrunk < 0.5
    assert grown > 1.5


@pytest.mark.parametrize("kernel_size", [3, 7])
def test_the_kernel_size_does_not_matter(kernel_size):
    measured = growth(
        "relu", "conv", 1.0, samples=range(4), kernel_size=kernel_size, base_channels=64, num_layers=4
    )
    assert 0.6 < measured < 1.6


def test_doubling_residual_networks_preserve_the_signal_too():
    outputs = []
    for sample in range(8):
        network = operator(
            sample=sample, channels=64, num_layers=5, base_channels=64, kernel_size=1, normalization="none",
            activation="relu", block="residual", channel_schedule="doubling", bias_scale=0.0,
        )  # fmt: skip
        outputs.append(float(network(keyed_states(channels=64, sample=sample)).square().mean()))
    assert 0.75 < np.mean(outputs) < 1.35


def test_signals_compose():
    signal = Signal()
    for residual, mixed in itertools.product((True, False), repeat=2):
        after = signal.behind("relu", residual=residual, mixed=mixed)
        assert after.mean**2 <= after.square
    assert signal.behind("tanh", residual=False, mixed=False) == Signal(moment("tanh", 1), moment("tanh", 2))
