"""Interfaces between two phases: the kink of the φ⁴ free energy along a line roughened by capillary waves."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.interface_laws import flat_equilibrium, phase_shares, tension
from spinlock.numerics.capillary import Heights, capillary_heights
from spinlock.numerics.columns import column
from spinlock.numerics.given import given_or_uniform
from spinlock.numerics.grid import Grid
from spinlock.numerics.planar import along
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Real, When
from spinlock.shapes import Fields, PerSample

TURN = 2.0 * math.pi
DIAGONAL = math.sqrt(2.0)
MODES = 48
"""Of capillary waves: at least as many as the narrowest interface has along the diagonal."""

Plane = Float32[Tensor, "b #n #m"]
Lengths = Float32[Tensor, "b 1 1"]


@dataclass(frozen=True)
class Distance:
    """A signed distance d from an interface, positive in the phase φ > 0, with |∇d|² and ∇²d."""

    value: Plane
    gradient: Plane
    laplacian: Plane

    def where(self, condition: Bool[Tensor, "b #n #m"], other: "Distance") -> "Distance":
        """Return this distance where a condition holds and another one elsewhere."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("value", "gradient", "laplacian"))
        return Distance(*(torch.where(condition, mine, theirs) for mine, theirs in pairs))

    def turned(self, upright: Bool[Tensor, "b 1 1"]) -> "Distance":
        """Return the distance with rows and columns exchanged in the samples where ``upright`` is false."""
        size = (len(self.value), *(max(self.value.shape[1:]),) * 2)
        whole = Distance(*(p.expand(size) for p in (self.value, self.gradient, self.laplacian)))
        return whole.where(upright, Distance(*(p.mT for p in (whole.value, whole.gradient, whole.laplacian))))


def distance_to(
    height: Heights, base: Plane, metric: Plane | float = 1.0, curvature: Plane | float = 0.0
) -> Distance:
    """Return the distance d = (base + h)/√(1 + h'²) from an interface where base + h(t) = 0.

    ``base`` changes by 1 per px across the interface, t runs along it, ``metric`` is px of t per px on the
    spot and ``curvature`` −∇²base, both 1/r-like for a circle. To first order in the distance d is exact,
    whatever the slope h'.
    """
    tilt = (1.0 + height.first.square()).rsqrt()
    bend = height.second.square() + height.first * height.third
    tilt_first = -height.first * height.second * tilt.pow(3)
    tilt_second = 3.0 * (height.first * height.second).square() * tilt.pow(5) - bend * tilt.pow(3)
    rise = base + height.value
    along = metric * (height.first * tilt + rise * tilt_first)
    bending = height.second * tilt + 2.0 * height.first * tilt_first + rise * tilt_second
    laplacian = metric * metric * bending - curvature * tilt
    return Distance(rise * tilt, tilt.square() + along.square(), laplacian)


def plane(
    grid: Grid, keys: SampleKeys, width: Lengths, roughness: Lengths, angle: PerSample | None
) -> tuple[Distance]:
    """Return the distance from one line across the frame, whose normal has the angle given or any."""
    normal = given_or_uniform(keys, "angle", angle, (0.0, TURN))
    shift = keys.uniform("place", 1)[..., None]
    height = capillary_heights(
        keys.normal("waves", 2, 2, MODES)[:, 0],
        along(grid, normal + TURN / 4.0).float(),
        torch.full_like(width, DIAGONAL * grid.size),
        width,
        roughness,
    )
    # three deviations of the height short of where less than a tenth would be left of a phase
    reach = grid.side(0.35) - 3.0 * roughness
    return (distance_to(height, along(grid, normal).float() + reach * (2.0 * shift - 1.0)),)


def lamella(
    grid: Grid, keys: SampleKeys, width: Lengths, roughness: Lengths, _angle: PerSample | None
) -> tuple[Distance, Distance]:
    """Return the distances from the two sides of a stripe along a random axis, 0.35 to 0.65 of the side."""
    upright, place, thickness = keys.uniform("place", 3)[..., None, None].unbind(dim=1)
    thickness = grid.side(0.35 + 0.3 * thickness)
    period = torch.full_like(width, float(grid.size))
    waves = keys.normal("waves", 2, 2, MODES)
    places = grid.axis.expand(len(keys), 1, -1)
    sides = []
    for number, sign in ((0, 1.0), (1, -1.0)):
        side = grid.side(place) - sign * thickness / 2
        height = capillary_heights(waves[:, number], places, period, width, roughness)
        # wrapped half a side from the interface itself, whatever its height there
        rise = grid.offset((side - sign * height.value)[:, 0]).mT
        sides.append(distance_to(height, sign * rise - height.value).turned(upright < 0.5))
    nearer = sides[0].value.abs() < sides[1].value.abs()
    return sides[0].where(nearer, sides[1]), sides[1].where(nearer, sides[0])


