"""Named functions with validated options: a part is declared once, everything else is derived from it.

A decorated function's keyword-only arguments are its options. Their annotations say what values are allowed::

    length_scale: Annotated[PerSample, Real(0.005, 0.4, unit="side", log=True)] = 0.1
    kernel: Literal["rbf", "matern", "white"] = "rbf"

From that declaration come the configuration, the command-line listing, the documentation and the tests.
"""

import difflib
import importlib
import inspect
import pkgutil
import threading
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from typing import Annotated, Any, Generic, Literal, TypeVar

from spinlock.errors import OptionError, UnknownNameError, UsageError


@dataclass(frozen=True)
class Real:
    """A real option in [low, high], in ``unit``; ``log``: ranges are so; ``suggested``: good values."""

    low: float
    high: float
    unit: str = ""
    log: bool = False
    suggested: tuple[float, float] | None = None


@dataclass(frozen=True)
class Integer:
    """An integer option in [low, high], in ``unit``; ``odd``: odd ones alone; ``suggested``: good values."""

    low: int
    high: int
    unit: str = ""
    odd: bool = False
    suggested: tuple[int, int] | None = None


@dataclass(frozen=True)
class AnyOf:
    """Marks a choice option that also accepts ``word``: one of the choices is then drawn for each sample."""

    word: str


@dataclass(frozen=True)
class When:
    """Marks an option that acts only where another one has one of ``values`` (none: wherever it is given)."""

    option: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Part:
    """Marks an option that holds the options of another catalogue entry."""

    entry: str


Kind = Literal["real", "integer", "choice", "boolean", "reals", "integers", "choices", "part"]


@dataclass(frozen=True)
class Option:
    """One option of a catalogue entry: its name, kind, default and allowed values.

    ``number``: the interval; ``choices``, and ``drawn_word`` for one of them drawn for each sample;
    ``per_sample``: a value for each is accepted; ``nullable``: null is; ``length``: that of a list, None for
    any; ``part``: the entry whose options it holds; ``when``: the option that it depends on.
    """

    name: str
    kind: Kind
    default: Any
    number: Real | Integer | None = None
    choices: tuple[Any, ...] = ()
    drawn_word: str | None = None
    per_sample: bool = False
    nullable: bool = False
    length: int | None = None
    part: str | None = None
    when: When | None = None

    @property
    def rangeable(self) -> bool:
        """Whether ``<name>_range: [low, high]`` is accepted, a value being drawn for each sample."""
        return self.per_sample and self.kind in ("real", "integer")

    def allowed(self) -> str:
        """Return the allowed values in words, as error messages and listings show them."""
        inner = self._allowed_item()
        if self.kind in ("reals", "integers", "choices"):
            inner = f"{self.length or 'a list of'} values, each {inner}"
        return f"{inner} or null" if self.nullable else inner

    def _allowed_item(self) -> str:
        if self.kind in ("choice", "choices"):
            words = [repr(c) if not isinstance(c, str) else c for c in self.choices]
            return "one of " + ", ".join(words + ([self.drawn_word] if self.drawn_word else []))
        if self.kind == "boolean":
            return "true or false"
        if self.kind == "part":
            return f"options of {self.part}"
        assert self.number is not None
        odd = "odd " if isinstance(self.number, Integer) and self.number.odd else ""
        noun = "integer" if isinstance(self.number, Integer) else "number"
        unit = f" {self.number.unit}" if self.number.unit else ""
        shown = "d" if isinstance(self.number, Integer) else "g"
        article = "an" if (odd + noun)[0] in "aeiou" else "a"
        return f"{article} {odd}{noun} in [{self.number.low:{shown}}, {self.number.high:{shown}}]{unit}"

    def check(self, value: Any) -> Any:
        """Return ``value`` in canonical form, or raise `OptionError` with the allowed values."""
        if value is None and self.nullable:
            return None
        if self.kind in ("reals", "integers", "choices"):
            if (
                not isinstance(value, list | tuple)
                or (self.length is not None and len(value) != self.length)
                or not value
            ):
                raise self._refusal(value)
            return tuple(self._check_item(item) for item in value)
        return self._check_item(value)

    def _check_item(self, value: Any) -> Any:
        if self.kind in ("choice", "choices"):
            return self._check_choice(value)
        if self.kind == "boolean":
            if isinstance(value, bool):
                return value
            raise self._refusal(value)
        if self.kind == "part":
            if isinstance(value, Mapping):
                return dict(value)
            raise self._refusal(value)
        return self._check_number(value)

    def _check_choice(self, value: Any) -> Any:
        words = self.choices + ((self.drawn_word,) if self.drawn_word else ())
        for choice in words:
            if type(choice) is type(value) and choice == value:
                return choice
        raise self._refusal(value, near=near_miss(value, [w for w in words if isinstance(w, str)]))

    def _check_number(self, value: Any) -> float | int:
        number = self.number
        assert number is not None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refusal(value)
        if not number.low <= value <= number.high:
            raise self._refusal(value)
        if isinstance(number, Real):
            return float(value)
        if int(value) != value or (number.odd and int(value) % 2 == 0):
            raise self._refusal(value)
        return int(value)

    def _refusal(self, value: Any, near: str | None = None) -> OptionError:
        hint = f" (did you mean {near!r}?)" if near else ""
        return OptionError(f"{self.name} = {value!r} is not allowed{hint}: it must be {self.allowed()}")


