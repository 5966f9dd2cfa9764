"""A stack of different networks: each row as by its own network alone, and no row notices its neighbours."""

import os
import subprocess
import sys

import pytest
import torch

from spinlock.errors import UsageError
from spinlock.operators.activations import ACTIVATIONS
from spinlock.operators.stacked import InTurn, StackedCnn, kernels_run_on, stack_operators
from test_operators.network_samples import keyed_states, operator
from test_operators.stack_samples import DEVICE, KINDS, applied, needs_triton

TOLERANCE = 1e-5
"""Of the largest value: float32 sums of a few hundred products in another order."""

NORMALIZATIONS = ("none", "instance", "layer", "group", "batch")
MIXED = [
    {"num_layers": 1, "base_channels": 4, "kernel_size": 1, "normalization": "none", "activation": "relu"},
    {"num_layers": 3, "base_channels": 9, "normalization": "instance", "activation": "sin"},
    {"base_channels": 8, "channel_schedule": "doubling", "normalization": "group", "block": "residual"},
    {"base_channels": 5, "kernel_size": 5, "normalization": "layer", "output_activation": "tanh"},
    {"base_channels": 3, "normalization": "batch", "block": "residual", "activation": "silu"},
    {"num_layers": 1, "base_channels": 20, "normalization": "batch", "activation": "elu"},
]


def mixed_networks():
    return [operator(sample=k, bias_scale=0.5, **options) for k, options in enumerate(MIXED)]


def alone(network, states):
    with torch.inference_mode():
        return network(states)


def close(a, b, tolerance=TOLERANCE):
    return float((a - b).abs().max()) <= tolerance * (1 + float(b.abs().max()))


