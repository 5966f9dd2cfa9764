"""A Hypothesis strategy for valid configurations, drawn from the catalogues and small enough to run."""

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from spinlock.config.parameters import HEADINGS, known_parameters, sampling_types
from spinlock.config.values import CATEGORIES, SDF_CATEGORIES
from spinlock.initial_conditions.catalogue import registry
from spinlock.numerics.grid import MIN_SIZE
from spinlock.registry import Integer, Option
from spinlock.storage.codecs import CODECS
from spinlock.testing.strategies import accepted, option_sets

LARGEST_GRID = 32
INTEGER_SPAN = 7
"""How far above its lowest value an integer parameter is drawn: layers and channels cost time."""

Drawn = dict[str, Any]
Values = st.SearchStrategy[Any]


@st.composite
def configurations(draw: st.DrawFn, *, output_path: str = "drawn.h5") -> Drawn:
    """Return a valid configuration as plain values: every parameter, initial condition, codec and feature.

    Grids have 8 to 32 pixels a side; there are at most 6 samples, 3 realizations, 4 steps and 4 channels.
    """
    steps = draw(st.integers(1, 4))
    space = draw(parameter_spaces())
    grids = next(section["grid_size"]["choices"] for section in space.values() if "grid_size" in section)
    config = {
        "version": "1.0",
        "parameter_space": space,
        "sampling": draw(_samplings()),
        "simulation": {"num_timesteps": steps, **draw(_simulations(grids))},
        "dataset": {"output_path": output_path, **draw(_optional(storage=_storages(steps)))},
    }
    words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
    metadata = _optional(name=words, description=words)
    return config | draw(_optional(metadata=metadata, features=_features()))


@st.composite
def parameter_spaces(draw: st.DrawFn) -> Drawn:
    """Return a space that names a grid and any other parameters, each under any heading."""
    known = known_parameters()
    names = [name for name in sorted(known) if name != "grid_size" and draw(st.booleans())]
    drawn = {name: draw(_parameters(known[name])) for name in names}
    sizes = st.lists(st.integers(MIN_SIZE, LARGEST_GRID), unique=True, min_size=1, max_size=3)
    drawn["grid_size"] = {"type": "choice", "choices": draw(sizes)}
    while idle := [name for name in drawn if not _acts(known[name], drawn, known)]:
        for name in idle:
            del drawn[name]
    space: Drawn = {}
    for name, parameter in drawn.items():
        space.setdefault(draw(st.sampled_from(HEADINGS)), {})[name] = parameter
    return space


def _acts(option: Option, space: Mapping[str, Drawn], known: Mapping[str, Option]) -> bool:
    when = option.when
    if when is None:
        return True
    if not when.values:
        return when.option in space
    possible = space.get(when.option, {}).get("choices", [known[when.option].default])
    return bool(set(when.values) & set(possible))


