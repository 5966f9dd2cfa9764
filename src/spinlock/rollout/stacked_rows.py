"""The rows of a stack: which sample and which realization each is, and what that means for a step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from spinlock.rollout.ensemble import TWIN
from spinlock.rollout.policies import UpdatePolicy
from spinlock.rollout.stacked_noise import NoisyRows, StackedNoise


@dataclass(frozen=True)
class Rows:
    """The rows that still run, sample after sample, of each the realizations in order and then the twin.

    Attributes
    ----------
    owners, members
        The sample and the realization (or `TWIN`) of each row, int64 [R].
    lockstep
        Whether the realizations of each sample share statistics.
    """

    owners: np.ndarray
    members: np.ndarray
    lockstep: Sequence[bool]
    noise: StackedNoise
    device: torch.device

    def __len__(self) -> int:
        """Return R."""
        return len(self.owners)

    @property
    def realizations(self) -> np.ndarray:
        """The realization whose noise each row has, int64 [R]."""
        return np.where(self.members == TWIN, 0, self.members)

    @cached_property
    def noisy(self) -> Mapping[str, list[NoisyRows]]:
        """The rows with noise on the state, and on the output."""
        return {
            location: self.noise.rows_at(location, self.owners, self.realizations)
            for location in ("state", "output")
        }

    @cached_property
    def real(self) -> Tensor:
        """The rows that are realizations."""
        return self._indices(self.members != TWIN)

    @cached_property
    def zeroth(self) -> Tensor:
        """The rows of realization 0 that have a twin."""
        return self._indices((self.members == 0) & np.isin(self.owners, self.owners[self.members == TWIN]))

    @cached_property
    def twins(self) -> Tensor:
        """The rows that are twins."""
        return self._indices(self.members == TWIN)

    @cached_property
    def watched(self) -> Tensor:
        """The samples of the twins, in their order."""
        return torch.from_numpy(self.owners[self.members == TWIN]).to(self.device)

    def _indices(self, chosen: np.ndarray) -> Tensor:
        return torch.from_numpy(np.flatnonzero(chosen)).to(self.device)

    @cached_property
    def peers(self) -> dict[int, list[int]]:
        """The rows that share statistics with each row of a lockstep sample, in the order of realizations.

        These are all realizations; for the twin, the twin in the place of realization 0.
        """
        shared: dict[int, list[int]] = {}
        for owner in np.unique(self.owners[np.array(self.lockstep, bool)[self.owners]]).tolist():
            rows = np.flatnonzero(self.owners == owner)
            together = [row for row in rows.tolist() if self.members[row] != TWIN]
            for row in rows.tolist():
                twin = self.members[row] == TWIN
                shared[row] = [row if twin and self.members[k] == 0 else k for k in together]
        return shared

    @property
    def in_lockstep(self) -> bool:
        """Whether any sample is in lockstep, so that a row that ends changes what others do."""
        return bool(self.peers)

    def distinct(self, untouched: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows whose first outputs differ, and for every row its place among them.

        The realizations of an ``untouched`` sample all see frame 0.
        """
        alike = np.array(untouched, bool)[self.owners] & (self.members != TWIN)
        same = np.stack([self.owners, np.where(alike, 0, self.members)], axis=1)
        _, first, place = np.unique(same, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return first[order], rank[place.ravel()]

    def without(self, ended: np.ndarray) -> tuple["Rows", np.ndarray]:
        """Return the rows that go on and their numbers here, when some, bool [R], have ended.

        A twin ends with its original.
        """
        orphaned = np.isin(self.owners, self.owners[ended & (self.members == 0)]) & (self.members == TWIN)
        left = np.flatnonzero(~(ended | orphaned))
        rows = Rows(self.owners[left], self.members[left], self.lockstep, self.noise, self.device)
        return rows, left


LINEAR = {
    "autoregressive": lambda _: (0.0, 1.0),
    "residual": lambda constants: (1.0, constants["dt"]),
    "convex": lambda constants: (constants["alpha"], 1.0 - constants["alpha"]),
}
"""Policies x' = a·x + b·y, as (a, b); others are called row by row."""


class StackedPolicies:
    """The update policies of the rows of a stack."""

    def __init__(self, policies: Sequence[UpdatePolicy], rows: Rows) -> None:
        owned = [policies[owner] for owner in rows.owners.tolist()]
        factors = [
            LINEAR[policy.name](policy.constants) if policy.name in LINEAR else (0.0, 1.0) for policy in owned
        ]
        mixed = [row for row, (memory, _) in enumerate(factors) if memory]
        self._mixed = torch.tensor(mixed, dtype=torch.int64, device=rows.device)
        columns = torch.tensor([factors[row] for row in mixed], dtype=torch.float32, device=rows.device)
        self._factors = columns.reshape(-1, 2, 1, 1, 1).unbind(dim=1)
        self._others = {row: policy for row, policy in enumerate(owned) if policy.name not in LINEAR}

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the next state of every row, from its state and its operator's output."""
        if len(self._mixed):
            memory, weight = self._factors
            following = torch.addcmul(x[self._mixed] * memory, y[self._mixed], weight)
            y = y.index_copy(0, self._mixed, following)
        for row, policy in self._others.items():
            y[row] = policy(x[row : row + 1], y[row : row + 1])[0]
        return y
