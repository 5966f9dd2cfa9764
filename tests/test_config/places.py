"""The places of a configuration: sections, keys with plain values, parameters, blocks of options."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from spinlock.config.allowed import Slot, slot_at
from spinlock.config.model import Config, InputGeneration, ParameterConfig

Location = tuple[str | int, ...]


def at(values: Any, location: Location) -> Any:
    for part in location:
        values = values[part]
    return values


def sections(values: Any, model: Any = Config, place: Location = ()) -> Iterator[tuple[Location, Any]]:
    """Yield (location, model) of every section that a configuration has, parameters among them."""
    yield place, model
    for name, field in model.model_fields.items():
        inner, here = field.annotation, (*place, name)
        if name not in values:
            continue
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from sections(values[name], inner, here)
        elif get_origin(inner) is dict and get_args(inner)[1] is ParameterConfig:
            for parameter in values[name]:
                yield (*here, parameter), ParameterConfig


def leaves(values: Any) -> Iterator[tuple[Location, Slot]]:
    """Yield every key with a plain value that the model itself describes."""
    for place, model in sections(values):
        for name in model.model_fields:
            slot = slot_at(Config, (*place, name))
            written = at(values, place)
            if name in written and not isinstance(written[name], dict) and None not in slot.kinds:
                yield (*place, name), slot


def parameters(values: Any) -> dict[str, Location]:
    """Return the location of every parameter by its name."""
    return {str(place[-1]): place for place, model in sections(values) if model is ParameterConfig}


def blocks(values: Any) -> dict[str, Location]:
    """Return the location of every block of an initial condition's options, by label."""
    place = ("simulation", "input_generation")
    return {
        label: (*place, label) for label in at(values, place) if label not in InputGeneration.model_fields
    }
