"""An operator probed around one state: the twenty states it is applied to, and what it made of them."""

import math
from collections.abc import Callable
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from spinlock.errors import UsageError
from spinlock.keys import Key, Purpose
from spinlock.numerics.random import normals_from_words, random_words

Map = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b c h w"]]
"""An operator: each state of the batch to the next one, by itself, without randomness."""

EPSILONS = (1e-4, 1e-3, 1e-2)
"""Sizes of perturbations, relative to rms(x)."""

DIRECTIONS = 4
SCALES = (0.5, 0.75, 1.25, 1.5)


def probe_directions(
    seed: int, index: int, shape: tuple[int, ...], like: Float[Tensor, "..."]
) -> Float[Tensor, "directions *shape"]:
    """Return ξ: standard normals that depend on the seed and the index of the sample alone."""
    count = math.prod(shape)
    steps = torch.arange(DIRECTIONS, device=like.device)
    samples = torch.full_like(steps, index)
    words = random_words(
        Key(seed), Purpose.PROBE, count, samples=samples, steps=steps, realizations=torch.zeros_like(steps)
    )
    return normals_from_words(words, count).reshape(DIRECTIONS, *shape).to(like.dtype)


def companion(x: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
    """Return w, a state as large as x and unlike it: channels in reverse order, rolled by (H/2, W/2).

    A single channel is rolled by (H/2, W/4).
    """
    channels, height, width = x.shape
    return x.flip(0).roll((height // 2, width // 2 if channels > 1 else width // 4), (1, 2))


class ProbeView:
    """O at x, at x + δ for 3 sizes and 4 directions of δ, at αx for 4 scales, at 0, at w and at x + w.

    Parameters
    ----------
    operator
        Maps states [B, C, H, W], each by itself. Its noise must be frozen: equal for all states of all calls.
    x
        The state to probe around [C, H, W].
    seed, index
        What the directions δ depend on.
    """

    def __init__(self, operator: Map, x: Float[Tensor, "c h w"], seed: int = 0, index: int = 0) -> None:
        self._operator, self._x = operator, x
        self._directions = probe_directions(seed, index, tuple(x.shape), x)

    @cached_property
    def _perturbed(self) -> Float[Tensor, "epsilons directions c h w"]:
        rms = self._x.square().mean().sqrt()
        sizes = torch.tensor(EPSILONS, dtype=self._x.dtype, device=self._x.device)
        return self._x + sizes[:, None, None, None, None] * rms * self._directions

    @cached_property
    def _outputs(self) -> Float[Tensor, "probes c h w"]:
        """O of all twenty states, float64: O is evaluated as it is, differences are not rounded again."""
        x = self._x
        w = companion(x)
        scaled = torch.stack([scale * x for scale in SCALES])
        states = [x[None], self._perturbed.flatten(0, 1), scaled, torch.zeros_like(x)[None]]
        probes = torch.cat([*states, w[None], (x + w)[None]])
        outputs = self._operator(probes)
        if outputs.shape != probes.shape:
            raise UsageError(
                f"an operator made {list(outputs.shape)} of {list(probes.shape)}: it must keep the shape"
            )
        return outputs.double()

    @cached_property
    def _parts(self) -> tuple[Tensor, ...]:
        """O(x), O(x + δ), O(αx), O(0), O(w) and O(x + w)."""
        return self._outputs.split([1, len(EPSILONS) * DIRECTIONS, len(SCALES), 1, 1, 1])

    @cached_property
    def stretching(self) -> Float[Tensor, "epsilons"]:
        """Max over the directions of ‖O(x + δ) − O(x)‖/‖δ‖, with δ as it is after rounding x + δ."""
        change = norms(self._parts[1] - self._parts[0])
        size = norms(self._perturbed.flatten(0, 1).double() - self._x.double())
        return ratio(change, size).reshape(len(EPSILONS), DIRECTIONS).amax(dim=1)

    @cached_property
    def gains(self) -> Float[Tensor, "scales"]:
        """‖O(αx) − O(0)‖/‖O(x) − O(0)‖ for each scale α."""
        zero = self._parts[3]
        return ratio(norms(self._parts[2] - zero), norms(self._parts[0] - zero))

    @cached_property
    def linearity(self) -> Float[Tensor, ""]:
        """1 − ‖O(x + w) − O(x) − O(w) + O(0)‖²/‖O(x + w) − O(0)‖², in [0, 1]."""
        at_x, _, _, zero, at_w, at_both = self._parts
        rest = ratio(norms(at_both - at_x - at_w + zero), norms(at_both - zero))
        return (1.0 - rest.square()).clamp(0.0, 1.0)[0]


def norms(states: Float[Tensor, "b c h w"]) -> Float[Tensor, "b"]:
    """Return the Frobenius norm of each state."""
    return states.flatten(1).norm(dim=1)


def ratio(over: Float[Tensor, "*shape"], under: Float[Tensor, "*#shape"]) -> Float[Tensor, "*shape"]:
    """Return over/under; NaN where under is 0 or either is not finite."""
    defined = (under > 0) & torch.isfinite(over) & torch.isfinite(under)
    return torch.where(defined, over / under, torch.nan)
