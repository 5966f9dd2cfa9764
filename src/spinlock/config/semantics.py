"""What the model alone cannot know: whether names and values exist in the catalogues and act."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pydantic import ValidationError

from spinlock.config.faults import unknown_key
from spinlock.config.model import InputGeneration, ParameterConfig, Simulation, Storage
from spinlock.config.parameters import DEFAULT_FAMILY, HEADINGS, known_parameters, sampling_types
from spinlock.config.yaml_source import Fault, Location
from spinlock.errors import OptionError
from spinlock.initial_conditions.mixture import SAMPLED, MixtureError, parse_mixture
from spinlock.operators import families
from spinlock.registry import Option, near_miss
from spinlock.sampling import Parameter
from spinlock.storage.codecs import find_codec
from spinlock.storage.locations import SUFFIXES, form_to_make

LARGEST_SPACE = 127
"""Parameters; one more Sobol dimension picks the initial condition."""

SECTION_KEYS = tuple(InputGeneration.model_fields)
INPUT_GENERATION = ("simulation", "input_generation")


@dataclass(frozen=True)
class Written:
    """A parameter as it stands in a space: where, and its content where that is well formed."""

    location: Location
    content: ParameterConfig | None


def semantic_faults(values: Any) -> list[Fault]:
    """Return the faults that only the catalogues can tell, in every part that is well formed."""
    space, simulation = _section(values, "parameter_space"), _section(values, "simulation")
    written, faults = _written(space)
    known = known_parameters(_chosen_families(written))
    for name, parameter in written.items():
        faults += _parameter_faults(name, parameter, known)
    faulty = {fault.location[:3] for fault in faults}
    faults += _idle_faults(written, known, faulty)
    generation = simulation.get("input_generation")
    if isinstance(generation, Mapping):
        grids = _grid_sizes(written, known["grid_size"], faulty)
        faults += _initial_condition_faults(generation, grids)
    dataset = _section(values, "dataset")
    storage = _section(dataset, "storage")
    return [
        *faults,
        *_backend_faults(dataset.get("output_path"), storage.get("backend", "auto")),
        *_storage_faults(storage, _num_timesteps(values)),
    ]


def _backend_faults(path: Any, backend: Any) -> Iterator[Fault]:
    """Yield the fault of an output path that does not go with the backend, or cannot be written to."""
    location = ("dataset", "output_path")
    if not isinstance(path, str) or not path.endswith(tuple(SUFFIXES)):
        return  # the model tells
    form = form_to_make(PurePath(path))
    if backend in SUFFIXES.values() and backend != form:
        ends = " or ".join(suffix for suffix, made in SUFFIXES.items() if made == backend)
        yield Fault(
            location, f"{path!r} does not go with dataset.storage.backend: {backend}; end it in {ends}"
        )
    elif "://" in path and form != "zarr":
        yield Fault(location, f"{path!r} is a URL: only a Zarr store can stand there; end it in .zarr")


def _section(values: Any, key: str) -> Mapping[str, Any]:
    section = values.get(key) if isinstance(values, Mapping) else None
    return section if isinstance(section, Mapping) else {}


def _written(space: Mapping[str, Any]) -> tuple[dict[str, Written], list[Fault]]:
    """Return the parameters of a space by name, and the faults of their names."""
    written: dict[str, Written] = {}
    faults: list[Fault] = []
    for heading in space:
        if heading not in HEADINGS:
            continue
        for name, raw in _section(space, heading).items():
            location = ("parameter_space", heading, name)
            if name in written:
                other = written[name].location[1]
                faults.append(
                    Fault(location, f"stands under `{other}` too; a name is used once over all headings")
                )
                continue
            try:
                written[name] = Written(location, ParameterConfig.model_validate(raw))
            except ValidationError:
                written[name] = Written(location, None)
    if len(written) > LARGEST_SPACE:
        faults.append(
            Fault(("parameter_space",), f"has {len(written)} parameters; the most are {LARGEST_SPACE}")
        )
    return written, faults


def _choices(written: Mapping[str, Written], name: str) -> list[Any] | None:
    """Return the choices of a parameter, or None where the space does not say."""
    parameter = written.get(name)
    return parameter.content.choices if parameter is not None and parameter.content is not None else None


def _chosen_families(written: Mapping[str, Written]) -> list[str]:
    chosen = [c for c in _choices(written, "family") or [] if isinstance(c, str) and c in families]
    return chosen or [DEFAULT_FAMILY]


def _parameter_faults(name: str, written: Written, known: Mapping[str, Option]) -> Iterator[Fault]:
    location, parameter, option = written.location, written.content, known.get(name)
    if option is None:
        near = near_miss(name, known)
        hint = f" (did you mean {near!r}?)" if near else ""
        yield Fault(location, f"unknown parameter{hint}; known: {', '.join(sorted(known))}")
        return
    if parameter is None:
        return
    if (fault := _wrong_type(parameter, option)) is not None:
        yield Fault((*location, "type"), fault)
        return
    try:
        sampled_parameter(name, parameter)
    except OptionError as error:
        yield Fault(
            (*location, "choices" if parameter.choices else "bounds"), str(error).removeprefix(f"{name}: ")
        )
        return
    for key, values in (("bounds", parameter.bounds), ("choices", parameter.choices)):
        for number, value in enumerate(values or []):
            try:
                option.check(value)
            except OptionError as error:
                yield Fault((*location, key, number), str(error).removeprefix(f"{name} = "))


def _wrong_type(parameter: ParameterConfig, option: Option) -> str | None:
    allowed = sampling_types(option)
    if parameter.type in allowed:
        return None
    return f"{parameter.type} does not suit {option.name}, {option.allowed()}: write `type: {allowed[0]}`"


def _idle_faults(
    written: Mapping[str, Written], known: Mapping[str, Option], faulty: Iterable[Location]
) -> Iterator[Fault]:
    """Tell parameters that would be sampled and never act; those that hang on a faulty one are left out."""
    doubtful = {
        near_miss(name, known) or name for name, parameter in written.items() if parameter.location in faulty
    }
    doubtful |= {name for name, parameter in written.items() if parameter.content is None}
    for name, parameter in written.items():
        when = known[name].when if name in known else None
        if when is None or when.option in doubtful:
            continue
        if not when.values:
            if when.option not in written:
                yield Fault(
                    parameter.location, f"never acts: it needs {when.option}, which this space does not name"
                )
            continue
        possible = _choices(written, when.option) or [known[when.option].default]
        if not set(when.values) & set(possible):
            acts = " or ".join(str(value) for value in when.values)
            has = " or ".join(str(value) for value in possible)
            yield Fault(
                parameter.location, f"never acts: it needs {when.option} to be {acts}; here it is {has}"
            )


def _grid_sizes(
    written: Mapping[str, Written], option: Option, faulty: Iterable[Location]
) -> tuple[int, ...]:
    """Return the grid sizes that initial conditions must suit (of bounds, the ends), where they are clear."""
    if any(w.location in faulty and near_miss(name, ["grid_size"]) for name, w in written.items()):
        return ()
    if "grid_size" not in written:
        return (option.default,)
    parameter = written["grid_size"].content
    return tuple(option.check(size) for size in (parameter and (parameter.bounds or parameter.choices)) or ())


def _initial_condition_faults(raw: Mapping[str, Any], grids: tuple[int, ...]) -> Iterator[Fault]:
    keys, typos = _corrected_keys(raw)
    for key in typos:
        allowed = [*SECTION_KEYS, *_labels(raw)]
        yield Fault((*INPUT_GENERATION, key), unknown_key(key, allowed))
    section = {correct: raw[written] for correct, written in keys.items()}
    method, weights = section.pop("method", SAMPLED), section.pop("ic_type_weights", None)
    if not isinstance(method, str) or not isinstance(weights, Mapping | None):
        return
    faults = _mixture_faults(method, weights, section, grids)
    if weights is not None and any(path == ("method",) for path, _ in faults):
        unknown = [fault for fault in faults if fault[0] == ("method",)]
        faults = unknown + _mixture_faults(SAMPLED, weights, section, grids)
    for (first, *rest), message in faults:
        yield Fault((*INPUT_GENERATION, keys.get(first, first), *rest), message)


def _mixture_faults(
    method: str, weights: Any, blocks: Mapping[str, Any], grids: tuple[int, ...]
) -> list[tuple[tuple[str, ...], str]]:
    try:
        parse_mixture(method, weights, blocks, grids)
    except MixtureError as error:
        return error.faults
    return []


def _corrected_keys(raw: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return the keys as meant, each with the key as written, and those that are misspelt.

    Every key beside the section's own is the name of a type, so a misspelt one would pass for such a name.
    """
    keys: dict[str, str] = {}
    typos: list[str] = []
    free = [own for own in SECTION_KEYS if own not in raw]
    for key in raw:
        near = None if key in SECTION_KEYS or key in _labels(raw) else near_miss(key, free)
        typos += [key] if near else []
        keys[near or key] = key
    return keys, typos


