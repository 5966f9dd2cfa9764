"""Load a configuration: read, override, validate, and tell every fault at once."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from spinlock.config.faults import config_error, faults_of
from spinlock.config.model import Config, Features, InputGeneration
from spinlock.config.semantics import semantic_faults
from spinlock.config.yaml_source import DEEPEST, Location, Source, parse_source, read_source
from spinlock.errors import ConfigError

Override = tuple[str, str, Any]
"""Where it was said (``--total-samples``), the dotted key, the value."""


GIVEN = "the configuration given"
"""What messages call a configuration that is no file."""


def load_config(source: str | Path | Mapping[str, Any], overrides: Sequence[Override] = ()) -> Config:
    """Return the validated configuration of a YAML file, or of the values that such a file would hold.

    Parameters
    ----------
    source
        The path of the file, or a mapping of sections: dictionaries, lists, words and numbers; paths and
        numbers of numpy are taken for what they hold.
    overrides
        Values that replace those of the file, as from the command line; they pass the same validation.

    Raises
    ------
    ConfigError
        Naming every fault with line, key, near miss and allowed values.
    """
    return validated(_given(source) if isinstance(source, Mapping) else read_source(source), overrides)


def _given(values: Mapping[str, Any]) -> Source:
    """Return values as the file that holds them would be read: JSON is YAML, and every value has one form."""
    try:
        text = json.dumps(values, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{GIVEN} holds what no file can hold: {error}") from None
    return replace(parse_source(text, GIVEN), lines={})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"{value!r:.60} is {type(value).__name__}, not a word, a number, a list or a dictionary")


def validated(source: Source, overrides: Sequence[Override] = ()) -> Config:
    """Return the configuration that a source and its overrides make, or raise `ConfigError`."""
    values = _copied(source.values)
    origins: dict[Location, str] = {}
    for said, key, value in overrides:
        location = tuple(key.split("."))
        _put(values, location, _copied(value), said)
        origins[location] = said
    faults = [*source.faults, *semantic_faults(values)]
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        told = {fault.location for fault in faults}
        faults += [fault for fault in faults_of(error, Config, values) if fault.location not in told]
        config = None
    if faults or config is None:
        raise config_error(source, faults, origins)
    return config


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list | tuple) else value


def _put(values: dict[str, Any], location: tuple[str, ...], value: Any, said: str) -> None:
    here = values
    for number, part in enumerate(location[:-1]):
        if here.get(part) is None:
            here[part] = {}
        here = here[part]
        if not isinstance(here, dict):
            key = ".".join(location[: number + 1])
            raise ConfigError(f"{said}: {key} is a value, not a section; replace the whole of it: {key}=…")
    here[location[-1]] = value


def parse_override(text: str) -> Override:
    """Return the override that ``--set key=value`` asks for; the value is read as YAML.

    Raises
    ------
    ConfigError
        If there is no key, one of too many parts, or the value is no YAML.
    """
    key, equals, written = text.partition("=")
    if not equals or not all(key.split(".")) or key.count(".") >= DEEPEST:
        raise ConfigError(f"--set {text:.100}: write key=value, such as `--set simulation.num_timesteps=64`")
    source = parse_source(written, f"--set {key}")
    if source.faults:
        raise config_error(source, source.faults, {})
    return f"--set {key}", key, source.values


def validated_features(section: Features, changes: Mapping[str, Any]) -> Features:
    """Return a section of features with values replaced by those of command line options.

    Raises
    ------
    ConfigError
        Naming each option whose value is not allowed.
    """
    values = {**section.model_dump(), **changes}
    try:
        return Features.model_validate(values)
    except ValidationError as error:
        faults = faults_of(error, Features, values)
        lines = [" ".join(filter(None, (*map(_flag, fault.location[:1]), fault.message))) for fault in faults]
        raise ConfigError("\n".join(lines)) from None


def _flag(key: str | int) -> str:
    return f"--{str(key).replace('_', '-')}:"


def config_from_stored(values: Mapping[str, Any]) -> Config:
    """Return the configuration that a dataset holds.

    Keys of later versions are dropped and missing ones take their defaults: older and newer files open.

    Raises
    ------
    ConfigError
        If what remains is no configuration.
    """
    known = _known_only(Config, values)
    try:
        return Config.model_validate(known)
    except ValidationError as error:
        source = Source("the stored configuration", known)
        raise config_error(source, faults_of(error, Config, known), {}) from None


def _known_only(annotation: Any, values: Any) -> Any:
    """Return the values without the keys that the model does not have."""
    if not isinstance(values, Mapping):
        return values
    if get_origin(annotation) is dict:
        return {key: _known_only(get_args(annotation)[1], value) for key, value in values.items()}
    fields = getattr(annotation, "model_fields", None)
    if fields is None:
        return values
    kept = {key: _known_only(fields[key].annotation, item) for key, item in values.items() if key in fields}
    if annotation is InputGeneration:
        labels = {kept.get("method"), *(kept.get("ic_type_weights") or {})}
        kept |= {key: item for key, item in values.items() if key in labels}
    return kept
