"""The plan: what every sample is, which shard it stands in, and how the arrays are laid out.

A plan is a pure function of the configuration. Draws are computed by index and never held, so a plan of ten
million samples costs what a plan of ten does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from spinlock.config.digest import plan_digest
from spinlock.config.model import Config
from spinlock.config.parameters import known_parameters
from spinlock.config.semantics import sampled_parameter
from spinlock.errors import UsageError
from spinlock.execution.feature_layout import FeatureChoice, feature_layout
from spinlock.initial_conditions import registry
from spinlock.initial_conditions.mixture import Mixture, parse_mixture
from spinlock.initial_conditions.options import options_length, resolve_options
from spinlock.numerics.noise import NoiseModel, noise
from spinlock.operators import families
from spinlock.registry import Option, options_of
from spinlock.rollout.policies import UpdatePolicy
from spinlock.sampling import ParameterSpace, sobol_points
from spinlock.storage.codecs import find_codec
from spinlock.storage.feature_layout import FeatureLayout
from spinlock.storage.schema import LIMITS, STRING_TABLES, Layout
from spinlock.storage.schema import Parameter as StoredParameter

SHARD_BYTES = 64 << 20
"""A shard holds about this much uncompressed data."""

FEWEST_SHARDS = 32
"""A dataset has at least this many shards, where it has as many samples."""


@dataclass(frozen=True)
class Draw:
    """One sampled point, fully decoded: the recipe of sample ``index``.

    Attributes
    ----------
    index
        The sample.
    point
        Its coordinates in the unit cube, float64 [P].
    values
        The value of every parameter, sampled or default.
    ic_label, ic_type, ic_options
        The initial condition: the name as written, the type, and all its options with drawn values.
    """

    index: int
    point: np.ndarray
    values: Mapping[str, Any]
    ic_label: str
    ic_type: str
    ic_options: Mapping[str, Any]

    @property
    def grid_size(self) -> int:
        """The side of the grid, in pixels."""
        return self.values["grid_size"]

    @property
    def family(self) -> str:
        """The operator family."""
        return self.values["family"]

    @property
    def operator_options(self) -> dict[str, Any]:
        """The options of the operator family."""
        return {name: self.values[name] for name in families[self.family].options}

    @property
    def noise(self) -> NoiseModel:
        """The noise of the rollout."""
        return noise(**{name: self.values[name] for name in _noise_options()})

    @property
    def policy(self) -> UpdatePolicy:
        """The update policy of the rollout."""
        return UpdatePolicy.of(self.values["update_policy"], self.values)


@cache
def _noise_options() -> tuple[str, ...]:
    """Return the names of the noise's options; reading them off its declaration takes longer than a draw."""
    return tuple(options_of(noise))


