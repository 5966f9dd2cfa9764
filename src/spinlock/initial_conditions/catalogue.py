"""The declaration of an initial condition: a decorated function, from which everything else is derived."""

import itertools
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from spinlock.errors import OptionError
from spinlock.initial_conditions.pairs import PairsOption, holds_pairs
from spinlock.keys import check_sites
from spinlock.registry import Entry, Option, Real, Registry, When, options_of, summary_of, unknown_option

Tier = Literal["baseline", 1, 2, 3, 4]
TIERS: tuple[Tier, ...] = typing.get_args(Tier)
Cost = Literal["closed", "fft", "steps", "particles"]
Fault = tuple[tuple[str, ...], str]
"""Where an option is wrong (its name; part and name inside a part), and what is wrong with it."""

Check = Callable[[Mapping[str, Any], int | None], None]
"""Looks at all option values together, and at the grid size where it is known; raises `OptionError`."""

Draw = Callable[..., Any]
"""``draw(count, grid_size=64, num_channels=3, **options)`` gives fields [count, C, N, N] of one type."""


@dataclass(frozen=True)
class Law:
    """Something that the fields of a type obey: a sentence, and a check that raises `AssertionError`."""

    statement: str
    check: Callable[[Draw], None]

    def __call__(self, draw: Draw) -> None:
        """Check the law on fields that ``draw`` gives."""
        self.check(draw)


NORMALIZE_MODES = ("none", "rms", "maxabs", "minmax")
SCALED = When("normalize", ("rms", "maxabs", "minmax"))
SHIFTED = When("normalize", ("minmax",))
NORMALIZATION = {
    option.name: option
    for option in (
        Option("normalize", "choice", "none", choices=NORMALIZE_MODES),
        Option("normalize_factor", "real", None, Real(1e-30, 1e30), nullable=True, when=SCALED),
        Option("normalize_offset", "real", None, Real(-1e30, 1e30), nullable=True, when=SHIFTED),
    )
}
"""Options of every type beside its own; a factor and offset that are given replace the measured ones."""

registry: "Registry[InitialCondition]" = Registry("initial condition", "spinlock.initial_conditions")
"""Every type of initial condition, by name."""