# --- every network computes what it computes alone ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_every_activation_and_block_in_one_stack(kind, normalization):
    options = [
        {"activation": activation, "block": block, "normalization": normalization, "base_channels": 6}
        for activation in ACTIVATIONS
        for block in ("conv", "residual")
    ]
    networks = [operator(sample=k, bias_scale=0.5, **o) for k, o in enumerate(options)]
    states = keyed_states(len(networks), size=9)
    outputs = applied(kind, networks, states, range(len(networks)))
    for y, x, network in zip(outputs.split(1), states.split(1), networks, strict=True):
        assert close(y, alone(network, x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("channels", "size", "options"),
    [
        (3, 9, [{"kernel_size": k, "num_layers": 1} for k in (1, 3, 5, 7, 9)]),
        (1, 8, [{"base_channels": width, "num_layers": 1} for width in (1, 16, 17, 33, 70)]),
        (20, 8, [{"base_channels": 20, "block": "residual"}, {"base_channels": 4}]),
        (2, 17, [{"output_activation": o, "gain": 3.0, "num_layers": 1} for o in ("linear", "tanh")]),
    ],
)
def test_kernels_widths_channels_grids_and_read_outs(kind, channels, size, options):
    networks = [operator(sample=k, channels=channels, **o) for k, o in enumerate(options)]
    states = keyed_states(len(networks), channels=channels, size=size)
    outputs = applied(kind, networks, states, range(len(networks)))
    for y, x, network in zip(outputs.split(1), states.split(1), networks, strict=True):
        assert close(y, alone(network, x))


@needs_triton
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations_near_zero_and_far_from_it(activation):
    """A 1×1 network that passes its state on shows the activation itself."""
    network = operator(
        channels=1, num_layers=1, base_channels=1, kernel_size=1, normalization="none", activation=activation
    )
    block = network.blocks[0]
    for tensor, value in ((block.weight, 1), (block.bias, 0), (network.weight, 1), (network.bias, 0)):
        tensor.fill_(value)
    values = torch.cat([torch.logspace(-8, 1.5, 32), -torch.logspace(-8, 1.5, 32)])
    outputs = applied(StackedCnn, [network], values.reshape(1, 1, 8, 8), [0])
    assert torch.allclose(outputs.flatten(), ACTIVATIONS[activation](values), rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_near_and_states_stay_float32(kind, precision):
    if kind is StackedCnn and DEVICE.type == "cpu" and precision == "bfloat16":
        pytest.skip("Triton's interpreter multiplies the bit patterns of bfloat16, not its values")
    states = keyed_states(2, size=9)
    exact = [operator(sample=k, base_channels=4) for k in range(2)]
    rough = [operator(sample=k, base_channels=4, precision=precision) for k in range(2)]
    outputs = applied(kind, rough, states, [0, 1])
    assert outputs.dtype == torch.float32
    for y, x, network in zip(outputs.split(1), states.split(1), exact, strict=True):
        assert close(y, alone(network, x), 0.05)
        assert not torch.equal(y, alone(network, x))


# --- no row notices its neighbours ---


@pytest.mark.parametrize("kind", KINDS)
def test_bits_depend_neither_on_place_nor_on_neighbours_nor_on_their_number(kind):
    networks, states = mixed_networks(), keyed_states(12, size=9)
    owners = [0, 1, 2, 3, 4, 5] * 2
    together = applied(kind, networks, states, owners)
    for owner, network in enumerate(networks):
        rows = [owner, owner + 6]
        assert torch.equal(applied(kind, [network], states[rows], [0, 0]), together[rows])
        if not network.lockstep:
            assert torch.equal(applied(kind, [network], states[rows[1:]], [0]), together[rows[1:]])
    order = [7, 3, 10, 0, 5, 11, 2, 9, 4, 1, 6, 8]
    place = {row: k for k, row in enumerate(order)}
    peers = {place[row]: [place[row % 6], place[row % 6 + 6]] for row in range(12) if row % 6 > 3}
    shuffled = applied(kind, networks, states[order], [owners[row] for row in order], peers)
    assert torch.equal(shuffled, together[order])


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_is_told_from_another(kind):
    networks, states = mixed_networks()[:2], keyed_states(2, size=9)
    right, wrong = (applied(kind, networks, states, owners) for owners in ([0, 1], [1, 0]))
    assert not close(right, wrong, 1e-2)


@needs_triton
def test_how_many_rows_share_a_pass_changes_no_bit():
    networks, states = mixed_networks(), keyed_states(6, size=9)
    whole = applied(StackedCnn, networks, states, range(6))
    assert torch.equal(applied(StackedCnn, networks, states, range(6), pass_bytes=1), whole)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of the interpreter's numpy
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e30])
def test_a_row_that_explodes_stays_alone_and_is_not_hidden(kind, poison):
    networks = [operator(sample=k, normalization="none", activation="relu") for k in range(3)]
    states = keyed_states(3, size=9)
    clean = applied(kind, networks, states, [0, 1, 2])
    states[1, 0, 4, 4] = poison
    outputs = applied(kind, networks, states, [0, 1, 2])
    assert torch.equal(outputs[[0, 2]], clean[[0, 2]])
    assert not (outputs[1].abs() < 1e8).all()


# --- ensembles in lockstep, and noise inside ---


@pytest.mark.parametrize("kind", KINDS)
def test_peers_share_statistics_as_in_an_ensemble(kind):
    networks = [operator(sample=k, normalization="batch", base_channels=5) for k in range(2)]
    states = keyed_states(6, size=9)
    owners, peers = [0, 1, 0, 1, 0, 1], {0: [0, 2], 2: [0, 2], 4: [4, 2], 1: [1, 3, 5], 3: [3], 5: [1, 3, 5]}
    outputs = applied(kind, networks, states, owners, peers)
    with torch.inference_mode():
        for owner in (0, 1):
            rows = [row for row in range(6) if owners[row] == owner]
            places = [[rows.index(other) for other in peers[row]] for row in rows]
            expected = networks[owner].ensemble(list(states[rows].split(1)), [unchanged] * 3, places)
            assert close(outputs[rows], torch.cat(expected))
    other = applied(kind, networks, states, owners, peers | {3: [1, 3, 5]})
    assert torch.equal(other[[0, 2, 4]], outputs[[0, 2, 4]])
    assert not close(other[3], outputs[3], 1e-3)


def unchanged(_, x):
    return x


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_act_after_every_block_of_their_row(kind):
    networks = [operator(sample=k, num_layers=2 + k, base_channels=4) for k in range(2)]
    states, seen = keyed_states(3, size=9), []

    def hook(layer, x):
        seen.append((layer, tuple(x.shape)))
        return x * (1.5 + layer)

    plain = applied(kind, networks, states, [0, 1, 1])
    outputs = applied(kind, networks, states, [0, 1, 1], hooks={1: hook})
    assert seen == [(layer, (1, 4, 9, 9)) for layer in range(3)]
    with torch.inference_mode():
        (expected,) = networks[1].ensemble([states[1:2]], [hook], [[0]])
    assert close(outputs[1:2], expected)
    assert torch.equal(outputs[[0, 2]], plain[[0, 2]])


