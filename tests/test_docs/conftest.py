"""Pages and examples register parts of their own: what one registers, the next does not see."""

import sys
from collections.abc import Iterator

import pytest

from spinlock.execution.feature_layout import feature_layout, feature_schema
from spinlock.features import registry as features
from spinlock.initial_conditions import registry as initial_conditions
from spinlock.operators import families
from spinlock.registry import Registry
from spinlock.rollout import policies

CATALOGUES: tuple[Registry, ...] = (initial_conditions, families, features, policies)


def forget_columns() -> None:
    """Have the columns of the feature tables taken from the catalogue again."""
    feature_layout.cache_clear()
    feature_schema.cache_clear()
    extraction = sys.modules.get("spinlock.features.extraction")
    if extraction is not None:
        extraction.columns.cache_clear()


@pytest.fixture(autouse=True)
def unchanged_catalogues() -> Iterator[None]:
    """Take parts that a test registered out of the catalogues again."""
    before = [set(catalogue) for catalogue in CATALOGUES]
    forget_columns()
    yield
    for catalogue, names in zip(CATALOGUES, before, strict=True):
        for name in set(catalogue) - names:
            catalogue.remove(name)
    forget_columns()
