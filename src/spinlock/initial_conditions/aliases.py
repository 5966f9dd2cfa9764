"""Other names of the types: ``random``, and variants as ``localized_v2`` or ``multiscale_grf_high``."""

import re
from collections.abc import Mapping
from typing import Any

from spinlock.initial_conditions.catalogue import InitialCondition, registry
from spinlock.registry import unknown_name

ALIASES: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("gaussian_random_field", {}),
    "multiscale_grf_low": ("multiscale_grf", {"bands": [[1, 4]]}),
    "multiscale_grf_mid": ("multiscale_grf", {"bands": [[6, 14]]}),
    "multiscale_grf_high": ("multiscale_grf", {"bands": [[20, 48]]}),
}
"""Names with a type and option values of their own; bands in cycles per side."""

VARIANT = re.compile(r"_(v\d+|low|mid|high)$")


def resolve_name(label: Any) -> tuple[str, dict[str, Any]]:
    """Return the type that a label names and the option values it stands for.

    A label is a type, an alias, or either of them followed by ``_v<digits>``, ``_low``, ``_mid`` or
    ``_high``, which only tell variants apart. Raises `UnknownNameError` with the near miss.
    """
    name = label
    while True:
        if not isinstance(name, str):
            raise unknown_name("initial condition", label, [*registry, *ALIASES])
        if name in registry:
            return name, {}
        if name in ALIASES:
            base, preset = ALIASES[name]
            return base, dict(preset)
        if VARIANT.search(name) is None:
            raise unknown_name("initial condition", label, [*registry, *ALIASES])
        name = VARIANT.sub("", name)


def with_preset(
    entry: InitialCondition, preset: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return given options over those an alias stands for.

    A preset value gives way where a given option would have no effect beside it, as the band of
    ``multiscale_grf_low`` to ``scales``.
    """
    conditions = (entry.options[name].when for name in options if name in entry.options)
    steering = {condition.option for condition in conditions if condition is not None}
    return {name: value for name, value in preset.items() if name not in steering} | dict(options)
