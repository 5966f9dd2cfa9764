"""The dynamics labels of many samples at once: their twins and monitors, without waiting for the device."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from spinlock.numerics.pairwise import pairwise_sum, row_mean_square
from spinlock.rollout.dynamics import COLLAPSED, TORN, TWIN_DISTANCE, Monitor, Twin

States = Float[Tensor, "b c h w"]
Column = Float64[Tensor, "b"]


def _rms(x: States) -> Column:
    return row_mean_square(x).sqrt()


def _contrast(x: States) -> Column:
    """Return the spatial standard deviation of each row, root mean square over channels."""
    rows, channels, height, width = x.shape
    fields = x.double().reshape(rows * channels, height * width)
    centred = fields - (pairwise_sum(fields) / fields.shape[1])[:, None]
    variances = pairwise_sum(centred * centred) / fields.shape[1]
    return (pairwise_sum(variances.reshape(rows, channels)) / channels).sqrt()


def _column(values: Column) -> Float[Tensor, "b 1 1 1"]:
    return values.float()[:, None, None, None]


class _Told(Monitor):
    """A monitor that knows what it would have observed."""

    def __init__(self, noted: dict[str, np.ndarray], num_timesteps: int) -> None:
        self._steps = num_timesteps - num_timesteps // 2
        self._initial_contrast = float(noted["initial_contrast"])
        self._contrast, self._rms = float(noted["contrast"][-1]), float(noted["size"][-1])
        self._reference_rms = float(noted["size"][num_timesteps // 2])
        changes = zip(noted["change"].tolist(), noted["contrast"].tolist(), strict=True)
        self._largest_change = max(change / contrast if contrast > 0 else 0.0 for change, contrast in changes)
        self._distances = noted["return"].tolist()


class _Grown(Twin):
    """A twin that knows how it would have grown."""

    def __init__(self, noted: dict[str, np.ndarray]) -> None:
        self._sizes = noted["size"].tolist()
        pairs = zip(noted["after"].tolist(), noted["distance"].tolist(), strict=True)
        self._growth = [_growth(after, distance) for after, distance in pairs]


def _growth(after: float, distance: float) -> float:
    if after > 0 and distance > 0 and math.isfinite(after):
        return math.log(after / distance)
    return COLLAPSED if math.isfinite(after) else TORN


class StackedWatch:
    """Twins and monitors of S samples; what they note stays on the device until the end.

    Parameters
    ----------
    initial
        Frame 0 of each sample, float32 [S, C, H, W].
    directions
        Where each twin starts from there, up to its length, float32 [S, C, H, W].
    """

    def __init__(self, initial: States, directions: States, num_timesteps: int) -> None:
        count, device = len(initial), initial.device
        self._steps, self._middle = num_timesteps, num_timesteps // 2
        self._directions, self._references = directions.clone(), torch.zeros_like(initial)
        self._distance = torch.zeros(count, dtype=torch.float64, device=device)
        self._initial_contrast = _contrast(initial)
        series = {
            "size": num_timesteps + 1,
            "after": num_timesteps,
            "distance": num_timesteps,
            "contrast": num_timesteps - self._middle,
            "change": num_timesteps - self._middle,
            "return": num_timesteps - self._middle,
        }
        self._noted = {
            name: torch.full((length, count), math.nan, dtype=torch.float64, device=device)
            for name, length in series.items()
        }
        everyone = torch.arange(count, device=device)
        self.twins = self._place(everyone, initial, directions, _rms(initial))
        self._noted["size"][0] = _rms(initial)

    def _place(self, owners: Int64[Tensor, "b"], x: States, direction: States, size: Column) -> States:
        """Return the twins of states x of root mean square ``size``, in the directions given."""
        length = _rms(direction)
        scale = torch.where(length > 0, TWIN_DISTANCE * size / length, 0.0)
        placed = x + direction * _column(scale)
        self._directions[owners] = direction
        self._distance[owners] = _relative(placed, x, size)
        return placed

    def advance(
        self, frame: int, owners: Int64[Tensor, "b"], before: States, x: States, twins: States
    ) -> States:
        """Take note of frame ``frame`` of the samples ``owners``; return their twins, rescaled.

        ``x`` and ``before`` are that frame and the one before it of realization 0.
        """
        size = _rms(x)
        self._noted["size"][frame, owners] = size
        if frame == self._middle:
            self._references[owners] = x
        elif frame > self._middle:
            place = frame - self._middle - 1
            self._noted["contrast"][place, owners] = _contrast(x)
            self._noted["change"][place, owners] = _rms(x - before)
            self._noted["return"][place, owners] = _rms(x - self._references[owners])
        after, distance = _relative(twins, x, size), self._distance[owners]
        self._noted["after"][frame - 1, owners] = after
        self._noted["distance"][frame - 1, owners] = distance
        measurable = ((after > 0) & (distance > 0) & after.isfinite())[:, None, None, None]
        return self._place(owners, x, torch.where(measurable, twins - x, self._directions[owners]), size)

    def labels(self, finite: Sequence[bool]) -> list[tuple[float, str]]:
        """Return the Lyapunov exponent and the label of each sample; NaN and nothing where not finite."""
        noted = {name: values.cpu().numpy() for name, values in self._noted.items()}
        contrasts = self._initial_contrast.cpu().numpy()
        labels = []
        for owner, whole in enumerate(finite):
            if not whole:
                labels.append((math.nan, ""))
                continue
            own = {name: values[:, owner] for name, values in noted.items()}
            exponent = _Grown(own).exponent()
            monitor = _Told(own | {"initial_contrast": contrasts[owner]}, self._steps)
            labels.append((exponent, monitor.label(exponent)))
        return labels


def _relative(z: States, x: States, size: Column) -> Column:
    """Return the distance of z from x, in units of the root mean square of x."""
    return torch.where(size > 0, row_mean_square(z.double() - x.double()).sqrt() / size, 0.0)