def _labels(raw: Mapping[str, Any]) -> list[str]:
    weights = raw.get("ic_type_weights")
    return [str(label) for label in weights] if isinstance(weights, Mapping) else []


def _num_timesteps(values: Any) -> int | None:
    """Return the number of steps, or None where something else is wrong with it."""
    simulation = values.get("simulation") if isinstance(values, Mapping) else None
    if not isinstance(simulation, Mapping):
        return None
    strangers = [key for key in simulation if key not in Simulation.model_fields]
    if any(near_miss(key, ["num_timesteps"]) for key in strangers):
        return None
    steps = simulation.get("num_timesteps", Simulation.model_fields["num_timesteps"].default)
    return steps if type(steps) is int and steps >= 1 else None


def _storage_faults(raw: Mapping[str, Any], steps: int | None) -> Iterator[Fault]:
    try:
        storage = Storage.model_validate(dict(raw))
    except ValidationError:
        return
    place = ("dataset", "storage")
    try:
        find_codec(storage.compression).check_level(storage.compression_level)
    except OptionError as error:
        yield Fault((*place, "compression_level"), str(error).removeprefix("compression_level "))
    every = storage.trajectories["every"] if isinstance(storage.trajectories, dict) else 1
    if steps is not None and every > steps:
        message = f"{every} is more than simulation.num_timesteps = {steps}: no frame between would be stored"
        yield Fault((*place, "trajectories", "every"), message)


def sampled_parameter(name: str, parameter: ParameterConfig) -> Parameter:
    """Return a parameter as `sampling` takes it; whole numbers among the choices become integers.

    Raises
    ------
    OptionError
        If it cannot be sampled.
    """
    low, high = parameter.bounds or (None, None)
    choices = tuple(
        int(choice) if isinstance(choice, float) and choice.is_integer() else choice
        for choice in parameter.choices or ()
    )
    return Parameter(name, parameter.type, low, high, parameter.log_scale, choices)
