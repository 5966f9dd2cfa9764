"""The parameter space: what a coordinate of the unit cube means, in plain values."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from jaxtyping import Float64

from spinlock.errors import OptionError, UsageError
from spinlock.sampling.logarithmic import MAX_RATIO, log_uniform

Kind = Literal["integer", "continuous", "choice", "boolean"]

MAX_INTEGER = 2**53
"""Integers up to here are exact in float64."""


@dataclass(frozen=True)
class Parameter:
    """One parameter, its name and its values, which a uniform number u in [0, 1) selects.

    ==========  ===================================================================================
    kind        value
    ==========  ===================================================================================
    integer     low + floor(u · (high − low + 1)): every integer, end points included, weighs the same
    continuous  low + u · (high − low), or low · (high / low)**u if ``log``
    choice      choices[floor(u · number of choices)]
    boolean     u ≥ 1/2
    ==========  ===================================================================================

    Values have the same bits on every machine: all operations are those that IEEE 754 rounds correctly.

    Raises
    ------
    OptionError
        For a parameter that has no values or bounds that make no sense.
    """

    name: str
    kind: Kind
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be sampled."""
        if self.kind not in get_args(Kind):
            raise OptionError(
                f"{self.name}: type {self.kind!r} is unknown; known: {', '.join(get_args(Kind))}"
            )
        if self.log and self.kind != "continuous":
            raise OptionError(f"{self.name}: log_scale is for continuous parameters; this one is {self.kind}")
        if self.kind == "integer":
            self._check_integers()
        elif self.kind == "continuous":
            self._check_interval()
        elif (self.low, self.high) != (None, None):
            raise OptionError(f"{self.name}: bounds are for numbers; a {self.kind} parameter has none")
        if self.kind == "choice":
            self._check_choices()
        elif self.choices:
            raise OptionError(f"{self.name}: choices are for type choice; this one is {self.kind}")

    def _check_integers(self) -> None:
        low, high = self.low, self.high
        if type(low) is not int or type(high) is not int:
            raise OptionError(f"{self.name}: bounds [{low!r}, {high!r}] must be two integers")
        if low > high:
            raise OptionError(f"{self.name}: bounds [{low}, {high}] are reversed: low must be ≤ high")
        if max(abs(low), abs(high)) > MAX_INTEGER:
            raise OptionError(f"{self.name}: bounds [{low}, {high}] must lie within ±2**53")

    def _check_interval(self) -> None:
        bounds = f"{self.name}: bounds [{self.low!r}, {self.high!r}]"
        if type(self.low) not in (int, float) or type(self.high) not in (int, float):
            raise OptionError(f"{bounds} must be two numbers")
        try:
            low, high = self._interval
        except OverflowError:
            low = high = math.inf
        if not math.isfinite(high - low):
            raise OptionError(f"{bounds} must be finite numbers")
        if low >= high:
            raise OptionError(
                f"{bounds} must rise, low < high; to fix the value, leave the parameter out of the space "
                "or make it a choice of one"
            )
        if self.log and low <= 0:
            raise OptionError(
                f"{bounds} with log_scale must be above 0: raise the lower bound or drop log_scale"
            )
        if self.log and high / low > MAX_RATIO:
            raise OptionError(f"{bounds} with log_scale span more than a factor of 2**500")

    def _check_choices(self) -> None:
        if not isinstance(self.choices, tuple) or not self.choices:
            raise OptionError(f"{self.name}: choices must be a list of at least one value")
        for position, choice in enumerate(self.choices):
            for earlier in self.choices[:position]:
                # True == 1 in Python; as choices they are two values
                if choice == earlier and isinstance(choice, bool) == isinstance(earlier, bool):
                    raise OptionError(f"{self.name}: choice {choice!r} is listed twice; each counts once")

    @property
    def _interval(self) -> tuple[float, float]:
        assert self.low is not None
        assert self.high is not None
        return float(self.low), float(self.high)

    def decode(self, u: Float64[np.ndarray, "b"]) -> list[Any]:
        """Return the values that uniforms [B] in [0, 1] select, as plain Python objects."""
        match self.kind:
            case "integer":
                low, high = cast("int", self.low), cast("int", self.high)
                return (low + _equal_parts(u, high - low + 1)).tolist()
            case "continuous":
                low, high = self._interval
                return (log_uniform if self.log else _uniform)(u, low, high).tolist()
            case "choice":
                return [self.choices[k] for k in _equal_parts(u, len(self.choices)).tolist()]
            case "boolean":
                return (u >= 0.5).tolist()


def _uniform(u: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return low + u · (high − low), within [low, high] also where rounding would leave it."""
    return np.clip(low + u * (high - low), low, high)


def _equal_parts(u: np.ndarray, count: int) -> np.ndarray:
    """Return which of ``count`` equal parts of the unit interval each u lies in; u = 1 lies in the last."""
    return np.minimum(np.floor(u * count).astype(np.int64), count - 1)


class ParameterSpace:
    """The parameters that a dataset samples; dimension d of the cube is the d-th name in sorted order.

    Raises
    ------
    OptionError
        If two parameters share a name.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.parameters = tuple(sorted(parameters, key=lambda parameter: parameter.name))
        for name, count in Counter(self.names).items():
            if count > 1:
                raise OptionError(
                    f"parameter {name!r} is declared {count} times; names are unique over all headings"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the P dimensions, in order."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def size(self) -> int:
        """The number of dimensions P."""
        return len(self.parameters)

    def decode(self, points: Float64[np.ndarray, "b p"]) -> dict[str, list[Any]]:
        """Return the values of points [B, P] of the unit cube: for each name, B plain Python objects.

        Raises
        ------
        UsageError
            If there are not P columns or a coordinate lies outside [0, 1].
        """
        if points.shape[1] != self.size:
            raise UsageError(f"points have {points.shape[1]} columns; the space has {self.size} parameters")
        if not ((points >= 0) & (points <= 1)).all():
            raise UsageError("points must lie in the unit cube: a coordinate is outside [0, 1]")
        return {
            parameter.name: parameter.decode(np.ascontiguousarray(points[:, d]))
            for d, parameter in enumerate(self.parameters)
        }
