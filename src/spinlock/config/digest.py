"""The plan's digest: what a configuration says about content and layout, and nothing else."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from spinlock.config.model import Config, InputGeneration, ParameterSpace, Storage
from spinlock.storage.codecs import find_codec

PLAN_FORMAT = 1
"""Raised when the same configuration comes to mean other data or another layout."""


def affects(field: FieldInfo) -> str:
    """Return what a field affects: content, layout, execution or label."""
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    return str(extra["affects"])


def decisive_values(config: Config) -> dict[str, Any]:
    """Return the values that decide content and layout, defaults left out.

    The headings of the parameter space, and fields that later versions add with a default, change nothing.
    """
    return _canonical(_decisive(config))


def _decisive(section: BaseModel) -> dict[str, Any]:
    if isinstance(section, ParameterSpace):
        return {name: _decisive(parameter) for name, parameter in section.parameters().items()}
    kept: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value, default = getattr(section, name), field.get_default(call_default_factory=True)
        if isinstance(value, BaseModel):
            kept[name] = _decisive(value)
        elif affects(field) in ("content", "layout") and value != default:
            kept[name] = value
    if isinstance(section, InputGeneration):
        kept["blocks"] = {label: block for label, block in section.blocks.items() if block}
    if isinstance(section, Storage) and kept.get("compression_level") == _usual_level(section):
        del kept["compression_level"]
    return {name: value for name, value in kept.items() if value != {}}


def _usual_level(storage: Storage) -> int:
    return find_codec(storage.compression).default_level


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def plan_digest(config: Config) -> str:
    """Return the SHA-256 of a configuration's decisive values: equal digests, equal arrays."""
    text = json.dumps(
        {"format": PLAN_FORMAT, **decisive_values(config)}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()