class Plan:
    """What a configuration asks for, sample by sample; make one with `make_plan`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.digest = plan_digest(config)
        named = config.parameter_space.parameters()
        self.space = ParameterSpace([sampled_parameter(name, parameter) for name, parameter in named.items()])
        chosen = named["family"].choices if "family" in named else None
        self._known: dict[str, Option] = known_parameters([str(c) for c in chosen] if chosen else ("cnn",))
        generation = config.simulation.input_generation
        weights, blocks = generation.ic_type_weights, generation.blocks
        self.mixture: Mixture = parse_mixture(generation.method, weights, blocks)

    @property
    def seed(self) -> int:
        """The root seed."""
        return self.config.sampling.sobol.seed

    @property
    def total_samples(self) -> int:
        """N."""
        return self.config.sampling.total_samples

    @cached_property
    def grids(self) -> tuple[int, ...]:
        """The grid sizes the space can ask for, ascending; `UsageError` where one is too large."""
        parameter = next((p for p in self.space.parameters if p.name == "grid_size"), None)
        if parameter is None:
            return (self._known["grid_size"].default,)
        if parameter.kind == "choice":
            return tuple(sorted(parameter.choices))
        low, high = int(parameter.low or 0), int(parameter.high or 0)
        if (
            high > LIMITS["grid"]
        ):  # a configuration is refused for it, one in a stranger's file is not read so
            raise UsageError(f"grid_size: {high} is not allowed: it must be at most {LIMITS['grid']}")
        return tuple(range(low, high + 1))

    @cached_property
    def timesteps(self) -> tuple[int, ...]:
        """The frames stored as trajectories: none, all, or every k-th and the last."""
        last = self.config.simulation.num_timesteps
        asked = self.config.dataset.storage.trajectories
        if asked == "none":
            return ()
        every = asked["every"] if isinstance(asked, dict) else 1
        return tuple(sorted({*range(0, last + 1, every), last}))

    @cached_property
    def features(self) -> FeatureChoice | None:
        """The features measured during generation, if any are."""
        section = self.config.features
        return FeatureChoice.of(section) if section.during_generation else None

    @property
    def kept_frames(self) -> tuple[int, ...]:
        """The frames that a rollout keeps: those stored, and all where features are measured."""
        if self.features is None:
            return self.timesteps
        return tuple(range(self.config.simulation.num_timesteps + 1))

    @cached_property
    def layout(self) -> Layout:
        """The arrays of the dataset."""
        simulation, storage = self.config.simulation, self.config.dataset.storage
        return Layout(
            samples=self.total_samples,
            realizations=simulation.num_realizations,
            channels=simulation.num_channels,
            grids=self.grids,
            timesteps=self.timesteps,
            parameters=tuple(self._stored_parameter(name) for name in self.space.names),
            string_lengths=tuple(sorted(self._string_lengths().items())),
            compression=storage.compression,
            compression_level=find_codec(storage.compression).check_level(storage.compression_level),
            precision=storage.precision,
            features=self._feature_layout,
        )

    @cached_property
    def _feature_layout(self) -> FeatureLayout | None:
        frames = self.config.simulation.num_timesteps + 1
        return None if self.features is None else feature_layout(frames, self.features.version)

    def _stored_parameter(self, name: str) -> StoredParameter:
        option = self._known[name]
        kind = {"choice": "string"}.get(option.kind, option.kind)
        length = max((len(str(c).encode()) for c in option.choices), default=0) if kind == "string" else 0
        return StoredParameter(name, kind, length)  # pyright: ignore[reportArgumentType]

    def _string_lengths(self) -> dict[str, int]:
        longest_options = max(options_length(registry[c.type], c.options) for c in self.mixture.components)
        names = {
            "ic_labels": max(len(c.label.encode()) for c in self.mixture.components),
            "ic_types": max(len(name.encode()) for name in registry),
            "rollout_policies": max(len(str(c)) for c in self._known["update_policy"].choices),
        }
        lengths = {table: names.get(table, 16) for table in STRING_TABLES}
        return lengths | {"ic_options": longest_options}

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one uncompressed row at the largest grid."""
        simulation = self.config.simulation
        frames = 1 + simulation.num_realizations * (1 + len(self.timesteps))
        return frames * simulation.num_channels * self.grids[-1] ** 2 * 4 + self.feature_bytes

    @cached_property
    def feature_bytes(self) -> int:
        """Bytes of the features of one sample."""
        layout = self._feature_layout
        return 0 if layout is None else layout.row_bytes(self.config.simulation.num_realizations)

    @cached_property
    def rows_per_shard(self) -> int:
        """Samples in a shard: a function of content and N alone."""
        fewest = -(-self.total_samples // FEWEST_SHARDS)
        return max(1, min(SHARD_BYTES // self.row_bytes, fewest))

    @property
    def num_shards(self) -> int:
        """The number of shards."""
        return -(-self.total_samples // self.rows_per_shard)

    def shard_range(self, shard: int) -> tuple[int, int]:
        """Return the samples [lo, hi) of a shard."""
        low = shard * self.rows_per_shard
        return low, min(low + self.rows_per_shard, self.total_samples)

    def points(self, low: int, high: int) -> np.ndarray:
        """Return the coordinates of samples [low, high) in the unit cube, float64 [B, P]."""
        return self._coordinates(np.arange(low, high))[:, :-1]

    def _coordinates(self, indices: np.ndarray) -> np.ndarray:
        sobol = self.config.sampling.sobol
        return sobol_points(indices, self.space.size + 1, seed=sobol.seed, scramble=sobol.scramble)

    def draws(self, low: int, high: int) -> Iterator[Draw]:
        """Yield the draws of samples [low, high)."""
        for start in range(low, high, 4096):
            yield from self._draw_block(np.arange(start, min(start + 4096, high)))

    def columns(self, indices: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return what the draws of given samples [B] decide, in columns of B values.

        The first dict holds the decoded parameters of the space, the second the tables of ``/metadata`` that
        the draws alone decide; both have the names and types that a dataset stores.
        """
        coordinates = self._coordinates(indices)
        types = {"integer": np.int64, "real": np.float64, "boolean": np.bool_}
        drawn = {
            name: np.array(column, types.get(self._known[name].kind))
            for name, column in self.space.decode(coordinates[:, :-1]).items()
        }
        labels = self.mixture.pick(coordinates[:, -1])
        components = self.mixture.components

        def fact(parameter: str) -> np.ndarray:
            return drawn.get(parameter, np.full(len(indices), self._known[parameter].default))

        return drawn, {
            "ic_labels": np.array([component.label for component in components])[labels],
            "ic_types": np.array([component.type for component in components])[labels],
            "grid_sizes": fact("grid_size").astype(np.int32),
            "rollout_policies": fact("update_policy"),
        }

    def draw(self, index: int) -> Draw:
        """Return the draw of one sample."""
        return next(self._draw_block(np.array([index])))

    def _draw_block(self, indices: np.ndarray) -> Iterator[Draw]:
        coordinates = self._coordinates(indices)
        columns = self.space.decode(coordinates[:, :-1])
        labels = self.mixture.pick(coordinates[:, -1])
        defaults = {name: option.default for name, option in self._known.items()}
        for row, index in enumerate(indices.tolist()):
            sampled = {name: self._known[name].check(column[row]) for name, column in columns.items()}
            component = self.mixture.components[int(labels[row])]
            options = resolve_options(registry[component.type], component.options, self.seed, index)
            yield Draw(
                index, coordinates[row, :-1], defaults | sampled, component.label, component.type, options
            )


def make_plan(config: Config) -> Plan:
    """Return the plan of a configuration; cheap, and without effects."""
    return Plan(config)
