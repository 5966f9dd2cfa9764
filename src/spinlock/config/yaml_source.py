"""YAML as the configuration reads it: plain values, with the line of every key, and no surprises.

Scalars are those of YAML 1.2 (``1e-5`` is a number, ``010`` is ten, ``no`` is a word), with ``10_000`` beside
them. What else YAML has is refused, because a configuration needs none of it: a key that stands twice, keys
that are no words, tags, and anchors, which let a few lines grow without bound.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from spinlock.errors import ConfigError
from spinlock.registry import near_miss

Location = tuple[str | int, ...]

LARGEST_FILE = 1 << 18
"""Bytes; a configuration is a page or two."""

DEEPEST = 32
"""Levels of nesting."""

MOST_VALUES = 10_000
"""Keys and values together; the largest space needs a tenth of them."""

LARGEST_INTEGER = 2**64
"""No key takes a greater one."""

WORDS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
} | dict.fromkeys(("", "~", "null", "Null", "NULL"))
INTEGER = re.compile(r"[-+]?[0-9]+(_[0-9]+)*|0x[0-9a-fA-F]+")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_A_NUMBER = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a configuration, and the key it is wrong with."""

    location: Location
    message: str


@dataclass(frozen=True)
class Source:
    """Where a configuration came from: name, plain values, the line of each key, faults of form."""

    name: str
    values: Any
    lines: dict[Location, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    def line(self, location: Location) -> int | None:
        """Return the line of a key, or of the nearest key that holds it."""
        for end in range(len(location), 0, -1):
            if location[:end] in self.lines:
                return self.lines[location[:end]]
        return None


def read_source(path: str | Path) -> Source:
    """Read a YAML file.

    Raises
    ------
    ConfigError
        If it is no regular file, cannot be read, is no YAML, or is no mapping of sections.
    """
    file = Path(path)
    try:
        text = _content(file).decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file{_neighbours(file)}") from None
    except UnicodeDecodeError as error:
        wide = error.object.startswith((b"\xff\xfe", b"\xfe\xff"))
        reason = "it looks like UTF-16: save it as UTF-8" if wide else f"{error.reason} at byte {error.start}"
        raise ConfigError(f"{file}: not a text file ({reason}); give a configuration in YAML") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{str(file)!r} holds a character that no file name can hold") from None
    source = parse_source(text, str(file))
    if not isinstance(source.values, dict):
        raise ConfigError(
            f"{file}: a configuration is a mapping of sections, such as `sampling:`; "
            f"this file holds {_kind(source.values)}"
        )
    return source


def _content(file: Path) -> bytes:
    """Return the bytes of a regular file; anything else could block, or never end."""
    if file.is_dir():
        raise ConfigError(f"{file}: a directory; give the path of a YAML file{_neighbours(file / '_')}")
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = "a pipe" if stat.S_ISFIFO(mode) else "a device"
            raise ConfigError(
                f"{file}: {kind}, not a file; save the configuration in a file and give its path"
            )
        content = stream.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"{file}: larger than {LARGEST_FILE >> 10} KiB; this is not a configuration")
    return content


def _neighbours(file: Path) -> str:
    folders = file.parent, Path("configs/experiments")
    found = next(filter(None, ({path.name: path for path in sorted(f.glob("*.yaml"))} for f in folders)), {})
    near = near_miss(file.name, found) or near_miss(f"{file.name}.yaml", found)
    if near:
        return f" (did you mean {str(found[near])!r}?)"
    if found:
        return f" (there are: {', '.join(str(path) for path in list(found.values())[:4])})"
    return "; give the path of a YAML configuration"


def _kind(values: Any) -> str:
    return (
        "nothing" if values is None else "a list" if isinstance(values, list) else f"the value {values!r:.60}"
    )


