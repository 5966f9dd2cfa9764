"""The compiled pass behind a convolution: its definition, its bits, and the gradient put beside it."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from spinlock.errors import UsageError
from spinlock.keys import Key
from spinlock.numerics.noise import NoiseStream, noise
from spinlock.operators import fused
from spinlock.operators.activations import ACTIVATIONS
from spinlock.operators.block import inside, wrap
from spinlock.operators.normalization import EPSILON, groups
from test_operators.network_samples import keyed_states, operator

SHAPES = [(4, 8, 3), (5, 7, 2), (1, 1, 1), (16, 24, 33), (8, 64, 16)]


def pixels(shape, offset=0.0):
    height, width, channels = shape
    field = keyed_states(1, channels, max(height, width))[0, :, :height, :width]
    return np.ascontiguousarray(field.permute(1, 2, 0).numpy() * 2 + np.float32(offset))


def test_the_compiled_loops_are_in_use_here():
    assert fused.agrees()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_moments(shape, offset):
    z = pixels(shape, offset)
    mean, variance = fused.moments(z)
    precise = z.astype(np.float64).reshape(-1, shape[-1])
    assert np.allclose(mean, precise.mean(0), rtol=1e-13)
    assert np.allclose(variance, precise.var(0), rtol=1e-6, atol=1e-6 if offset else 1e-13)
    assert np.array_equal(fused.moments(z), fused.plain_moments(z))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("shape", SHAPES)
def test_finish_is_its_definition(shape, activation):
    z = pixels(shape)
    mean, variance = fused.moments(z)
    affine = np.stack((mean, (variance + EPSILON) ** -0.5)).astype(np.float32)
    bias = np.linspace(-1, 1, shape[-1]).astype(np.float32)
    inside = ACTIVATIONS[activation](torch.from_numpy((z - affine[0]) * affine[1] + bias))
    for margin in (0, 1, min(3, *shape[:2])):
        y = fused.finish(z, affine, bias, activation, margin)
        assert y.flags.c_contiguous
        assert np.array_equal(y, fused.plain_finish(z, affine, bias, activation, margin))
        assert np.array_equal(y, fused.settle(z, shape[-1], EPSILON, bias, activation, margin))
        wrapped = functional.pad(inside.permute(2, 0, 1)[None], (margin,) * 4, mode="circular")[0]
        assert np.abs(y - wrapped.permute(1, 2, 0).numpy()).max() < 3e-6


@pytest.mark.parametrize("normalization", ["instance", "layer", "group"])
@pytest.mark.parametrize("shape", [(16, 16, 12), (9, 7, 6)])
def test_settle_leaves_mean_zero_and_variance_one(normalization, shape):
    channels = shape[-1]
    z = pixels(shape, offset=5.0) * np.arange(1, channels + 1, dtype=np.float32)
    count = groups(normalization, channels)
    settled = fused.settle(z, count, EPSILON, np.full(channels, 7, np.float32), "relu", 0)
    y = (settled.astype(np.float64) - 7).reshape(-1, count, channels // count)
    assert np.abs(y.mean(axis=(0, 2))).max() < 1e-5
    assert np.allclose(y.var(axis=(0, 2)), 1, atol=1e-4)
    plain = fused.plain_settle(z, count, EPSILON, np.full(channels, 7, np.float32), "relu", 0)
    assert np.array_equal(settled, plain)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_bfloat16_is_computed_in_float32_and_rounded_once(activation):
    z = pixels((9, 16, 5))
    rounded = torch.from_numpy(z).bfloat16()
    bits, bias = rounded.view(torch.uint16).numpy(), np.linspace(-1, 1, 5).astype(np.float32)
    y = fused.settle(bits, 5, EPSILON, bias, activation, 2)
    exact = fused.settle(rounded.float().numpy(), 5, EPSILON, bias, activation, 2)
    assert np.array_equal(y, torch.from_numpy(exact).bfloat16().view(torch.uint16).numpy())
    assert np.array_equal(y, fused.plain_settle(bits, 5, EPSILON, bias, activation, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("channels", "size", "margin"), [(3, 8, 0), (3, 8, 2), (1, 5, 5), (6, 1, 1)])
def test_wrap_is_circular_padding_in_any_order_of_memory(dtype, layout, channels, size, margin):
    x = keyed_states(1, channels, size).to(dtype).contiguous(memory_format=layout)
    padded = wrap(x, margin)
    assert torch.equal(padded, functional.pad(x, (margin,) * 4, mode="circular") if margin else x)
    assert torch.equal(inside(padded, margin), x)
    bits = x.view(torch.uint16 if dtype == torch.bfloat16 else dtype).numpy()[0].transpose(1, 2, 0)
    assert np.array_equal(fused.wrapped(bits, margin), fused.plain_wrapped(bits, margin))


def test_a_margin_beyond_the_field_is_refused():
    for x in (keyed_states(1, 1, 4), keyed_states(1, 1, 4).double()):
        with pytest.raises(UsageError, match=r"kernel of 15 pixels needs a grid of at least 7: .* 4 × 4"):
            operator(channels=1, kernel_size=15).to(x.dtype)(x)


@pytest.mark.parametrize(("size", "channels", "width"), [(8, 3, 4), (64, 1, 1), (64, 3, 32), (12, 2, 7)])
def test_a_convolution_is_that_of_torch(size, channels, width):
    block = operator(channels=channels, num_layers=1, base_channels=width, normalization="none").blocks[0]
    x = wrap(keyed_states(1, channels, size), block.margin)
    (y,) = block([x], [[0]], 0)
    exact = functional.gelu(functional.conv2d(x.double(), block.weight.double(), block.bias.double()))
    assert (y - exact).abs().max() < 2e-5


@pytest.mark.parametrize("size", [8, 64])
def test_number_formats_do_not_mix(size):
    network = operator(num_layers=2)
    network.blocks[0].bfloat16()
    with pytest.raises(RuntimeError, match=r"(?i)type"):
        network(keyed_states(1, size=size))


def test_no_groups_normalize_nothing():
    z, bias = pixels((8, 8, 3)), np.float32([0, 1, -1])
    assert np.array_equal(fused.settle(z, 0, EPSILON, bias, "relu", 0), np.maximum(z + bias, 0))


def test_a_constant_field_becomes_its_bias():
    z = np.full((16, 16, 4), 3.3, np.float32)
    assert (fused.settle(z, 4, EPSILON, np.full(4, 2, np.float32), "relu", 1) == 2).all()


@pytest.mark.parametrize(
    ("kernel_size", "width", "size"),
    [(3, 13, 24), (5, 24, 64), (3, 32, 32), (3, 8, 16), (3, 3, 8), (3, 9, 24)],
)
@pytest.mark.parametrize("normalization", ["none", "instance", "group", "batch"])
def test_every_pixel_is_treated_alike_to_the_last_bit(kernel_size, width, size, normalization):
    network = operator(
        num_layers=3,
        base_channels=width,
        kernel_size=kernel_size,
        normalization=normalization,
        bias_scale=0.3,
    )
    uniform = torch.tensor([0.3, -1.1, 0.7])[None, :, None, None].expand(1, 3, size, size)
    assert (network(uniform) == network(uniform)[..., :1, :1]).all()
    x = keyed_states(1, size=size)
    assert torch.equal(network(x.roll((5, 11), (2, 3))), network(x).roll((5, 11), (2, 3)))


def test_not_finite_values_pass_through():
    z = pixels((8, 8, 2))
    z[0, 0, 0], z[1, 1, 1] = np.nan, np.inf
    y = fused.finish(z, np.float32([[0, 0], [1, 1]]), np.zeros(2, np.float32), "gelu", 0)
    assert np.isnan(y[0, 0, 0])
    assert np.isinf(y[1, 1, 1])
    assert np.isfinite(y).sum() == y.size - 2
    assert np.isnan(fused.moments(z)[0]).tolist() == [True, False]
    assert np.isnan(fused.moments(z)[1]).all()
    assert np.isnan(fused.settle(z, 2, EPSILON, np.zeros(2, np.float32), "relu", 0)).all()


def test_without_agreement_the_definition_itself_gives_the_same_bits(monkeypatch, caplog):
    network, x = operator(num_layers=3, base_channels=5), keyed_states()
    compiled = network(x)
    monkeypatch.setattr(fused, "_compiled_moments", lambda z: np.zeros((2, z.shape[-1])))
    fused.agrees.cache_clear()
    try:
        assert torch.equal(network(x), compiled)
        assert "differs from numpy's" in caplog.text
    finally:
        monkeypatch.undo()
        fused.agrees.cache_clear()


@pytest.mark.parametrize("normalization", ["none", "instance", "group", "batch"])
@pytest.mark.parametrize(("block", "width"), [("conv", 4), ("residual", 4), ("conv", 1), ("residual", 1)])
@pytest.mark.parametrize("size", [8, 32])
def test_a_gradient_changes_no_bit_and_is_right(normalization, block, width, size):
    network = operator(num_layers=2, base_channels=width, normalization=normalization, block=block)
    x = keyed_states(2, size=size)
    traced = x.clone().requires_grad_(True)
    y = network(traced)
    assert torch.equal(y.detach(), network(x))
    direction, step = keyed_states(3, size=size)[1:], 1e-2
    (y * direction).sum().backward()
    towards = keyed_states(5, size=size)[3:]
    slope = ((network(x + step * towards) - network(x - step * towards)) * direction).double().sum() / (
        2 * step
    )
    assert float((traced.grad * towards).sum()) == pytest.approx(float(slope), rel=2e-2)


@pytest.mark.parametrize("noise_type", ["multiplicative", "dropout"])
@pytest.mark.parametrize(("block", "width"), [("conv", 8), ("residual", 12)])
def test_a_gradient_changes_no_bit_where_noise_acts_inside(noise_type, block, width):
    network = operator(num_layers=3, base_channels=width, block=block)
    model = noise(noise_type=noise_type, noise_scale=0.1, noise_location="hidden")
    x = keyed_states(1, size=40)

    def applied(state):
        hook = NoiseStream(model, Key(1), 0, 0, 40, x.device).inside(2)
        return network.ensemble([state], [hook], [[0]])[0]

    assert torch.equal(applied(x.clone().requires_grad_(True)).detach(), applied(x))
    assert not torch.equal(applied(x), network(x))
