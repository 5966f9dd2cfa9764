"""The catalogues as plain values: what `list` prints, rendered from the declarations."""

from collections.abc import Callable, Mapping
from typing import Any

from spinlock.registry import Entry, Option, options_of, summary_of


def catalogue(name: str) -> list[dict[str, Any]]:
    """Return the entries of a catalogue: name, summary, facts, options with allowed values and defaults."""
    return _SOURCES[name]()


def described(entry: Entry, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as plain values."""
    return {
        "name": entry.name,
        "summary": entry.summary,
        **facts,
        "options": [option_facts(option) for option in entry.options.values()],
    }


def option_facts(option: Option) -> dict[str, Any]:
    """Return an option as plain values."""
    number = option.number
    return {
        "name": option.name,
        "allowed": option.allowed(),
        "default": _plain(option.default),
        "suggested": list(number.suggested) if number and number.suggested else None,
        "range": f"{option.name}_range" if option.rangeable else None,
    }


def _plain(value: Any) -> Any:
    """Return a default as JSON can hold it."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _initial_conditions() -> list[dict[str, Any]]:
    from spinlock.initial_conditions.catalogue import by_tier

    facts = ("tier", "domain", "periodic", "cost", "source")
    return [described(entry, {name: getattr(entry, name) for name in facts}) for entry in by_tier()]


def _operators() -> list[dict[str, Any]]:
    from spinlock.operators import families

    return [described(entry, entry.facts) for entry in families.entries()]


def _noise() -> list[dict[str, Any]]:
    from spinlock.numerics.noise import noise

    return [described(Entry("noise", noise, options_of(noise), summary_of(noise)), {})]


def _policies() -> list[dict[str, Any]]:
    from spinlock.rollout import policies

    return [described(entry, {}) for entry in policies.entries()]


def _codecs() -> list[dict[str, Any]]:
    from spinlock.storage.codecs import CODECS

    return [
        {
            "name": codec.name,
            "summary": f"{codec.summary}; compression_level {codec.levels[0]} to {codec.levels[1]}, "
            f"default {codec.default_level}",
            "options": [],
        }
        for codec in CODECS.values()
    ]


def _features() -> list[dict[str, Any]]:
    from spinlock.features.catalogue import features_of

    entries = features_of("field", "frame", "trajectory", "operator")
    names = ("index", "category", "level", "bounds", "unit", "minimum_frames", "minimum_channels")
    facts = (*names, "transform", "redundant_with")
    return [described(entry, {name: _plain(getattr(entry, name)) for name in facts}) for entry in entries]


def _aggregates() -> list[dict[str, Any]]:
    from spinlock.visualization.aggregates import aggregates

    return [
        described(entry, {name: getattr(entry, name) for name in ("kind", "colormap", "permutable")})
        for entry in aggregates.entries()
    ]


_SOURCES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "initial-conditions": _initial_conditions,
    "operators": _operators,
    "noise": _noise,
    "policies": _policies,
    "codecs": _codecs,
    "features": _features,
    "aggregates": _aggregates,
}
