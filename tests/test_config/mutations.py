"""One mistake at a random place of a valid configuration, with the key that a refusal must name.

A mutation takes a random generator and a valid configuration, which it changes; it returns the location that
must be named and words that must stand there, or None where the configuration has no place for the mistake.
"""

import copy
import math
import random
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

from spinlock.config.parameters import known_parameters
from spinlock.config.values import CATEGORIES
from spinlock.initial_conditions import registry
from spinlock.registry import Integer, Option
from spinlock.storage.codecs import CODECS
from test_config.places import Location, at, blocks, leaves, parameters, sections

Expected = tuple[Location, tuple[str, ...]] | None
Mutation = Callable[[random.Random, dict[str, Any]], Expected]

MUTATIONS: dict[str, Mutation] = {}


def mutation(function: Mutation) -> Mutation:
    MUTATIONS[function.__name__] = function
    return function


def misspell(rng: random.Random, word: str) -> str:
    """Double a letter, or leave one in the middle out."""
    k = rng.randrange(1, len(word))
    return (
        word[:k] + word[k - 1] + word[k:] if len(word) < 5 or rng.random() < 0.5 else word[:k] + word[k + 1 :]
    )


def rename(mapping: dict[str, Any], old: str, new: str) -> None:
    """Rename a key where it stands."""
    items = [(new if key == old else key, value) for key, value in mapping.items()]
    mapping.clear()
    mapping.update(items)


def near(word: str) -> tuple[str, ...]:
    return (f"(did you mean {word!r}?)",)


# --- misspelt ---


@mutation
def key_misspelt(rng: random.Random, values: dict[str, Any]) -> Expected:
    place, model = rng.choice([found for found in sections(values) if at(values, found[0])])
    written = at(values, place)
    key = rng.choice([name for name in model.model_fields if name in written])
    wrong = misspell(rng, key)
    rename(written, key, wrong)
    return (*place, wrong), near(key)


@mutation
def parameter_misspelt(rng: random.Random, values: dict[str, Any]) -> Expected:
    name, place = rng.choice(list(parameters(values).items()))
    wrong = misspell(rng, name)
    rename(at(values, place[:-1]), name, wrong)
    return (*place[:-1], wrong), ("unknown parameter", *near(name))


@mutation
def option_misspelt(rng: random.Random, values: dict[str, Any]) -> Expected:
    places = [(*place, option) for place in blocks(values).values() for option in at(values, place)]
    places = [place for place in places if place[-1] != "type"]
    if not places:
        return None
    place = rng.choice(places)
    wrong = misspell(rng, str(place[-1]))
    rename(at(values, place[:-1]), str(place[-1]), wrong)
    return (*place[:-1], wrong), ("has no option", "did you mean")


@mutation
def type_misspelt(rng: random.Random, values: dict[str, Any]) -> Expected:
    """A label that has no block of options, which would make it a label of its own."""
    written = values["simulation"]["input_generation"]
    labels = [label for label in written.get("ic_type_weights", {}) if label not in written]
    if written["method"] in registry and written["method"] not in written:
        written["method"] = misspell(rng, wrong := written["method"])
        return ("simulation", "input_generation", "method"), near(wrong)
    if not labels:
        return None
    label = rng.choice(labels)
    wrong = misspell(rng, label)
    rename(written["ic_type_weights"], label, wrong)
    return ("simulation", "input_generation", "ic_type_weights", wrong), near(label)


@mutation
def word_misspelt(rng: random.Random, values: dict[str, Any]) -> Expected:
    """A value that must be one of a few words."""
    places = [
        (place, slot)
        for place, slot in leaves(values)
        if {get_origin(kind) for kind in slot.kinds} == {Literal}
    ]
    places = [(place, slot) for place, slot in places if place != ("version",)]
    if not places:
        return None
    place, _ = rng.choice(places)
    word = at(values, place)
    at(values, place[:-1])[place[-1]] = misspell(rng, word)
    return place, near(word)


@mutation
def choice_misspelt(rng: random.Random, values: dict[str, Any]) -> Expected:
    known = known_parameters()
    places = [place for name, place in parameters(values).items() if known[name].kind == "choice"]
    if not places:
        return None
    place = (*rng.choice(places), "choices")
    number = rng.randrange(len(at(values, place)))
    word = at(values, place)[number]
    at(values, place)[number] = misspell(rng, word)
    return (*place, number), near(word)


@mutation
def category_misspelt(rng: random.Random, values: dict[str, Any]) -> Expected:
    word = rng.choice(CATEGORIES)
    values.setdefault("features", {})["categories"] = [wrong := misspell(rng, word)]
    return ("features", "categories"), (f"{wrong!r} is no category of features", *near(word))