@dataclass(frozen=True, kw_only=True)
class InitialCondition(Entry):
    """One type of initial condition.

    Attributes
    ----------
    domain, tier, source
        The field of science, the group it is shown with, and the publication of its model.
    sites
        Names of the independent random quantities it draws.
    native
        Channels that one draw gives: 1 where channels are independent draws, else 3.
    periodic
        Whether its statistics are those of a field on the torus: unchanged when it is rolled.
    cost
        Closed form, a few FFTs, simulation steps, or a loop over particles.
    copies
        Whether channels may be multiples of each other, as the two states of a shock are.
    pixelwise
        Whether its finest structure is one pixel on every grid, as symbols drawn one by one and the cells of
        a cluster are: its spectrum then depends on the grid, and a law of its own tells which lengths scale.
    laws
        What a correct generator obeys; one generic test runs them all.
    drawn
        Options drawn for each sample by default, with their ranges.
    check
        Looks at all values together.
    """

    domain: str
    tier: Tier
    source: str
    sites: tuple[str, ...]
    native: int
    periodic: bool
    cost: Cost
    copies: bool = False
    pixelwise: bool = False
    laws: tuple[Law, ...] = ()
    drawn: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    check: Check | None = None

    @property
    def as_part(self) -> "InitialCondition":
        """The same type as a part of another one, which does the normalising."""
        own = {name: option for name, option in self.options.items() if name not in NORMALIZATION}
        return replace(self, options=own)

    def check_options(self, given: Mapping[str, Any], grid_size: int | None = None) -> dict[str, Any]:
        """Return the given options in canonical form; every fault is named in one `OptionError`."""
        checked, faults = self.examine(given, grid_size)
        if faults:
            raise OptionError(
                "; ".join(
                    ": ".join([self.name, *filter(None, [".".join(path)]), message])
                    for path, message in faults
                )
            )
        return checked

    def examine(
        self, given: Mapping[str, Any], grid_size: int | None = None
    ) -> tuple[dict[str, Any], list[Fault]]:
        """Return the given options that are allowed, in canonical form, and the faults of the others."""
        checked: dict[str, Any] = {}
        faults: list[Fault] = []
        for name, value in given.items():
            try:
                checked |= self._examine_one(str(name), value, given, faults)
            except OptionError as error:
                faults.append(((str(name),), str(error)))
        if not faults:
            faults += self._examine_together(checked, grid_size)
        return checked, faults

    def _examine_one(
        self, name: str, value: Any, given: Mapping[str, Any], faults: list[Fault]
    ) -> dict[str, Any]:
        option = self.options.get(name)
        if option is None:
            base = name.removesuffix("_range")
            pair = {base: given[base]} if base != name and base in given and base in self.options else {}
            if base == name or base not in self.options or not self.options[base].rangeable:
                raise unknown_option(self, name)
            return {name: super().check_options({**pair, name: value})[name]}
        if option.kind == "part":
            inner, inner_faults = registry[str(option.part)].as_part.examine(option.check(value))
            faults += [((name, *path), message) for path, message in inner_faults]
            return {name: inner}
        checked = option.check(value)
        if name.endswith("_range") and isinstance(checked, tuple) and checked[0] > checked[1]:
            raise OptionError(f"{name} = {value!r}: the lower end is above the upper one")
        return {name: checked}

    def _examine_together(self, checked: Mapping[str, Any], grid_size: int | None) -> Iterator[Fault]:
        complete = {**{name: option.default for name, option in self.options.items()}, **checked}
        for name in checked:
            option = self.options.get(name) or self.options[name.removesuffix("_range")]
            if not may_act(option, complete, self.options) and checked[name] is not None:
                yield (name,), f"has no effect here: it acts only where {condition(option)}"
        given = [checked.get(name) is not None for name in ("normalize_factor", "normalize_offset")]
        if complete.get("normalize") == "minmax" and given[0] != given[1]:
            yield (
                ("normalize",),
                "minmax takes normalize_factor and normalize_offset together, or measures both",
            )
        if self.check is None:
            return
        try:
            for corner in self.corners(checked):
                self.check(corner, grid_size)
        except OptionError as error:
            yield (), str(error)

    def corners(self, checked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield all option values, defaults included, once for each combination of the ends of drawn ones."""
        ranges = self.ranges(checked)
        fixed = {name: checked.get(name, option.default) for name, option in self.options.items()}
        for ends in itertools.product(*ranges.values()):
            yield fixed | dict(zip(ranges, ends, strict=True))

    def ranges(self, checked: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Return the options that are drawn for each sample, with their ranges."""
        found = {name: ends for name, ends in self.drawn.items() if name not in checked}
        for name in self.options:
            if f"{name}_range" in checked and self.options[name].rangeable:
                found[name] = checked[f"{name}_range"]
        return found


def may_act(option: Option, values: Mapping[str, Any], options: Mapping[str, Option]) -> bool:
    """Return whether an option acts beside these values; a choice that is still to be drawn may be any."""
    if option.when is None:
        return True
    value = values[option.when.option]
    if not option.when.values:
        return value is not None
    return value in option.when.values or value == (options[option.when.option].drawn_word or ())


def condition(option: Option) -> str:
    """Return in words where an option acts."""
    if option.when is None:
        return "always"
    if not option.when.values:
        return f"{option.when.option} is given"
    return (
        f"{option.when.option} is {' or '.join('null' if v is None else str(v) for v in option.when.values)}"
    )


def _own_options(function: Callable[..., Any]) -> dict[str, Option]:
    hints = typing.get_type_hints(function)
    return {
        name: PairsOption.of(option) if holds_pairs(hints[name]) else option
        for name, option in options_of(function).items()
    }


def _check_drawn(name: str, options: Mapping[str, Option], drawn: Mapping[str, Any]) -> None:
    for option in drawn:
        if option not in options or not options[option].rangeable:
            raise TypeError(f"{name}: {option!r} cannot be drawn: it must be an option PerSample")


def by_tier() -> list[InitialCondition]:
    """Return all entries, tier after tier, by name within one."""
    return sorted(registry.entries(), key=lambda entry: (TIERS.index(entry.tier), entry.name))


def initial_condition(
    *,
    domain: str,
    tier: Tier,
    source: str,
    sites: tuple[str, ...],
    cost: Cost,
    native: int = 3,
    periodic: bool = True,
    copies: bool = False,
    pixelwise: bool = False,
    laws: tuple[Law, ...] = (),
    drawn: Mapping[str, tuple[Any, Any]] | None = None,
    check: Check | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function ``(grid, keys, *, options) -> Fields [B, native, H, W]`` as an initial condition.

    Its keyword-only arguments are its options. Numbers annotated ``PerSample`` arrive as columns [B] on the
    grid's device, float32 or int64; every other option is one value for the call. Arguments as in
    `InitialCondition`. Raises `TypeError` or `ValueError` for a declaration that cannot work.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        options = _own_options(function) | NORMALIZATION
        check_sites(function.__name__, sites)
        check_sites(function.__name__, options)
        _check_drawn(function.__name__, options, drawn or {})
        entry = InitialCondition(
            function.__name__,
            function,
            options,
            summary_of(function),
            {"domain": domain, "tier": tier, "source": source, "periodic": periodic, "cost": cost},
            domain=domain,
            tier=tier,
            source=source,
            sites=sites,
            native=native,
            periodic=periodic,
            cost=cost,
            copies=copies,
            pixelwise=pixelwise,
            laws=laws,
            drawn=dict(drawn or {}),
            check=check,
        )
        registry.add(entry)
        return function

    return register
