"""Laws that one set of fields decides: a sentence, the options it holds for, and a check of the fields."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor

from spinlock.initial_conditions.catalogue import Draw, Law
from spinlock.initial_conditions.laws import under

Check = Callable[[Float[Tensor, "b c n n"]], None]


def field_law(statement: str, check: Check, draws: int = 16, **options: Any) -> Law:
    """Return a law of ``draws`` fields [B, C, N, N] in float64, made with the given options."""

    def run(draw: Draw) -> None:
        check(draw(draws, **options).double())

    return Law(f"{statement}{under(options)}", run)


def at_most(what: str, measured: Tensor, limit: float) -> None:
    """Raise `AssertionError` where the greatest of some numbers is above a limit, or is no number."""
    worst = float(measured.max())
    assert worst <= limit, f"{what} reaches {worst:.4g}, above {limit:g}"


def at_least(what: str, measured: Tensor, limit: float) -> None:
    """Raise `AssertionError` where the least of some numbers is below a limit, or is no number."""
    worst = float(measured.min())
    assert worst >= limit, f"{what} falls to {worst:.4g}, below {limit:g}"
