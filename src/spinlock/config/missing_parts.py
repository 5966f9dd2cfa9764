"""Parts that a stored configuration names and no catalogue here has: of a plugin, or another version."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from spinlock.errors import MissingPartError, UnknownNameError, UsageError
from spinlock.initial_conditions.aliases import resolve_name
from spinlock.operators import families
from spinlock.rollout.policies import policies

CATALOGUES = {"family": families, "update_policy": policies}
"""Parameters whose choices are names of parts."""


@contextmanager
def naming_missing_parts(stored: Mapping[str, Any]) -> Iterator[None]:
    """Name, where work with a stored configuration fails over names, all its parts that are missing here.

    A dataset was made of it, so they were known where that was.

    Raises
    ------
    MissingPartError
        Instead of the `UsageError` that says which names there are.
    """
    try:
        yield
    except UsageError as error:
        missing = list(dict.fromkeys(_missing(stored)))
        if not missing:
            raise
        raise _missing_part_error(missing) from error


def _missing_part_error(missing: Sequence[str]) -> MissingPartError:
    more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
    return MissingPartError(
        f"the stored configuration names the {', the '.join(missing[:8])}{more}, not registered here: a "
        "plugin package has it, or another version of Spinlock. Install that package, or import the module "
        "that registers it; what is stored can be read without it, but not made again"
    )


def _missing(values: Mapping[str, Any]) -> Iterator[str]:
    for heading in _mapping(values.get("parameter_space")).values():
        for name, catalogue in CATALOGUES.items():
            choices = _mapping(_mapping(heading).get(name)).get("choices")
            for choice in choices if isinstance(choices, list) else ():
                if isinstance(choice, str) and choice not in catalogue:
                    yield f"{catalogue.what} {choice!r}"
    section = _mapping(_mapping(values.get("simulation")).get("input_generation"))
    labels = [section.get("method"), *_mapping(section.get("ic_type_weights"))]
    for label in labels:
        name = _mapping(section.get(label)).get("type", label) if isinstance(label, str) else None
        if isinstance(name, str) and name != "sampled" and not _is_known(name):
            yield f"initial condition {name!r}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_known(name: str) -> bool:
    try:
        resolve_name(name)
    except UnknownNameError:
        return False
    return True
