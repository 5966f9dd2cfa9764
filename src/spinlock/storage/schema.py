"""The schema of a dataset: every array, declared once and independent of the file format.

`Layout` holds the numbers that decide the arrays, `arrays` the tree that follows from them. Backends create
it, readers check it, the documentation is rendered from it.
"""

import json
from dataclasses import asdict, dataclass
from math import ceil, prod
from typing import Any, Literal

from spinlock.errors import ForeignError, OptionError, SpinlockError, StorageError
from spinlock.storage.array_spec import ITEM_SIZES, ArraySpec
from spinlock.storage.codecs import find_codec
from spinlock.storage.feature_layout import FeatureLayout, feature_arrays, feature_dimensions
from spinlock.storage.precision import Precision, parse_precision

FORMAT_VERSION = 1
TILE = 64
CHUNK_BYTES = 2**20
"""Chunks grow to at most this, but always hold one frame of one tile."""

STRING_TABLES = ("dynamics", "ic_labels", "ic_options", "ic_types", "noise_regimes", "rollout_policies")
DIGEST_LENGTH = 64
CHECKSUMS = "metadata/checksums"
ROW_CHECKSUMS = f"{CHECKSUMS}/rows"
CHUNK_DIMS = {
    "inputs/fields": "input_chunk",
    "outputs/fields": "output_chunk",
    "outputs/trajectories": "trajectory_chunk",
}
"""The dimension that counts the chunks of one row of a field."""

LIMITS = {
    "samples": 2**32,
    "realizations": 2**16,
    "channels": 2**12,
    "grid": 2**13,
    "frames": 2**17,
    "string": 2**16,
}
"""What a layout may ask for at most; a stranger's file cannot ask for more either."""

ValueKind = Literal["integer", "real", "boolean", "string"]
_VALUE_DTYPES: dict[str, str] = {"integer": "int64", "real": "float64", "boolean": "bool", "string": "string"}


@dataclass(frozen=True, order=True)
class Parameter:
    """A named parameter: the kind of its decoded values, and the bytes that a string of them may take."""

    name: str
    kind: ValueKind
    length: int = 0


