"""What the rows of a stack did, gathered on the device and read at the end."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from spinlock.rollout.dynamics import SHORTEST
from spinlock.rollout.ensemble import FLOAT16_LIMIT, LARGEST_FINITE, Rollout


class StackedRecord:
    """Arrays that fill up while a stack runs; realization m of sample s has slot s·M + m."""

    def __init__(
        self, initial: Float32[Tensor, "s c h w"], realizations: int, num_timesteps: int, keep: Sequence[int]
    ) -> None:
        samples, *shape = initial.shape
        slots = samples * realizations
        self._realizations, self._steps, self._keep = realizations, num_timesteps, tuple(keep)
        self._places = {frame: place for place, frame in enumerate(keep)}
        self._frames = initial.new_full((slots, len(self._keep), *shape), torch.nan)
        self._final = initial.new_full((slots, *shape), torch.nan)
        self._largest = initial.new_full((num_timesteps + 1, slots), torch.nan)
        self._alive = torch.ones(slots, dtype=torch.bool, device=initial.device)

    def take(self, frame: int, slots: Int64[Tensor, "r"], x: Float32[Tensor, "r c h w"]) -> Bool[Tensor, "r"]:
        """Store a frame of some slots where it is kept; return which of them are finite so far."""
        largest = x.abs().amax(dim=(1, 2, 3))
        alive = self._alive[slots] & (largest <= LARGEST_FINITE)
        self._alive[slots] = alive
        self._largest[frame, slots] = torch.where(alive, largest, torch.nan)
        if frame in self._places or frame == self._steps:
            shown = torch.where(alive[:, None, None, None], x, torch.nan)
            if frame in self._places:
                self._frames[slots, self._places[frame]] = shown
            if frame == self._steps:
                self._final[slots] = shown
        return alive

    def steps(self, alike: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
        """Return the finite frames and those within float16 of every realization, int32 [S, M].

        ``alike`` says of which samples only realization 0 was run, for all.
        """
        largest = self._largest.cpu().numpy()[:, self._shown(alike)]
        counts = [
            np.cumprod(largest <= LARGEST_FINITE, axis=0).sum(axis=0),
            np.cumprod(largest < FLOAT16_LIMIT, axis=0).sum(axis=0),
        ]
        finite, within = (count.astype(np.int32).reshape(-1, self._realizations) for count in counts)
        return finite, within

    def _shown(self, alike: Sequence[bool]) -> np.ndarray:
        """Return the slot that holds what every slot shows."""
        first = np.arange(len(alike))[:, None] * self._realizations
        others = np.arange(self._realizations)[None, :] * ~np.array(alike, bool)[:, None]
        return (first + others).ravel()

    def results(
        self,
        alike: Sequence[bool],
        labels: Sequence[tuple[float, str]] | None,
        deliver: torch.device | None,
    ) -> list[Rollout]:
        """Return the rollout of every sample, its frames on the device ``deliver``, copied there together.

        ``labels`` are exponents and labels where they were asked for.
        """
        finite, within = self.steps(alike)
        frames, final = self._frames, self._final
        if any(alike):
            shown = torch.from_numpy(self._shown(alike)).to(frames.device)
            frames, final = frames[shown], final[shown]
        many = self._realizations
        frames, final = (fields.to(deliver or fields.device).split(many) for fields in (frames, final))
        rollouts = []
        for owner in range(len(alike)):
            exponent, label = float("nan"), "unclassified"
            if (finite[owner] <= self._steps).any():
                label = "diverged"
            elif self._steps < SHORTEST:
                label = "short"
            elif labels is not None:
                exponent, label = labels[owner]
            steps = finite[owner], within[owner]
            rollouts.append(
                Rollout(frames[owner], self._keep, final[owner], *steps, exponent, label, self._steps)
            )
        return rollouts