@st.composite
def _parameters(draw: st.DrawFn, option: Option) -> Drawn:
    """Return one parameter as a space describes it, of any type that suits the option."""
    kind = draw(st.sampled_from(sampling_types(option)))
    if kind == "boolean":
        return {"type": kind}
    if kind == "choice":
        values = st.lists(_single_values(option), unique=True, min_size=1, max_size=4)
        return {"type": kind, "choices": draw(values)}
    assert option.number is not None
    low, high = option.number.low, option.number.high
    if kind == "integer":
        first = -(-low // 1)
        ends = st.integers(int(first), int(min(high, first + INTEGER_SPAN)))
        return {"type": kind, "bounds": draw(st.tuples(ends, ends).map(sorted))}
    ends = st.floats(low, high, allow_subnormal=False)
    bounds = draw(st.tuples(ends, ends).map(sorted).filter(lambda pair: pair[1] - pair[0] > 1e-6 * high))
    logarithmic = bounds[0] > 1e-6 * bounds[1] and draw(st.booleans())
    return {"type": kind, "bounds": bounds, **({"log_scale": True} if logarithmic else {})}


def _single_values(option: Option) -> Values:
    if option.number is None:
        return st.sampled_from(option.choices) if option.kind == "choice" else st.booleans()
    low, high = option.number.low, option.number.high
    if not isinstance(option.number, Integer):
        return st.floats(low, high, allow_subnormal=False)
    step = 2 if option.number.odd else 1
    return st.sampled_from(range(int(low), int(min(high, low + INTEGER_SPAN)) + 1, step))


def _optional(**sections: Values) -> Values:
    """Return a mapping with any of the keys."""
    return st.fixed_dictionaries({}, optional=sections)


def _samplings() -> Values:
    limit = st.floats(50.0, 1e6)
    validation = _optional(
        on_failure=st.sampled_from(["warn", "stop"]),
        max_discrepancy_ratio=limit, max_correlation=limit, max_imbalance=limit,
    )  # fmt: skip
    sobol = _optional(scramble=st.booleans(), seed=st.integers(0, 2**64 - 1))
    return st.fixed_dictionaries(
        {"total_samples": st.integers(1, 6), "validation": validation},
        optional={"batch_size": st.integers(1, 2000), "sobol": sobol},
    )


def _simulations(grids: Sequence[int]) -> Values:
    workers = st.sampled_from(["auto", 1, 2])
    parallelism = {"strategy": st.just("inline"), "workers": workers, "devices": st.just("auto")}
    return st.fixed_dictionaries(
        {"device": st.just("cpu"), "input_generation": input_generations(grids)},
        optional={
            "num_realizations": st.integers(1, 3),
            "num_channels": st.integers(1, 4),
            "precision": st.sampled_from(["float32", "bfloat16"]),
            "parallelism": _optional(**parallelism),
            "memory_fraction": st.floats(0.1, 1.0),
        },
    )


@st.composite
def input_generations(draw: st.DrawFn, grids: Sequence[int]) -> Drawn:
    """Return a choice of initial conditions: one type, or weights of several under their names or labels."""
    names = st.sampled_from(sorted(registry))
    if draw(st.booleans()):
        name = draw(names)
        return {"method": name, **draw(_optional(**{name: _blocks(name, grids)}))}
    types = draw(st.lists(names, unique=True, min_size=1, max_size=6))
    blocks = {name: draw(_blocks(name, grids)) for name in types if draw(st.booleans())}
    if draw(st.booleans()):
        labelled = draw(names)
        blocks["a_label"] = {"type": labelled, **draw(_blocks(labelled, grids))}
    labels = [*types, *([] if "a_label" not in blocks else ["a_label"])]
    weights = st.lists(st.floats(0.0, 1e3), min_size=len(labels), max_size=len(labels))
    shares = draw(weights.filter(lambda drawn: sum(drawn) > 1e-3))
    return {"method": "sampled", "ic_type_weights": dict(zip(labels, shares, strict=True)), **blocks}


def _blocks(name: str, grids: Sequence[int]) -> Values:
    """Return options of a type that suit all the grids."""
    entry = registry[name]

    def fitting(options: Drawn) -> Drawn:
        for size in (*grids, *grids):
            options = accepted(entry, options, size)
        return options

    return option_sets(entry).map(fitting)


@st.composite
def _features(draw: st.DrawFn) -> Drawn:
    version = draw(st.sampled_from(sorted(SDF_CATEGORIES)))
    known = list(SDF_CATEGORIES[version])
    some = st.lists(st.sampled_from(known), unique=True, min_size=1, max_size=len(known))
    everything = ["all"] if len(known) == len(CATEGORIES) else []
    return {
        "during_generation": draw(st.booleans()),
        "sdf_version": version,
        "categories": draw(st.sampled_from(everything) | some if everything else some),
    }


@st.composite
def _storages(draw: st.DrawFn, steps: int) -> Drawn:
    compression = draw(st.sampled_from(sorted(CODECS)))
    low, high = CODECS[compression].levels
    precisions = st.sampled_from(["float32", "float16"]) | st.integers(1, 22).map("bitround:{}".format)
    every = st.integers(1, steps).map(lambda k: {"every": k})
    choices: Drawn = {
        "compression_level": st.none() | st.integers(low, high),
        "precision": precisions,
        "trajectories": st.sampled_from(["none", "all"]) | every,
    }
    return {"compression": compression, **draw(_optional(**choices))}
