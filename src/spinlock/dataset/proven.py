"""What a damaged file says of itself, believed where its sealed digests prove it, or this machine agrees."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch

from spinlock.config.values import SDF_CATEGORIES
from spinlock.dataset.feature_facts import feature_facts
from spinlock.dataset.statements import MALFORMED
from spinlock.execution.devices import resolve_devices
from spinlock.execution.environment import numerical_environment
from spinlock.execution.feature_layout import FeatureChoice
from spinlock.execution.plan import Plan
from spinlock.storage.feature_layout import SDF
from spinlock.storage.salvage import Remains, feature_digests
from spinlock.storage.schema import Layout


def environments_are_here(environments: Iterable[Mapping[str, str]], plan: Plan) -> bool:
    """Return whether environments that nothing proves are all those of this machine."""
    devices = {*resolve_devices(plan.config), torch.device("cpu")}
    here = [numerical_environment(device) for device in devices]
    return all(one in here for one in environments)


def proven_choice(
    remains: Remains, layout: Layout, candidates: Iterable[FeatureChoice]
) -> FeatureChoice | None:
    """Return which of some choices of features a file was sealed with, None if with none of them."""
    sealed = remains.listed.get(SDF)
    if sealed is None:
        return None
    tried = list(candidates)
    digests = feature_digests(layout, (_conventions(choice) for choice in tried))
    return next((choice for choice, digest in zip(tried, digests, strict=True) if digest == sealed), None)


def possible_choices(plan: Plan, version: str, stated: str) -> Iterator[FeatureChoice]:
    """Yield the choices of features that there are in a version: what a file states, and its plan, first.

    Categories that were asked for in another order than theirs are found only there.
    """
    known = SDF_CATEGORIES.get(version, ())
    try:
        categories: Sequence[Any] = json.loads(stated)
        if isinstance(categories, list) and len(categories) <= len(known) and set(categories) <= set(known):
            yield FeatureChoice(version, tuple(categories))
    except MALFORMED:
        pass
    asked = FeatureChoice.of(plan.config.features)
    if asked.version == version:
        yield asked
    for count in range(len(known), 0, -1):
        yield from (FeatureChoice(version, chosen) for chosen in combinations(known, count))


def _conventions(choice: FeatureChoice) -> Mapping[str, Any]:
    return feature_facts(choice, [], np.zeros(1)).conventions
