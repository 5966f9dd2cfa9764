"""Genes that switch each other on and off in every pixel, and diffuse."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from spinlock.initial_conditions.catalogue import Draw, Law, initial_condition
from spinlock.initial_conditions.laws import near
from spinlock.numerics.columns import column
from spinlock.numerics.grid import REFERENCE_SIZE, Grid
from spinlock.numerics.networks import erdos_renyi, most_linked, regulation, scale_free, star
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.relaxation import Production, Species, heat_kernel, relax
from spinlock.numerics.spectral import angular, rbf_spectrum, spectral
from spinlock.registry import Integer, Real, When
from spinlock.shapes import Fields, PerSample

Topology = Literal["scale_free", "random", "hub", "toggle", "repressilator"]
WIRED = ("scale_free", "random", "hub")
Matrix = Float[Tensor, "#b g g"]

TIME_STEP = 0.2
SHOWN = 3
GAIN = 8.0
"""β of the sigmoid: a gene on its own is bistable above 4."""

RINGS = {"toggle": (2, 4.0, 3), "repressilator": (3, 8.0, 4)}
"""Genes, rate a and Hill coefficient n of the rings of repressors."""

START_SPREAD = 0.2
"""Standard deviation of the start, as a share of the greatest expression (sigmoid) or of log x (Hill)."""


def sigmoid_production(weights: Matrix) -> Production:
    """Return F(x) = 1/(1 + exp(−β·(Wx − θ))), θ = ½ W·1, so that x and 1 − x are alike."""
    threshold = -0.5 * GAIN * weights.sum(dim=-1, keepdim=True)

    def production(state: Species) -> Species:
        drive = torch.baddbmm(threshold, GAIN * weights, state.flatten(2))
        return drive.sigmoid_().reshape(state.shape)

    return production


def ring_production(rate: float, hill: int) -> Production:
    """Return F_i(x) = a/(1 + x_j^n), gene j the one before i in the ring."""

    def production(state: Species) -> Species:
        before = state.roll(1, dims=1)
        power = before.square() * (before if hill == 3 else before.square())
        return rate / (1.0 + power)

    return production


def expressed(state: Species) -> Species:
    """Return expression in [0, 1]; on small grids sharp walls ring by up to 0.02 beyond."""
    return state.clamp(0.0, 1.0)


def steady_level(rate: float, hill: int) -> float:
    """Return the level x = a/(1 + x^n) at which all genes of a ring rest, unstably, by bisection."""
    low, high = 0.0, rate
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if middle * (1.0 + middle**hill) < rate else (low, middle)
    return low


def wiring(
    keys: SampleKeys, topology: Topology, size: int, probability: PerSample, *, symmetric: bool
) -> tuple[Matrix, Matrix]:
    """Return the links of each sample's network, and its regulation matrix W."""
    uniform = keys.uniform("network", size, size)
    if topology == "scale_free":
        adjacency = scale_free(uniform)
    elif topology == "random":
        adjacency = erdos_renyi(uniform, column(probability, 0).to(uniform.device))
    else:
        adjacency = star(size, uniform.device).expand(len(keys), -1, -1)
    return adjacency, regulation(adjacency, keys.uniform("signs", size, size), symmetric=symmetric)


def bounds_law() -> Law:
    """Return the law: expression is in [0, 1], and most of it near one of the two ends."""

    def check(draw: Draw) -> None:
        fields = draw(8).double()
        assert float(fields.min()) >= 0.0, "an expression is negative"
        assert float(fields.max()) <= 1.0, "an expression is above 1"
        settled = float(((fields - 0.5).abs() > 0.3).double().mean())
        assert settled > 0.6, f"only {settled:.0%} of the genes are on or off"

    return Law("expression is in [0, 1] and on or off in most pixels", check)