def near_miss(word: Any, known: Iterable[str]) -> str | None:
    """Return the known name closest to ``word``, or None if none is close."""
    if not isinstance(word, str):
        return None
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), list(names), n=1, cutoff=0.6)
    return names[close[0]] if close else None


def unknown_name(what: str, name: Any, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name that no entry has: near miss first, then all that are allowed."""
    names = sorted(known)
    near = near_miss(name, names)
    hint = f" (did you mean {near!r}?)" if near else ""
    return UnknownNameError(f"unknown {what} {name!r}{hint}; known: {', '.join(names)}")


def options_of(function: Callable[..., Any]) -> dict[str, Option]:
    """Return the options that a function's keyword-only arguments declare."""
    hints = typing.get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    return {
        name: _option(name, hints[name], parameter.default)
        for name, parameter in signature.parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _option(name: str, hint: Any, default: Any) -> Option:
    if default is inspect.Parameter.empty:
        raise TypeError(f"option {name!r} has no default")
    marks: tuple[Any, ...] = ()
    if typing.get_origin(hint) is Annotated:
        hint, *rest = typing.get_args(hint)
        marks = tuple(rest)
    number = next((m for m in marks if isinstance(m, Real | Integer)), None)
    word = next((m.word for m in marks if isinstance(m, AnyOf)), None)
    part = next((m.entry for m in marks if isinstance(m, Part)), None)
    when = next((m for m in marks if isinstance(m, When)), None)
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    nullable = type(None) in members
    members = tuple(m for m in members if m is not type(None))
    sequence = next((m for m in members if typing.get_origin(m) is tuple), None)
    length = None
    if sequence is not None:
        items = typing.get_args(sequence)
        length = None if items[-1] is Ellipsis else len(items)
        members = (items[0],)
    literal = next((m for m in members if typing.get_origin(m) is Literal), None)
    choices = typing.get_args(literal) if literal is not None else ()
    per_sample = number is not None and sequence is None and any(_is_array(m) for m in members)
    kind = _kind(name, members, number, choices, part, plural=sequence is not None)
    return Option(name, kind, default, number, choices, word, per_sample, nullable, length, part, when)


def _is_array(member: Any) -> bool:
    return hasattr(member, "array_type")  # jaxtyping's mark on Float[Tensor, "..."]


def _kind(
    name: str,
    members: tuple[Any, ...],
    number: Any,
    choices: tuple[Any, ...],
    part: str | None,
    *,
    plural: bool,
) -> Kind:
    if part is not None:
        return "part"
    if choices:
        return "choices" if plural else "choice"
    if isinstance(number, Integer):
        return "integers" if plural else "integer"
    if isinstance(number, Real):
        return "reals" if plural else "real"
    if members == (bool,):
        return "boolean"
    raise TypeError(f"option {name!r}: annotate it with bool, Literal, Real(...), Integer(...) or Part(...)")


@dataclass(frozen=True)
class Entry:
    """A catalogue entry: name, function, options, first sentence (``summary``), other ``facts``."""

    name: str
    function: Callable[..., Any]
    options: dict[str, Option]
    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a declaration whose own defaults are not allowed."""
        for option in self.options.values():
            try:
                option.check(option.default)
            except OptionError as error:
                raise TypeError(f"{self.name}: the default {error}") from None

    def check_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given options in canonical form; unknown names and bad values raise `OptionError`.

        ``<name>_range: [low, high]`` is accepted for every per-sample number and kept under that name.
        """
        checked: dict[str, Any] = {}
        for name, value in given.items():
            if name in self.options:
                checked[name] = self.options[name].check(value)
                continue
            base = self.options.get(str(name).removesuffix("_range"))
            if base is None or not base.rangeable or not str(name).endswith("_range"):
                raise unknown_option(self, name)
            if base.name in given:
                raise OptionError(
                    f"{base.name} and {name} are both given: one fixes the value, the other draws it"
                )
            checked[name] = check_range(base, name, value)
        return checked

    def option_names(self) -> list[str]:
        """Return every name that `check_options` accepts."""
        return [*self.options, *(f"{o.name}_range" for o in self.options.values() if o.rangeable)]


def check_range(option: Option, name: str, value: Any) -> tuple[Any, Any]:
    """Return a drawn option's range as an ascending pair within its limits, or raise `OptionError`."""
    end = replace(option, name=f"an end of {name}", nullable=False)
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise OptionError(f"{name} = {value!r} is not a range: write [low, high], each {end.allowed()}")
    low, high = end.check(value[0]), end.check(value[1])
    if low > high:
        raise OptionError(f"{name} = {value!r}: the lower end is above the upper one")
    return low, high


def unknown_option(entry: Entry, name: Any) -> OptionError:
    """Return the error for an option that an entry does not have."""
    near = near_miss(name, entry.option_names())
    hint = f" (did you mean {near!r}?)" if near else ""
    known = ", ".join(entry.option_names()) or "none"
    return OptionError(f"{entry.name} has no option {name!r}{hint}; it has: {known}")


E = TypeVar("E", bound=Entry)


class Registry(Generic[E]):
    """A catalogue: entries by name, found in one package's files and through an entry-point group."""

    def __init__(self, what: str, package: str) -> None:
        self.what = what
        self._package = package
        self._entries: dict[str, E] = {}
        self._loaded = False
        self._loading = threading.local()

    def add(self, entry: E) -> None:
        """Register an entry; `UsageError` where another function has its name."""
        taken = self._entries.get(entry.name)
        if taken is not None and _address(taken.function) != _address(entry.function):
            places = f"{_address(taken.function)} and {_address(entry.function)}"
            raise UsageError(f"{self.what} {entry.name!r} is declared twice: {places}")
        self._entries[entry.name] = entry

    def remove(self, name: str) -> None:
        """Take an entry out again."""
        del self._entries[name]

    def load(self) -> "Registry[E]":
        """Import every module of the package and every plugin of the entry-point group, once.

        Modules may look into the catalogue while they are imported: their thread sees what is there so far.
        Another thread that asks meanwhile imports too, and so waits for the modules it needs.
        """
        if not self._loaded and not getattr(self._loading, "here", False):
            self._loading.here = True
            try:
                package = importlib.import_module(self._package)
                for module in pkgutil.iter_modules(package.__path__, f"{self._package}."):
                    importlib.import_module(module.name)
                for plugin in entry_points(group=self._package):
                    plugin.load()
                self._loaded = True
            finally:
                self._loading.here = False
        return self

    def __getitem__(self, name: str) -> E:
        """Return the entry of that name, or raise `UnknownNameError` with the near miss."""
        self.load()
        entry = self._entries.get(name)
        if entry is None:
            raise unknown_name(self.what, name, self._entries)
        return entry

    def __contains__(self, name: object) -> bool:
        """Return whether an entry has that name."""
        self.load()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, sorted."""
        self.load()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        """Return the number of entries."""
        self.load()
        return len(self._entries)

    def entries(self) -> list[E]:
        """Return all entries, by name."""
        return [self[name] for name in self]


def _address(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def summary_of(function: Callable[..., Any]) -> str:
    """Return the first sentence of a function's docstring; `TypeError` for a part without one."""
    doc = inspect.getdoc(function)
    if not doc:
        raise TypeError(f"{function.__module__}.{function.__name__} has no docstring")
    return " ".join(doc.split("\n\n")[0].split())
