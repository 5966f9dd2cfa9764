"""The noise of many rows of a stack, drawn together: the numbers of `NoiseStream`, row by row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from spinlock.keys import Key, Purpose, check_counter
from spinlock.numerics.hidden_noise import HiddenNoise, Level, kind_inside
from spinlock.numerics.noise import BLOCK, TRANSFORMS, NoiseModel, NoiseStream, torus_filter
from spinlock.numerics.pairwise import row_mean_square
from spinlock.numerics.random import random_words

DRAWN_ON_GPU = 1 << 24
"""Elements drawn together on a GPU."""

Hook = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True)
class NoisyRows:
    """Rows with noise of one type at one place.

    Attributes
    ----------
    rows
        Their numbers in the stack, int64 [B]; None where these are all rows.
    owners
        The number of each row's sample in the stack, int64 [B], on the host and on the device.
    samples, realizations
        Their coordinates in the counter of the random numbers, int64 [B].
    """

    noise_type: str
    rows: Tensor | None
    owners: np.ndarray
    positions: Tensor
    samples: Tensor
    realizations: Tensor


class StackedNoise:
    """The noise models of the samples of a stack."""

    def __init__(
        self,
        models: Sequence[NoiseModel],
        samples: Sequence[int],
        seed: int,
        size: int,
        device: torch.device,
        num_timesteps: int,
    ) -> None:
        self._models, self._samples, self._key = models, samples, Key(seed)
        self._size, self._device, self._num_timesteps = size, device, num_timesteps
        self._amplitudes: tuple[int, Tensor] | None = None
        self._streams: dict[tuple[int, int], NoiseStream] = {}

    @cached_property
    def _filters(self) -> dict[int, Tensor]:
        """The filter of each sample whose noise is correlated in space."""
        roots = {
            owner: torus_filter(self._size, model.spatial_correlation)
            for owner, model in enumerate(self._models)
            if model.noise_scale
        }
        return {owner: root.to(self._device) for owner, root in roots.items() if root is not None}

    def rows_at(self, location: str, owners: np.ndarray, realizations: np.ndarray) -> list[NoisyRows]:
        """Return the rows of the stack with noise at a place, a group for each type.

        ``owners`` and ``realizations``, int64 [R], say which sample and which realization's noise a row has.
        """
        types = [m.noise_type if m.noise_scale and m.noise_location == location else "" for m in self._models]
        kinds = np.array(types)[owners]
        groups = []
        for kind in sorted(set(kinds.tolist()) - {""}):
            rows = np.flatnonzero(kinds == kind)
            samples = np.array(self._samples, np.int64)[owners[rows]]
            groups.append(
                NoisyRows(
                    kind,
                    None if len(rows) == len(owners) else self._column(rows),
                    owners[rows],
                    self._column(owners[rows]),
                    self._column(samples),
                    self._column(realizations[rows]),
                )
            )
        return groups

    def _column(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.int64)).to(self._device)

    def hooks(
        self, owners: np.ndarray, realizations: np.ndarray, step: int, *, drawn: bool
    ) -> dict[int, Hook]:
        """Return, for rows with noise or dropout inside the operator, what is called after every block.

        Where what `inside` says is ``drawn``, only for rows whose noise that cannot be.
        """
        acting = [
            self._inside(model) and not (drawn and kind_inside(model) is not None) for model in self._models
        ]
        if not any(acting):
            return {}
        return {
            row: self._stream(owner, realization).inside(step)
            for row, (owner, realization) in enumerate(
                zip(owners.tolist(), realizations.tolist(), strict=True)
            )
            if acting[owner]
        }

    def inside(self, owners: np.ndarray, realizations: np.ndarray, step: int) -> HiddenNoise | None:
        """Return the noise that a stack can draw inside its operators; None where no row has any."""
        kinds = [kind_inside(model) if self._inside(model) else None for model in self._models]
        if all(kind is None for kind in kinds):
            return None
        levels = [
            (0.0, 0.0, 0.0) if kind is None else Level.of(model, step)
            for kind, model in zip(kinds, self._models, strict=True)
        ]
        numbers = np.stack(
            [np.array(self._samples)[owners], realizations, np.array([k or 0 for k in kinds])[owners]], axis=1
        )
        return HiddenNoise(
            torch.from_numpy(numbers.astype(np.int64)).to(self._device),
            torch.from_numpy(np.array(levels, np.float32)[owners]).to(self._device),
            self._key.words,
            step,
        )

    @staticmethod
    def _inside(model: NoiseModel) -> bool:
        return model.dropout_rate > 0 or (model.noise_scale > 0 and model.noise_location == "hidden")

    def touches(self, owner: int) -> bool:
        """Return whether a sample's operator gives its realizations different outputs from one state."""
        model = self._models[owner]
        return self._inside(model) or (model.noise_scale > 0 and model.noise_location == "state")

    def _stream(self, owner: int, realization: int) -> NoiseStream:
        place = owner, realization
        if place not in self._streams:
            self._streams[place] = NoiseStream(
                self._models[owner], self._key, self._samples[owner], realization, self._size, self._device,
                self._num_timesteps,
            )  # fmt: skip
        return self._streams[place]

    def perturb(
        self, x: Float32[Tensor, "r c h w"], groups: Sequence[NoisyRows], step: int, site: int
    ) -> Float32[Tensor, "r c h w"]:
        """Return the rows with their noise of a step at a site."""
        for group in groups:
            picked = x if group.rows is None else x[group.rows]
            variate = self._variates(group, picked.shape[1:], step, site)
            if group.noise_type in ("multiplicative", "dropout"):
                rms = row_mean_square(picked).sqrt().float()[:, None, None, None]
                variate = variate * torch.where(rms > 0, picked / rms, torch.zeros_like(rms))
            amplitude = self._amplitude(step)[group.positions]
            moved = torch.addcmul(picked, variate, amplitude[:, None, None, None])
            x = moved if group.rows is None else x.index_copy(0, group.rows, moved)
        return x

    def _amplitude(self, step: int) -> Tensor:
        """Return σ(t) of every sample, float32 [S]."""
        if self._amplitudes is None or (self._amplitudes[0] != step and not self._constant):
            values = np.array([model.amplitude(step) for model in self._models], np.float32)
            self._amplitudes = step, torch.from_numpy(values).to(self._device)
        return self._amplitudes[1]

    @cached_property
    def _constant(self) -> bool:
        return all(model.noise_schedule == "constant" for model in self._models)

    def _variates(self, group: NoisyRows, shape: torch.Size, step: int, site: int) -> Tensor:
        """Return ξ of every row of a group, as many rows at a time as memory should hold."""
        check_counter(step=step)
        count = shape.numel()
        together = max(1, (BLOCK if self._device.type == "cpu" else DRAWN_ON_GPU) // count)
        drawn = [
            TRANSFORMS[group.noise_type](
                random_words(
                    self._key, Purpose.NOISE, count, samples=samples, steps=step, site=site,
                    realizations=realizations,
                ),
                count,
            )
            for samples, realizations in zip(
                group.samples.split(together), group.realizations.split(together), strict=True
            )
        ]  # fmt: skip
        white = torch.cat(drawn).reshape(-1, *shape)
        for row, owner in enumerate(group.owners.tolist() if self._filters else []):
            if owner in self._filters:
                root = self._filters[owner]
                white[row] = torch.matmul(root, torch.matmul(white[row], root))
        return white
