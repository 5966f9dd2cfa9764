"""The family cnn: every option acts, the documented network is what is computed, circular everywhere."""

import copy
import math
import pickle
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from spinlock.operators import Operator, build, families
from spinlock.operators.activations import ACTIVATIONS
from spinlock.operators.block import wrap
from spinlock.operators.cnn import cnn_flops, cnn_hidden_width, layer_widths
from test_operators.network_samples import Reference, cnn_defaults, keyed_states, operator

WITHIN_A_STATE = ("none", "instance", "layer", "group")
NORMALIZATIONS = (*WITHIN_A_STATE, "batch")
ACTIVATION_NAMES = sorted(ACTIVATIONS)


def close(a, b, tolerance=2e-5):
    return float((a.double() - b.double()).abs().max()) <= tolerance * (1 + float(b.abs().max()))


# --- every option acts ---

ALTERNATIVES = {
    "num_layers": [1, 3],
    "base_channels": [4, 9],
    "channel_schedule": ["doubling"],
    "kernel_size": [1, 5],
    "normalization": ["none", "layer", "group", "batch"],
    "activation": [name for name in ACTIVATION_NAMES if name != "gelu"],
    "block": ["residual"],
    "output_activation": ["tanh"],
    "gain": [1.01, 0.5],
    "bias_scale": [0.0, 0.11],
}


def test_every_option_is_tried():
    assert set(ALTERNATIVES) == set(families["cnn"].options)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in ALTERNATIVES.items() for value in values]
)
def test_every_option_changes_the_output(name, value, normalization):
    x = keyed_states(2)
    base = {"base_channels": 12, "normalization": normalization}
    if base.get(name) == value:
        base["normalization"] = "none" if value == "instance" else "instance"
    assert not close(operator(**{**base, name: value})(x), operator(**base)(x), 1e-3)


def test_alternatives_differ_from_each_other():
    x = keyed_states()
    for name in ("activation", "normalization"):
        choices = [value for value in families["cnn"].options[name].choices if value != "batch"]
        results = [operator(**{"base_channels": 12, name: value})(x) for value in choices]
        assert all(not close(a, b, 1e-3) for i, a in enumerate(results) for b in results[:i])


# --- the documented network ---


@pytest.mark.parametrize("block", ["conv", "residual"])
@pytest.mark.parametrize("normalization", WITHIN_A_STATE)
@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
def test_same_as_a_network_of_torch_modules(activation, normalization, block):
    options = {"normalization": normalization, "activation": activation, "block": block}
    network = operator(num_layers=3, base_channels=6, channel_schedule="doubling", bias_scale=0.5, **options)
    x = keyed_states(2)
    assert close(network(x), Reference(network, output_activation="linear", **options)(x))


@pytest.mark.parametrize("output_activation", ["linear", "tanh"])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7, 15])
def test_kernel_sizes_and_read_outs(kernel_size, output_activation):
    options = {
        "normalization": "none",
        "activation": "gelu",
        "block": "conv",
        "output_activation": output_activation,
    }
    network = operator(kernel_size=kernel_size, gain=1.5, **options)
    assert network.blocks[0].weight.shape == (8, 3, kernel_size, kernel_size)
    x = keyed_states()
    assert close(network(x), Reference(network, **options)(x))


@pytest.mark.parametrize("channels", [3, 8])
def test_residual_blocks_have_a_shortcut_only_where_the_width_changes(channels):
    network = operator(channels=channels, num_layers=5, block="residual", channel_schedule="doubling")
    widths = [channels, 8, 16, 32, 32, 32]
    for hidden, (before, width) in zip(network.blocks, pairwise(widths), strict=True):
        assert (hidden.shortcut is None) == (before == width)
    assert all(hidden.shortcut is None for hidden in operator(channels=channels, block="conv").blocks)


def test_a_residual_block_is_the_documented_mean():
    network = operator(channels=8, num_layers=1, block="residual", normalization="none")
    x = keyed_states(channels=8)
    hidden = network.blocks[0]
    branch = functional.gelu(functional.conv2d(wrap(x, hidden.margin), hidden.weight, hidden.bias))
    expected = functional.conv2d((x + branch) / math.sqrt(2), network.weight, network.bias)
    assert close(network(x), expected)


