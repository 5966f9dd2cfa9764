"""Initial conditions: keyed random fields on the torus, one file per type."""

from typing import TYPE_CHECKING, Any

from spinlock.initial_conditions.catalogue import InitialCondition, initial_condition, registry

if TYPE_CHECKING:
    from spinlock.initial_conditions.generation import generate

__all__ = ["InitialCondition", "generate", "initial_condition", "registry"]


def __getattr__(name: str) -> Any:
    """Import `generate` when it is asked for: the catalogue itself does without torch."""
    if name == "generate":
        from spinlock.initial_conditions.generation import generate

        return generate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
