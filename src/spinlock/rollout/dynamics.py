"""What an ensemble did: the largest Lyapunov exponent by a twin run, and the dynamics label.

The **twin** of realization 0 has the same noise and starts 1e-5 rms away; after every step the distance is
rescaled to 1e-5 rms (Benettin et al., Meccanica 1980). λ is the mean logarithmic growth of the distance over
the last half of the steps, per step: relative to rms(x) if the state grew over them (uniform growth is no
divergence), of the distance itself if it shrank (nor is a difference that dies out more slowly).

**Labels**, the first that holds, by realization 0 over the last half of the run (``diverged``: any one):

============  =====================================================================================
diverged      a realization left the finite range
short         fewer than 16 steps; no twin is run
chaotic       λ > 0.02
growing       rms(x) grows by more than 1 % a step, from the middle to the end
dead          spatial contrast at the end ≤ 1e-3 of that of frame 0
frozen        no step changes the state by more than 1e-3 of its contrast
periodic      the state of the middle returns at p and 2p steps: both within 5 % of the largest distance
              from it, having moved more than 20 % of that distance before; 2p fits in the last half
active        none of these
============  =====================================================================================

Contrast is the spatial standard deviation of a frame, root mean square over channels.
"""

import math

from jaxtyping import Float
from torch import Tensor

TWIN_DISTANCE = 1e-5
SHORTEST = 16
CHAOS_THRESHOLD = 0.02
GROWTH_THRESHOLD = 0.01
DEAD_CONTRAST = 1e-3
FROZEN_CHANGE = 1e-3
RETURN_DISTANCE, DEPARTURE_DISTANCE = 0.05, 0.2
COLLAPSED, TORN = math.log(1e-3), -math.log(TWIN_DISTANCE)
"""Growth recorded for a step after which the twin equals its original, or is no longer finite."""

LABELS = ("diverged", "short", "chaotic", "growing", "dead", "frozen", "periodic", "active")


def rms(x: Tensor) -> float:
    """Return the root mean square of a field, accumulated in float64."""
    return float(x.double().square().mean().sqrt())


def contrast(x: Float[Tensor, "1 c h w"]) -> float:
    """Return the spatial standard deviation, root mean square over channels."""
    return float(x.double().var(dim=(-2, -1), correction=0).mean().sqrt())


class Twin:
    """The run beside realization 0 that measures how fast small differences grow."""

    def __init__(self, x: Float[Tensor, "1 c h w"], direction: Float[Tensor, "1 c h w"]) -> None:
        self._growth: list[float] = []
        self._sizes = [rms(x)]
        self._distance = 0.0
        self.state = self._place(x, direction)

    def _place(self, x: Tensor, direction: Tensor) -> Tensor:
        size = rms(direction)
        scale = TWIN_DISTANCE * rms(x) / size if size > 0 else 0.0
        self._direction = direction
        placed = x + direction * scale
        self._distance = self._relative_distance(placed, x)
        return placed

    @staticmethod
    def _relative_distance(z: Tensor, x: Tensor) -> float:
        norm = rms(x)
        return float((z.double() - x.double()).square().mean().sqrt()) / norm if norm > 0 else 0.0

    def advance(self, x: Float[Tensor, "1 c h w"], z: Float[Tensor, "1 c h w"]) -> None:
        """Record the growth over one step from the original's and the twin's next states, then rescale."""
        after = self._relative_distance(z, x)
        measurable = after > 0 and self._distance > 0 and math.isfinite(after)
        self._sizes.append(rms(x))
        unmeasured = COLLAPSED if math.isfinite(after) else TORN
        self._growth.append(math.log(after / self._distance) if measurable else unmeasured)
        self.state = self._place(x, z - x if measurable else self._direction)

    def exponent(self) -> float:
        """Return λ, per step."""
        middle = len(self._growth) // 2
        half = self._growth[middle:]
        before, after = self._sizes[middle], self._sizes[-1]
        shrinking = math.log(after / before) if 0 < after < before else 0.0
        return (math.fsum(half) + shrinking) / len(half)


class Monitor:
    """What the label needs to know of realization 0, gathered while it runs."""

    def __init__(self, x: Float[Tensor, "1 c h w"], num_timesteps: int) -> None:
        self._middle = num_timesteps // 2
        self._initial_contrast = self._contrast = contrast(x)
        self._reference: Tensor | None = None
        self._reference_rms = 0.0
        self._largest_change = 0.0
        self._distances: list[float] = []
        self._rms = 0.0
        self._steps = num_timesteps - self._middle

    def observe(self, frame: int, before: Float[Tensor, "1 c h w"], x: Float[Tensor, "1 c h w"]) -> None:
        """Take note of frame ``frame`` = x and the one before it."""
        if frame <= self._middle:
            if frame == self._middle:
                self._reference, self._reference_rms = x.clone(), rms(x)
            return
        assert self._reference is not None
        self._contrast, self._rms = contrast(x), rms(x)
        change = rms(x - before)
        self._largest_change = max(
            self._largest_change, change / self._contrast if self._contrast > 0 else 0.0
        )
        self._distances.append(rms(x - self._reference))

    def label(self, exponent: float) -> str:
        """Return the first label of the rule that holds for a run that stayed finite."""
        if exponent > CHAOS_THRESHOLD:
            return "chaotic"
        if self._rms > self._reference_rms * math.exp(GROWTH_THRESHOLD * self._steps) > 0:
            return "growing"
        if self._contrast <= DEAD_CONTRAST * self._initial_contrast:
            return "dead"
        if self._largest_change <= FROZEN_CHANGE:
            return "frozen"
        return "periodic" if self._period() else "active"

    def _period(self) -> int | None:
        distance = [0.0, *self._distances]
        largest = max(distance)
        for p in range(2, (len(distance) - 1) // 2 + 1):
            left = max(distance[1:p]) > DEPARTURE_DISTANCE * largest
            if left and max(distance[p], distance[2 * p]) <= RETURN_DISTANCE * largest:
                return p
        return None