@pytest.mark.parametrize(
    ("num_layers", "schedule", "widths"),
    [(1, "doubling", [8]), (3, "constant", [8] * 3), (5, "doubling", [8, 16, 32, 32, 32])],
)
def test_channel_schedules(num_layers, schedule, widths):
    assert layer_widths(num_layers, 8, schedule) == widths
    network = operator(num_layers=num_layers, channel_schedule=schedule)
    assert [len(hidden.bias) for hidden in network.blocks] == widths
    assert network.weight.shape == (3, widths[-1], 1, 1)
    width = cnn_hidden_width(num_layers=num_layers, base_channels=8, channel_schedule=schedule)
    assert width == max(widths)


def test_tanh_read_out_is_bounded_and_the_linear_one_is_not():
    x = keyed_states() * 100
    options = {"normalization": "none", "gain": 3.0}
    assert float(operator(output_activation="tanh", **options)(x).abs().max()) <= 1.0
    assert float(operator(**options)(x).abs().max()) > 100.0


def test_biases_stand_behind_the_normalization():
    """In front of it they would cancel: a constant is what instance normalization takes away."""
    network = operator(normalization="instance", bias_scale=0.0)
    x = keyed_states()
    before = network(x)
    network.blocks[0].bias[:] = 1.0
    assert not close(network(x), before, 1e-2)


def test_gain_is_cancelled_by_normalization_except_in_the_read_out():
    x = keyed_states()
    quiet, loud = (operator(gain=gain, bias_scale=0.0, normalization="instance") for gain in (1.0, 3.0))
    assert close(loud(x), 3.0 * quiet(x), 1e-3)
    free = [
        operator(gain=gain, bias_scale=0.0, normalization="none", activation="relu") for gain in (1.0, 3.0)
    ]
    assert close(free[1](x), 27.0 * free[0](x), 1e-3)


# --- operations counted ---


@pytest.mark.parametrize("block", ["conv", "residual"])
@pytest.mark.parametrize("schedule", ["constant", "doubling"])
@pytest.mark.parametrize(
    ("num_layers", "kernel_size", "channels", "size"), [(1, 3, 3, 16), (4, 5, 8, 20), (3, 1, 2, 32)]
)
def test_flops_formula_against_the_counter_of_torch(num_layers, kernel_size, channels, size, schedule, block):
    options = {
        "num_layers": num_layers,
        "kernel_size": kernel_size,
        "channel_schedule": schedule,
        "block": block,
    }

    def flops(_, weight, *__, out_shape, **___):
        return 2 * math.prod(out_shape) * math.prod(weight[1:])

    network = operator(channels=channels, **options)
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_convolution: flops}) as counter:
        network(keyed_states(channels=channels, size=size))
    entry = families["cnn"]
    given = {**cnn_defaults(), "base_channels": 8, **options}
    assert entry.flops(channels=channels, size=size, **given) == counter.get_total_flops()
    assert entry.flops is cnn_flops
    assert entry.hidden_width is cnn_hidden_width


# --- the torus ---


@pytest.mark.parametrize("block", ["conv", "residual"])
@pytest.mark.parametrize("normalization", WITHIN_A_STATE)
@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_translations_commute_with_the_operator(kernel_size, normalization, block):
    network = operator(kernel_size=kernel_size, normalization=normalization, block=block)
    x = keyed_states()
    for shift in [(1, 0), (0, -1), (5, 11), (15, 8)]:
        assert close(network(x.roll(shift, (-2, -1))), network(x).roll(shift, (-2, -1)), 5e-6)


def test_a_zero_padded_network_does_not_commute():
    options = {"normalization": "none", "activation": "gelu", "block": "conv", "output_activation": "linear"}
    network = Reference(operator(**options), padding_mode="zeros", **options)
    x = keyed_states()
    assert not close(network(x.roll((5, 11), (-2, -1))), network(x).roll((5, 11), (-2, -1)), 1e-2)