def droplet(
    grid: Grid, keys: SampleKeys, width: Lengths, roughness: Lengths, _angle: PerSample | None
) -> tuple[Distance]:
    """Return the distance from a drop of 0.2 to 0.3 of the side, wide enough for its waves, anywhere."""
    numbers = keys.uniform("place", 3)
    centre, size = grid.side(numbers[:, :2]), numbers[:, 2, None, None]
    least = (4.0 * roughness).clamp(min=grid.side(0.2))
    radius = least + (grid.side(0.3) - least) * size
    offset = grid.offset(centre)
    rows, columns = offset[:, 0, :, None], offset[:, 1, None, :]
    distance = torch.hypot(rows, columns)
    arc = radius * torch.atan2(rows, columns)
    height = capillary_heights(
        keys.normal("waves", 2, 2, MODES)[:, 0], arc, TURN * radius, width, roughness, first=2
    )
    metric = radius / distance.maximum(radius / 4.0)
    return (distance_to(height, radius - distance, metric, metric / radius),)


def kinks(distances: tuple[Distance, ...], width: Lengths) -> Fields:
    """Return φ, its energy density and chemical potential, from the distances of interfaces, nearest first.

    φ = ±(Σ_j tanh(|d_j|/√2ξ) − (J − 1)), which is the single kink but for tails of order exp(−√2|d_j|/ξ), and
    at equilibrium between two flat ones to second order in those. Interfaces on either side of a place have
    opposite normals, so that their slopes subtract.
    """
    side = torch.where(distances[0].value < 0, -1.0, 1.0)
    phi, slope, bend, curved = (torch.zeros_like(side) for _ in range(4))
    for number, distance in enumerate(distances):
        kink = torch.tanh(distance.value.abs() / (DIAGONAL * width))
        slack = 1.0 - kink.square()
        phi = phi + kink - min(number, 1)
        slope = slope + (1 - 2 * number) * slack * distance.gradient.sqrt()
        bend = bend + kink * slack * distance.gradient
        curved = curved + slack * distance.laplacian
    phi = phi * side
    energy = ((1.0 - phi.square()).square() + slope.square()) / 4.0
    potential = phi.pow(3) - phi + side * bend - width / DIAGONAL * curved
    return torch.stack((phi, energy, potential), dim=1)


GEOMETRIES = {"single": plane, "lamella": lamella, "droplet": droplet}


@initial_condition(
    domain="thermodynamics",
    tier=2,
    source="Cahn & Hilliard 1958; Allen & Cahn 1979; Buff, Lovett & Stillinger 1965",
    sites=("angle", "place", "waves"),
    periodic=False,
    cost="closed",
    laws=(
        flat_equilibrium(5.0),
        tension(),
        phase_shares(),
        phase_shares(geometry="lamella"),
        phase_shares(geometry="droplet"),
    ),
)
def phase_boundary(
    grid: Grid,
    keys: SampleKeys,
    *,
    interface_width: Annotated[PerSample, Real(1.5, 8.0, "px", log=True)] = 3.0,
    interface_angle: Annotated[
        PerSample | None, Real(0.0, TURN, "rad"), When("geometry", ("single",))
    ] = None,
    fluctuation_amplitude: Annotated[PerSample, Real(0.0, 8.0, "px")] = 2.0,
    geometry: Literal["single", "lamella", "droplet"] = "single",
) -> Fields:
    """Two phases φ = ±1 and the interface between them, the minimum of (φ² − 1)²/4 + ξ²|∇φ|²/2.

    φ = tanh(d/√2ξ) with ξ = ``interface_width`` px and d the distance from a line; its energy per length is
    (2√2/3)ξ. The line is rough, not the values: its height h above a straight one has capillary waves,
    ⟨|h_q|²⟩ ~ 1/q² up to q = 1/ξ, and ``fluctuation_amplitude`` px rms. ``geometry`` is one line across the
    frame (open; its normal has ``interface_angle``, null: any direction for each triple of channels), a
    stripe that closes on the torus along rows or columns (``lamella``) or a ``droplet``. Channels are φ, the
    energy density and the chemical potential φ³ − φ − ξ²∇²φ, which is 0 where a line is straight and
    ξ/(√2·R) on one that bends around φ > 0 with radius R.

    What to expect: two flat areas and a soft wavy border. Good values: 2 to 5 px wide, 0 to 4 px rough.
    """
    width, roughness = (grid.pixels(column(value, 2)) for value in (interface_width, fluctuation_amplitude))
    return kinks(GEOMETRIES[geometry](grid, keys, width, roughness, interface_angle), width)