@dataclass(frozen=True)
class Layout:
    """Everything that decides the arrays of a dataset.

    Attributes
    ----------
    samples, realizations, channels
        N, M and C.
    grids
        The possible grid sizes, ascending; the largest, G, is the side of the stored arrays.
    timesteps
        The frame numbers stored as trajectories; empty if none are.
    parameters
        The named parameters, sorted by name.
    string_lengths
        Bytes (UTF-8) for each of `STRING_TABLES`, as sorted (name, length) pairs.
    compression, compression_level, precision
        A codec, its level, and a precision as `parse_precision` reads it.
    features
        The features stored beside the fields, if any are.

    Raises
    ------
    OptionError
        Where a value is impossible.
    """

    samples: int
    realizations: int
    channels: int
    grids: tuple[int, ...]
    timesteps: tuple[int, ...]
    parameters: tuple[Parameter, ...]
    string_lengths: tuple[tuple[str, int], ...]
    compression: str = "zstd"
    compression_level: int = 3
    precision: str = "float32"
    features: FeatureLayout | None = None

    def __post_init__(self) -> None:
        """Refuse a layout that no file can have."""
        for name in ("samples", "realizations", "channels"):
            _check_count(name, getattr(self, name), LIMITS[name])
        _check_ascending("grids", self.grids, 1, LIMITS["grid"])
        _check_ascending("timesteps", self.timesteps, 0, LIMITS["frames"])
        if not self.grids:
            raise OptionError("a layout needs at least one grid size")
        names = [parameter.name for parameter in self.parameters]
        if names != sorted(set(names)):
            raise OptionError(f"parameters must be sorted by name, each once: {names}")
        for parameter in self.parameters:
            _check_parameter(parameter)
        if tuple(name for name, _ in self.string_lengths) != STRING_TABLES:
            raise OptionError(f"string_lengths must name exactly {', '.join(STRING_TABLES)}, in this order")
        for name, length in self.string_lengths:
            _check_count(f"string length of {name}", length, LIMITS["string"])
        find_codec(self.compression).check_level(self.compression_level)
        parse_precision(self.precision)

    @property
    def side(self) -> int:
        """G, the largest grid size."""
        return self.grids[-1]

    @property
    def tile(self) -> int:
        """The side of a chunk: 64, or the smallest grid where that is smaller."""
        return min(self.grids[0], TILE)

    @property
    def storage_precision(self) -> Precision:
        """The parsed precision."""
        return parse_precision(self.precision)

    def to_json(self) -> str:
        """Return the layout as canonical JSON: sorted keys, no spaces."""
        values = {"format": FORMAT_VERSION, **asdict(self)}
        if self.features is None:
            del values["features"]
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Layout":
        """Return the layout that `to_json` wrote, or raise `StorageError`."""
        try:
            values: dict[str, Any] = json.loads(text)
            version = values.pop("format")
            if version != FORMAT_VERSION:
                raise _other_format(version)
            for name in ("grids", "timesteps"):
                values[name] = tuple(values[name])
            values["parameters"] = tuple(Parameter(**parameter) for parameter in values["parameters"])
            values["string_lengths"] = tuple((name, length) for name, length in values["string_lengths"])
            if "features" in values:
                values["features"] = FeatureLayout.from_values(values["features"])
            layout = cls(**values)
        except ForeignError:
            raise
        except (SpinlockError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise StorageError(f"its layout cannot be read ({error})") from error
        return layout


def _other_format(version: object) -> ForeignError:
    return ForeignError(
        f"it has data format {version}, this version of Spinlock reads {FORMAT_VERSION}",
        "read it with the version that made it (its attribute /metadata@spinlock_version), or generate it "
        "again from its configuration",
    )


def _check_count(name: str, value: int, limit: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
        raise OptionError(f"{name} = {value!r} is not allowed: it must be an integer from 1 to {limit}")


def _check_ascending(name: str, values: tuple[int, ...], low: int, high: int) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise OptionError(f"{name} holds {value!r}: each must be an integer from {low} to {high}")
    if list(values) != sorted(set(values)):
        raise OptionError(f"{name} = {list(values)} must be ascending, each value once")


def _check_parameter(parameter: Parameter) -> None:
    if (
        not isinstance(parameter.name, str)
        or not parameter.name.isidentifier()
        or not parameter.name.isascii()
    ):
        raise OptionError(
            f"parameter name {parameter.name!r} is not allowed: use letters, digits and underscores"
        )
    if parameter.kind not in _VALUE_DTYPES:
        raise OptionError(
            f"parameter {parameter.name}: kind {parameter.kind!r} is none of {', '.join(_VALUE_DTYPES)}"
        )
    if parameter.kind == "string":
        _check_count(f"string length of {parameter.name}", parameter.length, LIMITS["string"])
    elif parameter.length != 0:
        raise OptionError(f"parameter {parameter.name}: only string values have a length")


def arrays(layout: Layout) -> list[ArraySpec]:
    """Return every array of a dataset with that layout, in the order in which they are created."""
    return [
        *_fields(layout),
        *_coordinates(layout),
        *_metadata(layout),
        *_parameters(layout),
        *_features(layout),
        *_checksums(layout),
    ]


def dimension_sizes(layout: Layout) -> dict[str, int]:
    """Return the size of every named dimension."""
    sizes = {
        "sample": layout.samples,
        "realization": layout.realizations,
        "channel": layout.channels,
        "y": layout.side,
        "x": layout.side,
    }
    if layout.timesteps:
        sizes["frame"] = len(layout.timesteps)
    if layout.parameters:
        sizes["parameter"] = len(layout.parameters)
    if layout.features is not None:
        sizes |= feature_dimensions(layout.features)
    chunks = {CHUNK_DIMS[field.path]: prod(field.chunk_grid[1:]) for field in _fields(layout)}
    return sizes | chunks


def checksum_path(path: str) -> str:
    """Return where the chunk checksums of an array stand."""
    return f"{CHECKSUMS}/{path}"


def row_tables(layout: Layout) -> list[ArraySpec]:
    """Return the tables alone: the arrays of which a row's ``table`` gives one entry each."""
    return [spec for spec in arrays(layout) if spec.kind == "table"]


def field_arrays(layout: Layout) -> list[ArraySpec]:
    """Return the fields alone."""
    return [spec for spec in arrays(layout) if spec.kind == "field"]


def balanced(count: int, unit_bytes: int) -> int:
    """Return how many of ``count`` equal units make one chunk: equal parts of at most `CHUNK_BYTES`."""
    parts = ceil(count / max(1, CHUNK_BYTES // unit_bytes))
    return ceil(count / parts)


def _fields(layout: Layout) -> list[ArraySpec]:
    N, M, C, G, t = layout.samples, layout.realizations, layout.channels, layout.side, layout.tile
    F = len(layout.timesteps)
    precision = layout.storage_precision
    unit = C * t * t * ITEM_SIZES[precision.dtype]
    m = balanced(M, unit)
    shared = (("pad_mode", "corner"), ("precision", precision.name), ("error_bound", precision.error_bound))

    def field(path: str, lead: tuple[tuple[str, int, int], ...], description: str) -> ArraySpec:
        axes = (("sample", N, 1), *lead, ("channel", C, C), ("y", G, t), ("x", G, t))
        names, shape, chunks = zip(*axes, strict=True)
        return ArraySpec(
            path, "field", names, shape, precision.dtype, description, chunks=chunks, attributes=shared
        )

    specs = [
        field("inputs/fields", (), "Frame 0: the initial condition that all realizations share."),
        field("outputs/fields", (("realization", M, m),), "The final frame of each realization."),
    ]
    if F:
        f = balanced(F, unit)
        m = balanced(M, unit * F) if f == F else 1
        lead = (("realization", M, m), ("frame", F, f))
        specs.append(field("outputs/trajectories", lead, "The frames listed in outputs/timesteps."))
    return specs


def _coordinates(layout: Layout) -> list[ArraySpec]:
    if not layout.timesteps:
        return []
    shape = (len(layout.timesteps),)
    description = "Frame numbers of outputs/trajectories: operator applications since the initial condition."
    return [ArraySpec("outputs/timesteps", "coordinate", ("frame",), shape, "int32", description)]


def _metadata(layout: Layout) -> list[ArraySpec]:
    N, M = layout.samples, layout.realizations
    lengths = dict(layout.string_lengths)

    def column(name: str, dtype: str, description: str, **facts: Any) -> ArraySpec:
        return ArraySpec(f"metadata/{name}", "table", ("sample",), (N,), dtype, description, **facts)

    def text(name: str, description: str) -> ArraySpec:
        return column(name, "string", description, length=lengths[name])

    def ensemble(name: str, description: str) -> ArraySpec:
        return ArraySpec(f"metadata/{name}", "table", ("sample", "realization"), (N, M), "int32", description)

    specs = [
        text("ic_types", "Type of the initial condition."),
        text("ic_labels", "Its name as the configuration writes it (an alias, or the type)."),
        text("ic_options", "Option values drawn for it, JSON."),
        text("rollout_policies", "Update policy: autoregressive, residual or convex."),
        column("grid_sizes", "int32", "Native grid size g: the row's fields stand in [:g, :g]."),
        text("noise_regimes", "Noise scale < 0.01 low, < 0.1 medium, else high; none without noise."),
        text(
            "dynamics",
            "What the rollout did: diverged, short, chaotic, growing, dead, frozen, periodic or active.",
        ),
        column(
            "lyapunov",
            "float64",
            "Mean log growth rate per step of a small perturbation, over the last half.",
        ),
        ensemble("finite_steps", "Finite frames of each realization, frame 0 included."),
        column(
            "operator_digests",
            "string",
            "SHA-256 of the operator's weights, hexadecimal.",
            length=DIGEST_LENGTH,
        ),
    ]
    if layout.precision == "float16":
        specs.append(
            ensemble("overflow_steps", "Frames finite in float32 but beyond float16, stored as NaN.")
        )
    return specs


def _parameters(layout: Layout) -> list[ArraySpec]:
    N, P = layout.samples, len(layout.parameters)
    specs = []
    if P:
        description = "The sampled point in the unit cube; columns as in @names."
        names = (("names", tuple(parameter.name for parameter in layout.parameters)),)
        path, dims = "parameters/params", ("sample", "parameter")
        specs.append(ArraySpec(path, "table", dims, (N, P), "float64", description, attributes=names))
    for parameter in layout.parameters:
        path = f"parameters/values/{parameter.name}"
        dtype = _VALUE_DTYPES[parameter.kind]
        description = f"Decoded value of {parameter.name}."
        specs.append(ArraySpec(path, "table", ("sample",), (N,), dtype, description, length=parameter.length))
    return specs


def _features(layout: Layout) -> list[ArraySpec]:
    if layout.features is None:
        return []
    return feature_arrays(layout.features, layout.samples, layout.realizations)


def _checksums(layout: Layout) -> list[ArraySpec]:
    description = "CRC-32 of one row's entries in all tables, in the order of the schema."
    specs = [ArraySpec(ROW_CHECKSUMS, "checksum", ("sample",), (layout.samples,), "uint32", description)]
    for field in _fields(layout):
        shape = (layout.samples, prod(field.chunk_grid[1:]))
        description = (
            f"CRC-32 of each chunk of a row of {field.path}, in index order; -1 where none is stored."
        )
        path, dims = checksum_path(field.path), ("sample", CHUNK_DIMS[field.path])
        specs.append(ArraySpec(path, "checksum", dims, shape, "int64", description))
    return specs