def test_transposition_does_not_commute():
    network, x = operator(), keyed_states()
    assert not close(network(x.transpose(-2, -1)), network(x).transpose(-2, -1), 1e-2)


# --- an ensemble ---


def unchanged(_, x):
    return x


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_an_ensemble_without_noise_is_the_operator(normalization):
    network = operator(normalization=normalization)
    states = list(keyed_states(3).split(1))
    outputs = network.ensemble(states, [unchanged] * 3, [range(3)] * 3)
    assert isinstance(network, Operator)
    assert network.lockstep == (normalization == "batch")
    if network.lockstep:
        assert torch.equal(torch.cat(outputs), network(torch.cat(states)))
    else:
        assert all(torch.equal(y, network(x)) for x, y in zip(states, outputs, strict=True))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_hooks_see_every_hidden_block_in_turn_and_act(normalization):
    network = operator(num_layers=3, channel_schedule="doubling", normalization=normalization)
    seen = []

    def hook(member):
        def silence_last(layer, x):
            seen.append((member, layer, tuple(x.shape)))
            return x * 0 if layer == 2 else x

        return silence_last

    states = list(keyed_states(2).split(1))
    outputs = network.ensemble(states, [hook("a"), unchanged], [range(2)] * 2)
    assert seen == [("a", layer, (1, width, 16, 16)) for layer, width in enumerate([8, 16, 32])]
    assert torch.equal(outputs[0], network.bias[None, :, None, None].expand_as(outputs[0]))
    plain = network.ensemble(states, [unchanged] * 2, [range(2)] * 2)
    assert torch.equal(outputs[1], plain[1])


# --- formats and copies ---


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_near_and_states_stay_float32(precision, normalization):
    x = keyed_states(2)
    exact = operator(normalization=normalization)
    rough = operator(normalization=normalization, precision=precision)
    y = rough(x)
    assert y.dtype == torch.float32
    assert {tensor.dtype for tensor in rough.state_dict().values()} == {getattr(torch, precision)}
    assert not torch.equal(y, exact(x))
    assert close(y, exact(x), 0.05)


def test_copies_compute_the_same():
    network, x = operator(block="residual"), keyed_states()
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(x), network(x))


def test_an_operator_takes_no_gradient_and_is_in_evaluation_mode():
    network = operator()
    assert not network.training
    assert not any(tensor.requires_grad for tensor in network.parameters())


# --- properties over the whole family ---

CNN_OPTIONS = st.fixed_dictionaries(
    {
        "num_layers": st.integers(1, 4),
        "base_channels": st.integers(1, 12),
        "channel_schedule": st.sampled_from(["constant", "doubling"]),
        "kernel_size": st.sampled_from([1, 3, 5, 7, 15]),
        "normalization": st.sampled_from(NORMALIZATIONS),
        "activation": st.sampled_from(ACTIVATION_NAMES),
        "block": st.sampled_from(["conv", "residual"]),
        "output_activation": st.sampled_from(["linear", "tanh"]),
        "gain": st.floats(0.01, 100.0),
        "bias_scale": st.floats(0.0, 100.0),
    }
)


@settings(deadline=None, derandomize=True, database=None, max_examples=40)
@given(
    options=CNN_OPTIONS,
    channels=st.integers(1, 6),
    size=st.sampled_from([16, 17, 24, 32, 64]),
    batch=st.integers(1, 3),
    sample=st.integers(0, 2**32 - 1),
    amplitude=st.sampled_from([0.0, 1e-20, 1.0, 1e8]),
)
def test_finite_states_stay_finite_and_keep_their_shape(options, channels, size, batch, sample, amplitude):
    x = keyed_states(batch, channels, size) * amplitude
    kept = x.clone()
    network = build("cnn", options, channels=channels, seed=1, sample=sample)
    y = network(x)
    assert y.shape == x.shape
    assert y.dtype == torch.float32
    assert torch.isfinite(y).all()
    assert torch.equal(x, kept)
    again = build("cnn", options, channels=channels, seed=1, sample=sample)
    assert torch.equal(again(x), y)
