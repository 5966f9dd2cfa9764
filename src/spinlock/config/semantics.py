"""What the model alone cannot know: whether names and values exist in the catalogues and act."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from spinlock.config.faults import Fault
from spinlock.config.model import InputGeneration, ParameterConfig, Storage
from spinlock.config.parameters import DEFAULT_FAMILY, HEADINGS, known_parameters
from spinlock.errors import OptionError, SpinlockError
from spinlock.initial_conditions.mixture import MixtureError, parse_mixture
from spinlock.operators import families
from spinlock.registry import Integer, Option, near_miss
from spinlock.sampling import Parameter
from spinlock.storage.codecs import find_codec

LARGEST_SPACE = 127
"""Parameters; one more Sobol dimension picks the initial condition."""

Named = dict[str, tuple[tuple[str, ...], ParameterConfig]]


def semantic_faults(values: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of raw values that only the catalogues can tell, in every part that is well formed."""
    faults: list[Fault] = []
    space = values.get("parameter_space")
    if isinstance(space, Mapping):
        faults += _space_faults(space)
    simulation = values.get("simulation")
    if isinstance(simulation, Mapping) and isinstance(simulation.get("input_generation"), Mapping):
        faults += _initial_condition_faults(simulation["input_generation"])
    dataset = values.get("dataset")
    if isinstance(dataset, Mapping) and isinstance(dataset.get("storage"), Mapping):
        faults += _storage_faults(dataset["storage"], simulation if isinstance(simulation, Mapping) else {})
    return faults


def _storage_faults(raw: Mapping[str, Any], simulation: Mapping[str, Any]) -> Iterator[Fault]:
    try:
        storage = Storage.model_validate(dict(raw))
    except ValidationError:
        return
    try:
        find_codec(storage.compression).check_level(storage.compression_level)
    except OptionError as error:
        yield Fault(("dataset", "storage", "compression_level"), str(error))
    steps = simulation.get("num_timesteps", 1)
    every = storage.trajectories["every"] if isinstance(storage.trajectories, dict) else 1
    if type(steps) is int and every > steps:
        key = ("dataset", "storage", "trajectories", "every")
        yield Fault(key, f"{every} is more than simulation.num_timesteps = {steps}: no frame between would be stored")


def _initial_condition_faults(raw: Mapping[str, Any]) -> Iterator[Fault]:
    try:
        section = InputGeneration.model_validate(dict(raw))
    except ValidationError:
        return
    try:
        parse_mixture(section.method, section.ic_type_weights, section.blocks)
    except MixtureError as error:
        for path, message in error.faults:
            yield Fault(("simulation", "input_generation", *path), message)


def _space_faults(space: Mapping[str, Any]) -> list[Fault]:
    faults: list[Fault] = []
    named: Named = {}
    for heading in HEADINGS:
        parameters = space.get(heading)
        if not isinstance(parameters, Mapping):
            continue
        for name, raw in parameters.items():
            location = ("parameter_space", heading, str(name))
            if name in named:
                other = named[name][0][1]
                faults.append(Fault(location, f"stands under `{other}` too; a name is used once over all headings"))
                continue
            try:
                named[str(name)] = (location, ParameterConfig.model_validate(raw))
            except ValidationError:
                continue
    if len(named) > LARGEST_SPACE:
        faults.append(Fault(("parameter_space",), f"has {len(named)} parameters; the most are {LARGEST_SPACE}"))
    known = known_parameters(_chosen_families(named))
    for name, (location, parameter) in named.items():
        faults += _parameter_faults(name, location, parameter, known)
    return faults + list(_idle_faults(named, known))


def _chosen_families(named: Named) -> list[str]:
    if "family" not in named:
        return [DEFAULT_FAMILY]
    chosen = [c for c in named["family"][1].choices or [] if isinstance(c, str) and c in families]
    return chosen or [DEFAULT_FAMILY]


def _parameter_faults(
    name: str, location: tuple[str, ...], parameter: ParameterConfig, known: Mapping[str, Option]
) -> Iterator[Fault]:
    option = known.get(name)
    if option is None:
        near = near_miss(name, known)
        hint = f" (did you mean {near!r}?)" if near else ""
        yield Fault(location, f"unknown parameter{hint}; known: {', '.join(sorted(known))}")
        return
    try:
        sampled_parameter(name, parameter)
    except OptionError as error:
        yield Fault((*location, "choices" if parameter.choices else "bounds"), _without(name, error))
        return
    if parameter.type == "integer" and isinstance(option.number, Integer) and option.number.odd:
        yield Fault(location, "takes odd values only: give it as `type: choice`, such as `choices: [3, 5]`")
        return
    if (fault := _wrong_type(parameter, option)) is not None:
        yield Fault((*location, "type"), fault)
        return
    for key, value in _extremes(parameter):
        try:
            option.check(value)
        except OptionError as error:
            yield Fault((*location, *key), _without(name, error))


def _wrong_type(parameter: ParameterConfig, option: Option) -> str | None:
    allowed = {
        "integer": ("integer", "choice"),
        "real": ("continuous", "integer", "choice"),
        "choice": ("choice",),
        "boolean": ("boolean", "choice"),
    }[option.kind]
    if parameter.type in allowed:
        return None
    return f"{parameter.type!r} does not fit {option.name}, which is {option.allowed()}: use {' or '.join(allowed)}"


def _extremes(parameter: ParameterConfig) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    for key, values in (("bounds", parameter.bounds), ("choices", parameter.choices)):
        for number, value in enumerate(values or []):
            yield (key, number), value


def _without(name: str, error: SpinlockError) -> str:
    return str(error).removeprefix(f"{name}: ").removeprefix(f"{name} = ")


def _idle_faults(named: Named, known: Mapping[str, Option]) -> Iterator[Fault]:
    """Tell parameters that would be sampled and never act."""
    for name, (location, _) in named.items():
        when = known[name].when if name in known else None
        if when is None:
            continue
        if not when.values:
            if when.option not in named:
                yield Fault(location, f"never acts: it needs {when.option}, which this space does not name")
            continue
        possible = named[when.option][1].choices or [] if when.option in named else [known[when.option].default]
        if not set(when.values) & set(possible):
            acts = " or ".join(str(v) for v in when.values)
            has = ", ".join(str(p) for p in possible)
            yield Fault(location, f"never acts: it needs {when.option} to be {acts}, and here it is {has}")


def sampled_parameter(name: str, parameter: ParameterConfig) -> Parameter:
    """Return a parameter as `sampling` takes it, or raise `OptionError`."""
    low, high = parameter.bounds or (None, None)
    choices = tuple(parameter.choices or ())
    return Parameter(name, parameter.type, low, high, parameter.log_scale, choices)
