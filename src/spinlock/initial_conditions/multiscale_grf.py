"""A sum of independent Gaussian fields of several lengths, or of exact bands of wave numbers."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import initial_condition
from spinlock.initial_conditions.laws import band, normality, spectrum, variance
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import angular, normalized, rbf_spectrum, spectral
from spinlock.registry import Real, When
from spinlock.shapes import Fields, PerSample

SCALES = (0.02, 0.05, 0.1, 0.2, 0.4)


def component_spectra(
    grid: Grid, scales: tuple[float, ...], bands: tuple[tuple[float, float], ...] | None
) -> Tensor:
    """Return each component's spectrum, mean 1 over all bins and 0 at k = 0, [components, N, N // 2 + 1]."""
    if bands is None:
        kl = angular(grid) * grid.side(column(torch.tensor(scales, device=grid.device), axes=2))
        return normalized(rbf_spectrum(kl), grid)
    shares = [((grid.cycles >= low) & (grid.cycles < high)).float() for low, high in bands]
    return normalized(torch.stack(shares), grid)


def mean_spectrum(
    grid: Grid,
    scales: tuple[float, ...] = SCALES,
    weights: tuple[float, ...] | None = None,
    bands: tuple[tuple[float, float], ...] | None = None,
) -> Tensor:
    """Return the weighted mean of the components' spectra, [N, N // 2 + 1]."""
    spectra = component_spectra(grid, scales, bands)
    shares = torch.tensor(weights or (1.0,) * len(spectra), dtype=torch.float32, device=grid.device)
    return (spectra * column(shares / shares.sum(), axes=2)).sum(dim=0)


def check_components(values: Mapping[str, Any], grid_size: int | None) -> None:
    """Refuse weights that do not fit the components, and bands that hold no wave number of the grid."""
    parts = "scales" if values["bands"] is None else "bands"
    weights = values["weights"]
    if weights is not None and (len(weights) != len(values[parts]) or not sum(weights) > 0):
        raise OptionError(
            f"weights = {list(weights)}: {parts} need {len(values[parts])} weights, not all of them 0"
        )
    for low, high in values["bands"] or () if grid_size is not None else ():
        cycles = Grid(grid_size).cycles if grid_size is not None else torch.zeros(0)
        if not bool(((cycles >= low) & (cycles < high) & (cycles > 0)).any()):
            raise OptionError(
                f"bands: [{low:g}, {high:g}) holds no wave number of a {grid_size} grid, which ends at "
                f"{float(cycles.max()):.1f} cycles per side: use a larger grid_size or lower bands"
            )


@initial_condition(
    domain="general",
    tier="baseline",
    source="Rasmussen & Williams 2006",
    sites=("white",),
    native=1,
    cost="fft",
    laws=(
        variance(value=2.0, scales=(0.02, 0.05, 0.1)),
        spectrum(mean_spectrum),
        band(6, 14, bands=((6, 14),)),
        normality(scales=(0.02, 0.04)),
    ),
    check=check_components,
)
def multiscale_grf(
    grid: Grid,
    keys: SampleKeys,
    *,
    scales: Annotated[tuple[float, ...], Real(0.005, 0.4, "side", log=True), When("bands", (None,))] = SCALES,
    variance: Annotated[PerSample, Real(1e-3, 10.0, log=True)] = 1.0,
    weights: Annotated[tuple[float, ...] | None, Real(0.0, 1e6)] = None,
    bands: Annotated[tuple[tuple[float, float], ...] | None, Real(0.0, 8192.0, "cycles per side")] = None,
) -> Fields:
    """Sum of independent Gaussian random fields of several lengths.

    It is one field whose spectrum is the weighted mean of the components' normalised spectra:
    S = Σ_j w_j S_j with Σ w_j = 1 and S_j of variance 1 without k = 0, either exp(−k²l_j²/2) for the lengths
    ``scales`` or flat for lo ≤ n < hi cycles per side for each of ``bands``, and zero outside.

    What to expect: detail at every length. The spectra of ``scales`` are low-pass, so their bands overlap;
    for isolated bands use ``bands``, as the aliases ``multiscale_grf_low``, ``_mid`` and ``_high`` do with
    [1, 4), [6, 14) and [20, 48). ``weights`` are equal by default.
    """
    white = keys.normal("white", 1, grid.size, grid.size)
    return spectral(mean_spectrum(grid, scales, weights, bands), white) * column(variance).sqrt()