# --- left out, of another kind, out of bounds ---


@mutation
def required_left_out(rng: random.Random, values: dict[str, Any]) -> Expected:
    places = [
        (*place, name)
        for place, model in sections(values)
        for name, field in model.model_fields.items()
        if field.is_required()
    ]
    place = rng.choice(places)
    del at(values, place[:-1])[place[-1]]
    return place, ("is missing and has no default",)


@mutation
def bounds_or_choices_left_out(rng: random.Random, values: dict[str, Any]) -> Expected:
    place = rng.choice(list(parameters(values).values()))
    parameter = at(values, place)
    key = "bounds" if "bounds" in parameter else "choices"
    if key not in parameter:
        return None
    del parameter[key]
    return place, (f"needs `{key}: [",)


@mutation
def another_kind(rng: random.Random, values: dict[str, Any]) -> Expected:
    """A number for a word, a list for a number, a section for a truth value, and so on."""
    wrong: dict[Any, list[Any]] = {
        bool: [1, "yes", [True], {"a": 1}, 0.5],
        int: ["three", 2.5, True, [3], {"a": 1}],
        float: ["half", True, [0.5], {"a": 1}],
        str: [7, 1.5, True, ["x"], {"a": 1}],
        Literal: [7, 1.5, True, ["x"], {"a": 1}],
    }
    places = [
        (place, kind)
        for place, slot in leaves(values)
        if len(slot.kinds) == 1 and (kind := get_origin(slot.kinds[0]) or slot.kinds[0]) in wrong
    ]
    place, kind = rng.choice(places)
    at(values, place[:-1])[place[-1]] = rng.choice(wrong[kind])
    return place, ("is not allowed", "must be")


@mutation
def nothing_for_a_value(rng: random.Random, values: dict[str, Any]) -> Expected:
    place = rng.choice(
        [place for place, slot in leaves(values) if type(None) not in get_args(slot.annotation)]
    )
    at(values, place[:-1])[place[-1]] = None
    return place, ("is empty: it must be",)


@mutation
def a_value_for_a_section(rng: random.Random, values: dict[str, Any]) -> Expected:
    place, _ = rng.choice([found for found in sections(values) if found[0]])
    at(values, place[:-1])[place[-1]] = rng.choice([3, "x", True, [1, 2]])
    return place, ("is not allowed: it must be a section with keys from",)


@mutation
def field_out_of_bounds(rng: random.Random, values: dict[str, Any]) -> Expected:
    outside = []
    for place, slot in leaves(values):
        for limit in slot.limits:
            outside += [(place, limit.ge - 1)] if hasattr(limit, "ge") else []
            outside += [(place, limit.gt)] if hasattr(limit, "gt") else []
            outside += [(place, limit.le + 1)] if hasattr(limit, "le") else []
            outside += [(place, limit.lt)] if hasattr(limit, "lt") else []
    place, value = rng.choice(outside)
    at(values, place[:-1])[place[-1]] = value
    return place, ("is not allowed", "must be a")


@mutation
def parameter_out_of_bounds(rng: random.Random, values: dict[str, Any]) -> Expected:
    known = known_parameters()
    names = [name for name in parameters(values) if known[name].number is not None]
    name = rng.choice(names)
    place, number = parameters(values)[name], known[name].number
    assert number is not None
    parameter, low_end = at(values, place), rng.random() < 0.5
    value = number.low - 1 if low_end else number.high + 1
    if parameter["type"] == "continuous":
        value = float(value)
        if low_end and parameter.get("log_scale"):
            return None
    elif parameter["type"] == "integer":
        value = math.floor(value) if low_end else math.ceil(value)
    key = "bounds" if "bounds" in parameter else "choices"
    where = 0 if low_end or key == "choices" else 1
    parameter[key][where] = value
    return (*place, key, where), (str(number.high if isinstance(number, Integer) else ""), "it must be")


@mutation
def option_out_of_bounds(rng: random.Random, values: dict[str, Any]) -> Expected:
    places = []
    for label, place in blocks(values).items():
        written = at(values, place)
        entry = registry[written.get("type", label)]
        for name in written:
            option = entry.options.get(name)
            if option is not None and option.number is not None and option.kind in ("integer", "real"):
                places.append(((*place, name), option))
    if not places:
        return None
    place, option = rng.choice(places)
    at(values, place[:-1])[place[-1]] = option.number.high * 2 + 1
    return place, ("is not allowed", option.allowed())


# --- contradictions ---


