"""Contact map of a folded chromosome: decay with distance, domains, compartments and loops."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import Draw, Law, initial_condition
from spinlock.initial_conditions.laws import near
from spinlock.numerics.columns import column
from spinlock.numerics.grid import REFERENCE_SIZE, Grid
from spinlock.numerics.poisson import poisson_quantile
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Integer, Real, When
from spinlock.shapes import Fields, PerSample

MOST_DOMAINS = 32
CANDIDATES = 16
LEAST_SHARE = 0.25
"""Share of the loci that each compartment holds at least."""

LOOP_WIDTH = 1.5
"""Standard deviation of the spot where the two ends of a domain meet, in px."""

TYPICAL_TAD = 0.916
"""ln 2.5: loci of one domain meet 2.5 times as often."""

LOG_SPAN = math.log(1.0 + REFERENCE_SIZE)

Loci = Int64[Tensor, "b n"]
Maps = Float64[Tensor, "b n n"]


def possible_domains(sizes: tuple[float, float]) -> tuple[int, int]:
    """Return the least and the greatest number of domains of such sizes that fill 128 px exactly."""
    return math.ceil(REFERENCE_SIZE / sizes[1]), math.floor(REFERENCE_SIZE / sizes[0])


def check_domains(values: Mapping[str, Any], grid_size: int | None) -> None:
    """Refuse sizes that cannot fill the map, those that leave one compartment nearly empty, and no locus."""
    low, high = values["domain_size_range"]
    least, most = possible_domains((low, high))
    number = values["num_domains"]
    if number is None and least > most:
        raise OptionError(
            f"domain_size_range [{low:g}, {high:g}]: no number of such domains fills {REFERENCE_SIZE} px; "
            "widen it"
        )
    narrowest = low if number is None else REFERENCE_SIZE * low / (low + (number - 1) * high)
    if grid_size is not None and narrowest * grid_size < REFERENCE_SIZE:
        raise OptionError(
            f"a domain of {narrowest:.3g} px of a {REFERENCE_SIZE} grid holds no locus of a {grid_size} "
            f"grid: take fewer domains, or sizes from {math.ceil(REFERENCE_SIZE / grid_size)} px on"
        )
    if number is not None and high > (number - 1) * low:
        raise OptionError(
            f"num_domains {number} with domain_size_range [{low:g}, {high:g}]: one domain may hold more than "
            f"half of the loci; narrow the range or take {math.ceil(high / low) + 1} domains or more"
        )


def domain_ends(
    numbers: Float64[Tensor, "b m"], counts: Int64[Tensor, "b"], sizes: tuple[float, float], *, rescaled: bool
) -> Float64[Tensor, "b k"]:
    """Return where each domain ends, px of a 128 grid; domains beyond the count are empty.

    Sizes are uniform in their range and then moved to fill 128 px: all by one factor if ``rescaled``, and
    else towards the nearer end of the range, so that none leaves it.
    """
    low, high = sizes
    share, total = numbers[:, 1:], counts[:, None].double()
    present = torch.arange(share.shape[1], device=share.device) < counts[:, None]
    if rescaled:
        size = torch.where(present, low + (high - low) * share, 0.0)
        size = size * REFERENCE_SIZE / size.sum(dim=1, keepdim=True)
    else:
        wanted = (REFERENCE_SIZE / total - low) / max(high - low, 1e-12)
        mean = (share * present).sum(dim=1, keepdim=True) / total
        lowered, raised = share * wanted / mean, 1.0 - (1.0 - share) * (1.0 - wanted) / (1.0 - mean)
        size = torch.where(present, low + (high - low) * torch.where(mean > wanted, lowered, raised), 0.0)
    return size.cumsum(dim=1)


def compartments(
    lengths: Int64[Tensor, "b k"], fair: Float32[Tensor, "b c k"], loci: int
) -> Int64[Tensor, "b k"]:
    """Return +1 or −1 for each domain, at random, so that either sign holds 25 to 75 % of the loci.

    The first of several tosses that does is taken; if none does, the first domains are + up to 25 %.
    """
    tosses = torch.where(fair < 0.5, 1, -1)
    before = lengths.cumsum(dim=1) - lengths
    greedy = torch.where(before < LEAST_SHARE * loci, 1, -1)
    tosses = torch.cat([tosses, greedy[:, None]], dim=1)
    share = (lengths[:, None] * (tosses > 0)).sum(dim=-1) / loci
    balanced = (share >= LEAST_SHARE) & (share <= 1.0 - LEAST_SHARE)
    balanced[:, -1] = True
    first = balanced.double().argmax(dim=1)
    return tosses[torch.arange(len(first), device=first.device), first]


def expected(contacts: Maps) -> Maps:
    """Return the mean contact of all pairs of loci as far apart, for each pair."""
    size = contacts.shape[-1]
    loci = torch.arange(size, device=contacts.device)
    apart = (loci[:, None] - loci).abs()
    total = torch.zeros(len(contacts), size, dtype=torch.float64, device=contacts.device)
    total.index_add_(1, apart.flatten(), contacts.flatten(1))
    return (total / torch.bincount(apart.flatten(), minlength=size))[:, apart]


def decay_law(exponent: float = 1.0, tolerance: float = 0.02) -> Law:
    """Return the law: without domains and compartments, contacts fall as (1 + s)^−γ with the distance s."""

    def check(draw: Draw) -> None:
        fields = draw(4, num_channels=1, decay_exponent=exponent, tad_strength=0.0, ab_strength=0.0)[:, 0]
        near("asymmetry", float((fields - fields.transpose(1, 2)).abs().max()), 0.0, 1e-6)
        loci = torch.arange(fields.shape[-1], dtype=torch.float64)
        log_s = torch.log1p((loci[:, None] - loci).abs() * REFERENCE_SIZE / len(loci)).flatten()
        log_c = fields.double().mean(dim=0).flatten() * LOG_SPAN
        centred = log_s - log_s.mean()
        slope = float((centred * log_c).sum() / centred.square().sum())
        near("slope of log contacts", slope, -exponent, tolerance)

    return Law(f"contacts fall with the distance s as (1 + s)^-{exponent:g} within {tolerance:g}", check)


def compartment_law(share: float = 0.95) -> Law:
    """Return the law: the leading eigenvector of log observed/expected tells the compartments apart."""

    def check(draw: Draw) -> None:
        fields = draw(32, boundary_sharpness=0.0).double()
        planted = fields[:, 2, 0].sign()
        assert bool((planted != 0).all()), "a locus is in no compartment"
        leading = torch.linalg.eigh(fields[:, 1] + fields[:, 1].transpose(1, 2)).eigenvectors
        values = torch.linalg.eigvalsh(fields[:, 1] + fields[:, 1].transpose(1, 2))
        number = values.abs().argmax(dim=1)
        vector = leading[torch.arange(len(number)), :, number]
        agreement = ((vector.sign() * planted).mean(dim=1).abs() + 1.0) / 2.0
        held = float((planted > 0).double().mean(dim=1).sub(0.5).abs().max())
        assert held <= 0.25 + 1e-9, f"a compartment holds {0.5 + held:.0%} of the loci"
        assert float(agreement.mean()) >= share, (
            f"only {float(agreement.mean()):.1%} of the loci are told apart"
        )

    return Law(f"the leading eigenvector of the corrected map gives {share:.0%} of the compartments", check)


@initial_condition(
    domain="genomics",
    tier=3,
    source="Lieberman-Aiden et al. 2009; Dixon et al. 2012; Nora et al. 2012; Rao et al. 2014",
    sites=("domains", "compartments", "contacts"),
    periodic=False,
    cost="closed",
    laws=(decay_law(), decay_law(0.75), compartment_law()),
    check=check_domains,
)
def chromatin_domain(
    grid: Grid,
    keys: SampleKeys,
    *,
    compartment_type: Literal["both", "TAD", "AB"] = "both",
    domain_size_range: Annotated[tuple[float, float], Real(4.0, 48.0, "px")] = (10.0, 30.0),
    num_domains: Annotated[PerSample | None, Integer(3, MOST_DOMAINS)] = None,
    decay_exponent: Annotated[PerSample, Real(0.75, 1.5)] = 1.0,
    tad_strength: Annotated[
        PerSample, Real(0.0, 3.0), When("compartment_type", ("both", "TAD"))
    ] = TYPICAL_TAD,
    ab_strength: Annotated[PerSample, Real(0.0, 1.5), When("compartment_type", ("both", "AB"))] = 0.5,
    boundary_sharpness: Annotated[PerSample, Real(0.0, 4.0, "px")] = 1.0,
    depth: Annotated[PerSample | None, Real(1.0, 1e6, "counts", log=True)] = None,
) -> Fields:
    """Hi-C contact map: how often the loci i and j of a chromosome meet, as logarithms.

    log C_ij = −γ·ln(1 + |i − j|) + t·[same domain] + t·(loop at the corner of a domain) + a·e_i·e_j, |i − j|
    in px of a 128 grid, γ ``decay_exponent``, t ``tad_strength``, a ``ab_strength``. Domains tile all loci
    with sizes uniform in ``domain_size_range``, or ``num_domains`` of such sizes rescaled to fit. A domain is
    in compartment e = +1 or −1 at random, each with 25 to 75 % of the loci. ``compartment_type`` TAD leaves
    out the compartments, AB the domains. With ``depth`` d the contacts are Poisson counts of mean d·C, over
    d.

    Channels: log C/ln 129; log observed over expected, the mean at the same distance; the planted pattern,
    e_i·e_j (TAD: 2·[same domain] − 1) smoothed over ``boundary_sharpness`` px. All are symmetric.

    What to expect: bright squares along a diagonal on a chequered plaid.
    """
    loci = grid.size
    ends, domain = _domains(grid, keys, domain_size_range, num_domains)
    begins = torch.cat([torch.zeros_like(ends[:, :1]), ends[:, :-1]], dim=1)
    fair = keys.uniform("compartments", CANDIDATES, MOST_DOMAINS)
    sign = compartments(ends - begins, fair, loci).gather(1, domain).double()
    member = torch.nn.functional.one_hot(domain, MOST_DOMAINS).double()
    apart = (grid.axis[:, None] - grid.axis).abs().double()
    log_contacts = -column(decay_exponent, 2).double() * torch.log1p(apart * (REFERENCE_SIZE / loci))
    if compartment_type != "AB":
        together = member @ member.transpose(1, 2) + _loops(grid, begins, ends)
        log_contacts = log_contacts + column(tad_strength, 2).double() * together
    if compartment_type != "TAD":
        log_contacts = log_contacts + column(ab_strength, 2).double() * sign[:, :, None] * sign[:, None, :]
    contacts = torch.exp(log_contacts).expand(len(keys), -1, -1)
    if depth is not None:
        contacts = _counted(contacts, keys, column(depth, 2).double())
    smoothing = _smoothing(grid, boundary_sharpness)
    planted = _same_domain(smoothing @ member) if compartment_type == "TAD" else _same_sign(smoothing, sign)
    channels = torch.log(contacts) / LOG_SPAN, torch.log(contacts / expected(contacts)), planted
    return torch.stack(channels, dim=1).float()


def _same_domain(blurred: Tensor) -> Tensor:
    return 2.0 * blurred @ blurred.transpose(1, 2) - 1.0


def _same_sign(smoothing: Tensor, sign: Tensor) -> Tensor:
    blurred = (smoothing @ sign[:, :, None])[..., 0]
    return blurred[:, :, None] * blurred[:, None, :]


def _domains(
    grid: Grid, keys: SampleKeys, sizes: tuple[float, float], num_domains: PerSample | None
) -> tuple[Int64[Tensor, "b k"], Loci]:
    """Return the first locus after each domain, and the domain of each locus."""
    numbers = keys.uniform("domains", MOST_DOMAINS + 1).double()
    if num_domains is None:
        least, most = possible_domains(sizes)
        typical = 2.0 * REFERENCE_SIZE / sum(sizes)
        counts = (typical + numbers[:, 0]).floor().long().clamp(least, most)
    else:
        counts = torch.as_tensor(num_domains, device=grid.device).expand(len(keys))
    ends = domain_ends(numbers, counts, sizes, rescaled=num_domains is not None)
    # whole numbers of loci; the small addition keeps sizes that are whole already from being cut by rounding
    first_after = (ends * (grid.size / REFERENCE_SIZE) + 1e-6).floor().long().clamp(max=grid.size)
    loci = torch.arange(grid.size, device=grid.device)
    return first_after, (first_after[:, None, :] <= loci[:, None]).sum(dim=-1)


def _loops(grid: Grid, begins: Int64[Tensor, "b k"], ends: Int64[Tensor, "b k"]) -> Maps:
    """Return a spot of height 1 where the first and the last locus of each domain meet, on both sides."""
    width = grid.pixels(LOOP_WIDTH)
    present = (ends > begins).double()[..., None]
    first, last = (
        torch.exp(-0.5 * ((grid.axis.double() - place[..., None]) / width).square())
        for place in (begins, ends - 1)
    )
    corner = (first * present).transpose(1, 2) @ last
    return corner + corner.transpose(1, 2)


def _counted(contacts: Maps, keys: SampleKeys, depth: Float64[Tensor, "#b 1 1"]) -> Maps:
    """Return symmetric Poisson counts over the depth; half a count stands in for none."""
    uniform = keys.uniform("contacts", *contacts.shape[1:])
    upper = uniform.triu()
    counts = poisson_quantile(upper + upper.transpose(1, 2).tril(-1), contacts * depth)
    return counts.clamp(min=0.5) / depth


def _smoothing(grid: Grid, width_px: PerSample) -> Float64[Tensor, "#b n n"]:
    """Return the matrix of a Gaussian average over neighbouring loci; rows sum to 1."""
    width = grid.pixels(column(width_px, 2)).double().clamp(min=1e-3)
    kernel = torch.exp(-0.5 * ((grid.axis[:, None] - grid.axis).double() / width).square())
    return kernel / kernel.sum(dim=-1, keepdim=True)
