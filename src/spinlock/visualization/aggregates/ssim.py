"""The structural similarity of the realizations, in pairs."""

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from spinlock.visualization.aggregates.catalogue import aggregate
from spinlock.visualization.aggregates.frame import EnsembleFrame

LUMINANCE, CONTRAST = 0.01**2, 0.03**2
"""K₁² and K₂² of Wang et al.; they stand for C₁ and C₂ where the data range is 1."""

SIGMA, RADIUS = 1.5, 5
"""The window in pixels: cut off at 3.5 σ, that is 11 taps, as scikit-image does."""


@aggregate(kind="heatmap", colormap="viridis")
def ssim(frame: EnsembleFrame) -> Float32[Tensor, "1 h w"]:
    """Structural similarity at each pixel, mean over the pairs of realizations and the channels.

    SSIM = (2μ_iμ_j + C₁)(2σ_ij + C₂)/((μ_i² + μ_j² + C₁)(σ_i² + σ_j² + C₂)), C₁ = (0.01 L)², C₂ = (0.03 L)²,
    L the channel's range over the clip; moments under a Gaussian window of σ = 1.5 px and 11 taps that wraps
    around, the grid being a torus. 1 where realizations are equal, for a single one, and in a channel that is
    constant over the clip; about 0 where they have nothing in common. On images
    padded by wrapping it agrees with
    ``skimage.metrics.structural_similarity(gaussian_weights=True, use_sample_covariance=False)``.
    Wang, Bovik, Sheikh & Simoncelli, IEEE Trans. Image Process. 13 (2004) 600.
    """
    fields, span = frame.fields, (frame.high - frame.low)[:, None, None]
    span = torch.where(span > 0, span, torch.inf)
    centre = (frame.high + frame.low)[:, None, None] / 2
    # Variances are those of values about 0, where little cancels; a channel of range 0 becomes one of zeros.
    unit = (fields - centre).div_(span)
    rows, columns = (circular_window(size, unit) for size in fields.shape[-2:])
    local = rows @ unit @ columns
    spread = (rows @ unit.square() @ columns).sub_(local.square()).clamp_(min=0.0)
    energy = (local + centre / span).square_()
    members = len(fields)
    total = torch.zeros_like(fields[0], dtype=torch.float64)
    for i in range(members - 1):
        apart = (local[i] - local[i + 1 :]).square_()
        differing = (rows @ (unit[i] - unit[i + 1 :]).square_() @ columns).sub_(apart).clamp_(min=0.0)
        luminance = apart.div_((energy[i] + energy[i + 1 :]).add_(LUMINANCE)).neg_().add_(1.0)
        structure = differing.div_((spread[i] + spread[i + 1 :]).add_(CONTRAST)).neg_().add_(1.0)
        total += luminance.mul_(structure).sum(dim=0, dtype=torch.float64)
    pairs = members * (members - 1) // 2
    similarity = total / pairs if pairs else total + 1.0
    return similarity.mean(dim=0, keepdim=True).to(torch.float32)


def circular_window(size: int, like: Float[Tensor, "..."]) -> Float[Tensor, "n n"]:
    """Return the symmetric matrix that averages a circle of so many pixels under the Gaussian window.

    Taps that reach around a small circle more than once add up, so every size works. One product of matrices
    takes the place of 11 shifted sums, which cost more on grids of up to about 128².
    """
    offsets = torch.arange(-RADIUS, RADIUS + 1, device=like.device)
    weights = torch.exp(offsets.double().square() / (-2.0 * SIGMA**2))
    circle = weights.new_zeros(size).index_add_(0, offsets % size, weights / weights.sum())
    place = torch.arange(size, device=like.device)
    return circle[(place - place[:, None]) % size].to(like.dtype)