@mutation
def parameter_that_never_acts(rng: random.Random, values: dict[str, Any]) -> Expected:
    known, written = known_parameters(), parameters(values)
    idle = [option for option in known.values() if option.when and not _acts_in(values, option, known)]
    idle = [option for option in idle if option.name not in written]
    if not idle:
        return None
    option = rng.choice(idle)
    parameter = {"type": "choice", "choices": [option.default]}
    heading = rng.choice(["architecture", "stochastic", "operator", "rollout"])
    values["parameter_space"].setdefault(heading, {})[option.name] = parameter
    assert option.when is not None
    return ("parameter_space", heading, option.name), ("never acts", f"needs {option.when.option}")


def _acts_in(values: dict[str, Any], option: Option, known: dict[str, Option]) -> bool:
    assert option.when is not None
    place = parameters(values).get(option.when.option)
    if not option.when.values:
        return place is not None
    chosen = at(values, place)["choices"] if place else [known[option.when.option].default]
    return not set(chosen).isdisjoint(option.when.values)


@mutation
def reversed_bounds(rng: random.Random, values: dict[str, Any]) -> Expected:
    places = [place for place in parameters(values).values() if "bounds" in at(values, place)]
    places = [place for place in places if at(values, place)["bounds"][0] < at(values, place)["bounds"][1]]
    if not places:
        return None
    place = rng.choice(places)
    at(values, place)["bounds"].reverse()
    return (*place, "bounds"), ("reversed" if at(values, place)["type"] == "integer" else "must rise",)


@mutation
def key_of_another_type(rng: random.Random, values: dict[str, Any]) -> Expected:
    place = rng.choice(list(parameters(values).values()))
    parameter = at(values, place)
    kind = parameter["type"]
    unfit = {
        "log_scale": kind != "continuous",
        "choices": kind != "choice",
        "bounds": kind in ("choice", "boolean"),
    }
    key = rng.choice([name for name, wrong in unfit.items() if wrong])
    parameter[key] = {"log_scale": True, "choices": [1], "bounds": [1, 2]}[key]
    return place, (f"`{key}` does not go with type {kind}",)


@mutation
def unsuitable_type(rng: random.Random, values: dict[str, Any]) -> Expected:
    place = parameters(values)["grid_size"]
    at(values, place[:-1])["grid_size"] = {"type": "continuous", "bounds": [16.0, 32.0]}
    return (*place, "type"), ("continuous does not suit grid_size", "write `type: integer`")


@mutation
def same_name_twice(rng: random.Random, values: dict[str, Any]) -> Expected:
    name, place = rng.choice(list(parameters(values).items()))
    others = [
        heading for heading in ("architecture", "stochastic", "operator", "rollout") if heading != place[1]
    ]
    space, heading = values["parameter_space"], rng.choice(others)
    space.setdefault(heading, {})[name] = copy.deepcopy(at(values, place))
    second = max(place[1], heading, key=list(space).index)
    return ("parameter_space", second, name), ("a name is used once over all headings",)


@mutation
def level_of_another_codec(rng: random.Random, values: dict[str, Any]) -> Expected:
    codec = rng.choice(list(CODECS.values()))
    storage = values["dataset"].setdefault("storage", {})
    storage |= {"compression": codec.name, "compression_level": codec.levels[1] + 1}
    return ("dataset", "storage", "compression_level"), (f"does not suit compression {codec.name}",)


@mutation
def frames_that_never_come(rng: random.Random, values: dict[str, Any]) -> Expected:
    steps = values["simulation"]["num_timesteps"]
    storage = values["dataset"].setdefault("storage", {})
    storage["trajectories"] = {"every": steps + rng.randint(1, 9)}
    return ("dataset", "storage", "trajectories", "every"), (f"more than simulation.num_timesteps = {steps}",)


@mutation
def no_weight_at_all(rng: random.Random, values: dict[str, Any]) -> Expected:
    values["simulation"]["input_generation"] = {"method": "sampled", "ic_type_weights": {"localized": 0.0}}
    return ("simulation", "input_generation", "ic_type_weights"), ("must be",)


@mutation
def value_and_range(rng: random.Random, values: dict[str, Any]) -> Expected:
    block = {"length_scale": 0.1, "length_scale_range": [0.1, 0.2]}
    values["simulation"]["input_generation"] = {
        "method": "gaussian_random_field",
        "gaussian_random_field": block,
    }
    place = ("simulation", "input_generation", "gaussian_random_field", "length_scale_range")
    return place, ("length_scale",)


@mutation
def output_of_another_kind(rng: random.Random, values: dict[str, Any]) -> Expected:
    values["dataset"]["output_path"] = rng.choice(["data.zarr", "data", "", "h5", "data.h5/", "x.H5"])
    return ("dataset", "output_path"), ("ends in .h5 or .hdf5",)
