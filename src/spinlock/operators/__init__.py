"""Operator families: the random networks applied once per step, each built from keys alone."""

from spinlock.operators.catalogue import (
    Operator,
    OperatorFamily,
    build,
    families,
    operator_digest,
    operator_family,
)

__all__ = ["Operator", "OperatorFamily", "build", "families", "operator_digest", "operator_family"]