# --- limits and choice ---


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_and_wrong_numbers_of_owners(kind):
    network = operator()
    assert applied(kind, [network], keyed_states(1)[:0], []).shape == (0, 3, 16, 16)
    with pytest.raises(UsageError, match="2 states have 1 owners: each state needs one"):
        applied(kind, [network], keyed_states(2), [0])


def test_networks_that_differ_in_format_are_refused():
    for others in ([operator(precision="bfloat16")], [operator(channels=2)], []):
        with pytest.raises(UsageError, match="one precision and one number of state channels"):
            StackedCnn([operator(), *others] if others else [], DEVICE)


def test_kernels_are_taken_on_a_gpu_with_triton_only():
    assert not kernels_run_on(torch.device("cpu"))
    assert isinstance(stack_operators([operator()], torch.device("cpu")), InTurn)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@needs_triton
def test_a_gpu_takes_the_kernels_and_its_products_can_be_rounded():
    network, states = operator(base_channels=32), keyed_states(2, size=64).to(DEVICE)
    assert isinstance(stack_operators([network], DEVICE), StackedCnn)
    exact, three, one = (
        StackedCnn([network], DEVICE, products=products).apply(states, [0, 0])
        for products in ("ieee", "tf32x3", "tf32")
    )
    assert close(three, exact)
    assert close(one, exact, 1e-2)
    assert not close(one, exact)


HOPPER = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from spinlock.operators.stack import disturbance, kernels

def compiled(kernel, values, **constants):
    types = {name: "constexpr" if name in constants else values[name] for name in kernel.arg_names}
    aligned = {(k,): [["tt.divisibility", 16]] for k, t in enumerate(types.values()) if t[0] == "*"}
    code = compile(ASTSource(kernel, types, constants, aligned), target=GPUTarget("cuda", 90, 32))
    return code.asm["ptx"]

def arrays(hidden, state, *names, out=None):
    kinds = {"source": state, "weights": hidden, "target": out or hidden, "shortcut": hidden, "table": "*i64"}
    kinds |= {"peers": "*i64", "numbers": "*i64", "key0": "i64", "key1": "i64"}
    kinds |= dict.fromkeys(("out_tiles", "pooled", "step", "layer"), "i32")
    return {name: kinds.get(name, "*fp32") for name in names}

for hidden in ("*fp32", "*bf16"):
    for first, read_out, channels, depth in (1, 0, 32, 16), (0, 0, 64, 32), (0, 1, 16, 16):
        names = "source weights biases target partials table out_tiles".split()
        values = arrays(hidden, "*fp32" if first else hidden, *names, out="*fp32" if read_out else None)
        for products in ("ieee", "tf32x3") if hidden == "*fp32" else ("ieee",):
            code = compiled(
                kernels.convolve, values, SIZE=64, PIXELS=64, CHANNELS=channels, DEPTH=depth,
                FIRST=bool(first), MOMENTS=not read_out, READ_OUT=bool(read_out), PRECISION=products,
            )
            assert ("mma" in code) == (products != "ieee" or hidden != "*fp32")
    names = "source shortcut biases statistics target table pooled".split()
    for first in (True, False):
        values = arrays(hidden, "*fp32" if first else hidden, *names)
        compiled(kernels.finish, values, SIZE=64, ELEMENTS=1024, FIRST=first)
    values = arrays(hidden, hidden, *"target table numbers levels key0 key1 step layer".split())
    compiled(disturbance.disturb, values, SIZE=64, ELEMENTS=1024)
compiled(kernels.gather_moments, arrays("", "", "partials", "statistics", "table"), SIZE=64, PIXELS=64)
compiled(kernels.pool_moments, arrays("", "", "statistics", "peers", "table", "pooled"))
"""


@pytest.mark.slow
@needs_triton
def test_every_kernel_compiles_for_hopper():
    """Without a GPU too; tensor cores are used exactly where operands are rounded."""
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, "-c", HOPPER], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