def toggle_law() -> Law:
    """Return the law: the two genes of a toggle switch exclude each other."""

    def check(draw: Draw) -> None:
        fields = draw(8, num_channels=3, network_topology="toggle").double().flatten(2)
        for first, second, difference in fields:
            pair = torch.stack([first, second])
            assert float(torch.corrcoef(pair)[0, 1]) < -0.8, "the two genes do not exclude each other"
            share = float((difference > 0).double().mean())
            assert 0.2 <= share <= 0.8, f"one state holds {share:.0%} of the pixels"
        near(
            "x - y against its channel",
            float((fields[:, 0] - fields[:, 1] - fields[:, 2]).abs().max()),
            0,
            1e-6,
        )

    return Law(
        "the genes of a toggle switch correlate below -0.8, each state in 20 to 80 % of the pixels", check
    )


@initial_condition(
    domain="genomics",
    tier=4,
    source="Hopfield 1984; Barabási & Albert 1999; Gardner et al. 2000; Elowitz & Leibler 2000",
    sites=("network", "signs", "start"),
    cost="steps",
    laws=(bounds_law(), toggle_law()),
)
def regulatory_network(
    grid: Grid,
    keys: SampleKeys,
    *,
    network_topology: Topology = "scale_free",
    network_size: Annotated[int, Integer(3, 64, "genes"), When("network_topology", WIRED)] = 12,
    connection_probability: Annotated[
        PerSample, Real(0.05, 1.0), When("network_topology", ("random",))
    ] = 0.3,
    symmetric: Annotated[bool, When("network_topology", WIRED)] = True,
    spatial_decay: Annotated[PerSample, Real(0.01, 0.2, "side", log=True)] = 0.05,
    diffusion: Annotated[PerSample, Real(0.0, 4.0, "px²")] = 1.0,
    steps: Annotated[int, Integer(10, 500)] = 120,
) -> Fields:
    """Expression of genes that regulate each other, x_t = F(x) − x + D ∇²x, after ``steps`` of 0.2.

    ``scale_free`` (preferential attachment, two links a gene), ``random`` (links with
    ``connection_probability``) and ``hub`` (one gene linked to all): F = 1/(1 + exp(−8·(Wx − ½W·1))), W the
    identity plus the links, with random signs and scaled by the degrees. If ``symmetric``, W has no negative
    eigenvalue and an energy, ½⟨x, (1 − D∇²)Wx⟩ − Σ ln(1 + exp(8·(Wx − ½W·1)))/8 in the limit of short steps,
    falls at every step until x rests; else genes may chase each other. Channels: the three genes with most
    links, 0 off and 1 on. ``toggle``: two genes with F_i = 4/(1 + x_j³), channels x/4, y/4 and their
    difference. ``repressilator``: a ring of three with F_i = 8/(1 + x_j⁴), which oscillates, 120° apart,
    channels x/8. Starts are Gaussian fields of length ``spatial_decay`` about the level where all genes are
    alike.

    What to expect: overlapping domains with soft walls; for the repressilator, waves of phase.
    """
    ring = RINGS.get(network_topology)
    size = ring[0] if ring else network_size
    white = keys.normal("start", size, grid.size, grid.size)
    field = spectral(rbf_spectrum(angular(grid) * grid.side(column(spatial_decay))), white) * START_SPREAD
    variance = 2.0 * TIME_STEP * column(diffusion, 0).double() * (grid.size / REFERENCE_SIZE) ** 2
    kernel = heat_kernel(grid, variance.to(grid.device)).float()
    if ring:
        _, rate, hill = ring
        start = steady_level(rate, hill) * torch.exp(field)
        state = expressed(relax(start, ring_production(rate, hill), kernel, TIME_STEP, steps) / rate)
        if network_topology == "toggle":
            return torch.cat([state, state[:, :1] - state[:, 1:]], dim=1)
        return state
    adjacency, weights = wiring(keys, network_topology, size, connection_probability, symmetric=symmetric)
    state = relax(0.5 + field, sigmoid_production(weights), kernel, TIME_STEP, steps)
    shown = most_linked(adjacency, SHOWN)[..., None, None].expand(-1, -1, grid.size, grid.size)
    return expressed(state.gather(1, shown))
