"""YAML as the configuration reads it: safe, with the line of every key, and no surprises.

Two departures from PyYAML's defaults, both silent traps otherwise: ``1e-5`` is a number (YAML 1.2), and a key
that stands twice is an error. Anchors and aliases are refused: a configuration needs none, and they let a few
lines grow without bound.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from spinlock.errors import ConfigError

Location = tuple[str | int, ...]

LARGEST_FILE = 1 << 20
"""Bytes; a configuration is a page or two."""

DEEPEST = 32
"""Levels of nesting."""


class _Loader(yaml.SafeLoader):
    """The safe loader with YAML 1.2 floats."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)


@dataclass(frozen=True)
class Source:
    """Where a configuration came from: its name, its plain values, and the line of each key."""

    name: str
    values: Any
    lines: dict[Location, int] = field(default_factory=dict)

    def line(self, location: Location) -> int | None:
        """Return the line of a key, or of the nearest key that holds it."""
        for end in range(len(location), -1, -1):
            if location[:end] in self.lines:
                return self.lines[location[:end]]
        return None


def read_source(path: str | Path) -> Source:
    """Read a YAML file.

    Raises
    ------
    ConfigError
        If the file cannot be read, is no YAML, holds a key twice, or uses aliases.
    """
    file = Path(path)
    try:
        if file.is_file() and file.stat().st_size > LARGEST_FILE:
            raise ConfigError(f"{file}: larger than {LARGEST_FILE >> 20} MiB; this is not a configuration")
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file; give the path of a YAML configuration{_examples(file)}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not a text file ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    return parse_source(text, str(file))


def _examples(file: Path) -> str:
    folder = file.parent if file.parent.is_dir() else Path("configs/experiments")
    found = sorted(str(p) for p in folder.glob("*.yaml"))[:4]
    return f" (there are: {', '.join(found)})" if found else ""


def parse_source(text: str, name: str) -> Source:
    """Parse YAML text; ``name`` stands in the error messages."""
    try:
        loader = _Loader(text)
        try:
            _refuse_aliases(loader, name)
        finally:
            loader.dispose()
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[Location, int] = {}
            if node is not None:
                _walk(node, (), lines, name)
            values = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}, line {mark.line + 1}" if mark else name
        raise ConfigError(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: a configuration is a mapping of sections such as `sampling:`; this file holds {_kind(values)}")
    return Source(name, values, lines)


def _kind(values: Any) -> str:
    return "nothing" if values is None else f"a {type(values).__name__}"


def _refuse_aliases(loader: _Loader, name: str) -> None:
    depth = 0
    while loader.check_event():
        event = loader.get_event()
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{name}, line {event.start_mark.line + 1}: aliases (*{event.anchor}) are not allowed; write the values out")
        if depth > DEEPEST:
            raise ConfigError(f"{name}, line {event.start_mark.line + 1}: nested more than {DEEPEST} levels deep")


def _walk(node: yaml.Node, location: Location, lines: dict[Location, int], name: str) -> None:
    lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _walk(item, (*location, number), lines, name)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{name}, line {line}: a key must be a word")
        here = (*location, key.value)
        if here in lines:
            raise ConfigError(f"{name}, line {line}: key {key.value!r} stands twice, first on line {lines[here]}")
        lines[here] = line
        _walk(value, here, lines, name)
