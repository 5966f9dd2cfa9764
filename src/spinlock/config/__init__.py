"""The configuration: YAML in, a strict `Config` out, every fault named with its line.

Importing this package is cheap; the catalogues (and with them torch) are imported by `load_config`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spinlock.config.json_schema import config_schema
    from spinlock.config.load import config_from_stored, load_config
    from spinlock.config.model import Config

__all__ = ["Config", "config_from_stored", "config_schema", "load_config"]

_HOMES = {
    "Config": "model",
    "config_from_stored": "load",
    "config_schema": "json_schema",
    "load_config": "load",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