def parse_source(text: str, name: str) -> Source:
    """Return what YAML text holds, of whatever kind; ``name`` stands in the error messages.

    Raises
    ------
    ConfigError
        If the text is no YAML, or nested too deep to be a configuration.
    """
    reading = _Reading()
    try:
        _refuse_extras(text, name)
        node = yaml.compose(text, yaml.SafeLoader)
        values = None if node is None else reading.value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}, line {mark.line + 1}" if mark else name
        raise ConfigError(f"{where}: not valid YAML: {_problem(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise ConfigError(
            f"{name}, line {line}: not a text file: it holds the character {error.character:#06x}"
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ConfigError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from None
    return Source(name, values, reading.lines, tuple(reading.faults))


REMEDIES = {
    "'\\t'": "indent with spaces, not tabs",
    "another document": "`---` begins a second document, and a configuration is one",
    "mapping values are not allowed": "check the indentation, or put quotes around a value that holds `: `",
    "<block": "check the indentation of this line and of those above",
    "end of stream": "a quote or bracket is not closed",
    "<stream end>": "a quote or bracket is not closed",
    "',' or": "a bracket is not closed, or a comma is missing",
}
"""What to do, by a part of what the parser says."""


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "it cannot be read"
    remedy = next((remedy for part, remedy in REMEDIES.items() if part in problem), None)
    return f"{problem} ({remedy})" if remedy else problem


def _refuse_extras(text: str, name: str) -> None:
    """Refuse anchors, aliases, tags, and what is too deep or too much, before anything walks it."""
    depth = values = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        values += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1
        if depth > DEEPEST:
            raise ConfigError(
                f"{name}, line {line}: nested more than {DEEPEST} levels deep; this is not a configuration"
            )
        if values > MOST_VALUES:
            raise ConfigError(
                f"{name}, line {line}: holds more than {MOST_VALUES:,} values; this is not a configuration"
            )
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise ConfigError(
                f"{name}, line {line}: anchors and aliases (here {event.anchor!r}) are not allowed; "
                "write the values out"
            )
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise ConfigError(
                f"{name}, line {line}: tags ({event.tag}) are not allowed; put quotes around what is text"
            )


class _Reading:
    """The values of a document, and the lines and faults met on the way."""

    def __init__(self) -> None:
        self.lines: dict[Location, int] = {}
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node, location: Location) -> Any:
        """Return the plain value of a node."""
        if isinstance(node, yaml.MappingNode):
            return {key: self.value(item, (*location, key)) for key, item in self._items(node, location)}
        if isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self.lines[*location, number] = item.start_mark.line + 1
            return [self.value(item, (*location, number)) for number, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        if UNSTORABLE.search(node.value):
            self.faults.append(Fault(location, "holds a character that text files cannot hold"))
            return ""
        return node.value if node.style in ("'", '"', "|", ">") else self._plain(node.value, location)

    def _items(self, node: yaml.MappingNode, location: Location) -> Iterator[tuple[str, yaml.Node]]:
        first: dict[str, int] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or UNSTORABLE.search(key.value):
                self.faults.append(Fault(location, f"a key on line {line} is no word"))
                continue
            word, here = key.value, (*location, key.value)
            self.lines[here] = line
            if key.style is None and not isinstance(self._plain(word, here), str):
                self.faults.append(
                    Fault(here, f"a key must be a word; if {word!r} is meant as one, put it in quotes")
                )
            if word in first:
                self.faults.append(
                    Fault(here, f"stands twice, first on line {first[word]}; keep one of them")
                )
            first.setdefault(word, line)
            yield word, item

    def _plain(self, word: str, location: Location) -> Any:
        """Return what a scalar without quotes means."""
        if word in WORDS:
            return WORDS[word]
        if INTEGER.fullmatch(word):
            digits = word.replace("_", "").lstrip("+")
            value = (
                int(digits, 16 if digits.startswith("0x") else 10)
                if len(digits) < 40
                else 2 * LARGEST_INTEGER
            )
            if abs(value) > LARGEST_INTEGER:
                self.faults.append(
                    Fault(location, f"{word:.40} is beyond any integer that a configuration takes")
                )
                return 0
            return value
        if NUMBER.fullmatch(word):
            return float(word.replace("_", ""))
        match = NOT_A_NUMBER.fullmatch(word)
        return float(f"{match[1] or ''}{'inf' if match[2] else 'nan'}") if match else word
