"""The configuration as a strict model: every field, its default, its bounds, and what it affects.

``affects`` says what a change of the field changes: the ``content`` of the data, its ``layout`` in the file,
the ``execution`` of the run, or a ``label``. Content and layout make up the plan's digest.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spinlock.config.values import (
    SDF_CATEGORIES,
    Categories,
    Device,
    Devices,
    OutputPath,
    Seconds,
    SlurmOptions,
    StoragePrecision,
    Trajectories,
    Workers,
)

Affects = Literal["content", "layout", "execution", "label"]

Scalar = bool | int | float | str


def affecting(what: Affects, *, default: Any = ..., description: str, **constraints: Any) -> Any:
    """Return a field that says what it affects."""
    return Field(default, description=description, json_schema_extra={"affects": what}, **constraints)


class Section(BaseModel):
    """A section: unknown keys are errors, values are not coerced, nothing changes later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Metadata(Section):
    """What the dataset is, for readers."""

    name: str | None = affecting("label", default=None, description="A name for the dataset.")
    description: str | None = affecting("label", default=None, description="What it is for.")
    license: str | None = affecting(
        "label", default=None, description="Under which it is given away, such as cc-by-4.0."
    )


class ParameterConfig(Section):
    """One sampled parameter."""

    type: Literal["integer", "continuous", "choice", "boolean"] = affecting(
        "content", description="Its kind."
    )
    bounds: list[int | float] | None = affecting(
        "content", default=None, min_length=2, max_length=2, description="[low, high], both included."
    )
    log_scale: bool = affecting(
        "content", default=False, description="Sample log-uniformly (continuous only)."
    )
    choices: list[Scalar] | None = affecting("content", default=None, description="The values of a choice.")

    @model_validator(mode="after")
    def _fits_its_type(self) -> "ParameterConfig":
        numeric = self.type in ("integer", "continuous")
        if numeric and self.bounds is None:
            raise ValueError(f"a parameter of type {self.type} needs `bounds: [low, high]`")
        if self.type == "choice" and not self.choices:
            raise ValueError("a parameter of type choice needs `choices: [...]` with at least one value")
        for key, allowed in (
            ("bounds", numeric),
            ("log_scale", self.type == "continuous"),
            ("choices", self.type == "choice"),
        ):
            if not allowed and getattr(self, key) not in (None, False):
                raise ValueError(f"`{key}` does not go with type {self.type}")
        return self


class ParameterSpace(Section):
    """The sampled parameters, under four headings; names are unique over all of them."""

    architecture: dict[str, ParameterConfig] = affecting(
        "content", default={}, description="The operator's network."
    )
    stochastic: dict[str, ParameterConfig] = affecting(
        "content", default={}, description="Noise and dropout."
    )
    operator: dict[str, ParameterConfig] = affecting(
        "content", default={}, description="Grid and operator family."
    )
    rollout: dict[str, ParameterConfig] = affecting("content", default={}, description="The update policy.")

    def parameters(self) -> dict[str, ParameterConfig]:
        """Return all parameters by name."""
        return {**self.architecture, **self.stochastic, **self.operator, **self.rollout}


class Sobol(Section):
    """The sequence that samples the space."""

    scramble: bool = affecting("content", default=True, description="Owen scrambling.")
    seed: int = affecting("content", default=42, ge=0, lt=2**64, description="Root seed of everything.")


class SamplingValidation(Section):
    """How good the sampled points must be, relative to random points at the same N and P."""

    on_failure: Literal["warn", "stop"] = affecting(
        "execution", default="warn", description="Warn and go on, or stop before computing."
    )
    max_discrepancy_ratio: float = affecting(
        "execution", default=1.0, gt=0, description="CD² over its expectation for random points."
    )
    max_correlation: float = affecting(
        "execution", default=1.0, gt=0, description="Largest |r| over the 95 % quantile for random points."
    )
    max_imbalance: float = affecting(
        "execution",
        default=1.0,
        gt=0,
        description="Worst 1-D imbalance over the 95 % quantile for random points.",
    )


class Sampling(Section):
    """How many points, and which."""

    total_samples: int = affecting("content", ge=1, le=2**32, description="Number of samples N.")
    batch_size: int = affecting(
        "execution", default=1000, ge=1, description="Most samples in flight at a time."
    )
    sobol: Sobol = affecting("content", default=Sobol(), description="The sequence.")
    validation: SamplingValidation = affecting(
        "execution", default=SamplingValidation(), description="Quality gate of the sampling."
    )


class Slurm(Section):
    """The array job of the strategy ``slurm``."""

    tasks: Workers = affecting(
        "execution",
        default="auto",
        description="Tasks of the array job; each uses all cores and GPUs that SLURM gives it.",
    )
    options: SlurmOptions = affecting(
        "execution",
        default={},
        description="Further options of sbatch by their long names, such as {partition: gpu, time: 60}; true "
        "stands for an option without a value.",
    )
    poll_seconds: float = affecting(
        "execution", default=10.0, gt=0, le=3600, description="SLURM is asked how the tasks fare so often."
    )


class Parallelism(Section):
    """Who does the work."""

    strategy: Literal["auto", "inline", "process", "ddp", "ray", "slurm"] = affecting(
        "execution",
        default="auto",
        description="In this process, in worker processes, one process a device slot (ddp), "
        "on a Ray cluster, or in an array job of SLURM.",
    )
    workers: Workers = affecting(
        "execution", default="auto", description="Threads of an inline run, worker processes, or Ray actors."
    )
    devices: Devices = affecting(
        "execution",
        default="auto",
        description="Devices that workers are spread over; each entry is a slot, and may be repeated.",
    )
    slots_per_device: int = affecting(
        "execution",
        default=1,
        ge=1,
        le=64,
        description="Workers that share a device, or an entry of devices.",
    )
    stall_seconds: Seconds = affecting(
        "execution",
        default="auto",
        description="A worker process silent for so long is stuck: it is killed, its shard tried again. "
        "It speaks at steps, measured realizations and rows: allow for one operator and one encoding.",
    )
    slurm: Slurm = affecting("execution", default=Slurm(), description="The array job of slurm.")


class InputGeneration(BaseModel):
    """Initial conditions: a method, weights, and one option block for each type or alias, under its name."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    method: str = affecting("content", default="sampled", description="`sampled`, or one type's name.")
    ic_type_weights: dict[str, float] | None = affecting(
        "content", default=None, description="Weight of each type or alias; they need not sum to 1."
    )

    @property
    def blocks(self) -> dict[str, Any]:
        """The option blocks, by label."""
        return dict(self.model_extra or {})


class Simulation(Section):
    """What is rolled out, and on what."""

    device: Device = affecting(
        "execution",
        default="auto",
        description="auto, cpu, cuda or cuda:1; without a GPU cuda falls back to cpu.",
    )
    num_realizations: int = affecting("content", default=10, ge=1, lt=2**16, description="Ensemble size M.")
    num_timesteps: int = affecting("content", default=1, ge=1, lt=2**16, description="Operator applications.")
    num_channels: int = affecting("content", default=3, ge=1, le=64, description="Channels C of every field.")
    precision: Literal["float32", "bfloat16", "float16"] = affecting(
        "content", default="float32", description="Number format inside the operator; states stay float32."
    )
    parallelism: Parallelism = affecting("execution", default=Parallelism(), description="Who does the work.")
    memory_fraction: float = affecting(
        "execution",
        default=0.7,
        gt=0,
        le=1,
        description="Share of the free memory that samples in flight may take.",
    )
    input_generation: InputGeneration = affecting("content", description="Initial conditions.")


class Features(Section):
    """The features measured of every sample."""

    during_generation: bool = affecting(
        "content", default=False, description="Measure them right after each rollout and store them."
    )
    categories: Categories = affecting(
        "content", default="all", description="Categories measured; columns of the others are NaN."
    )
    sdf_version: Literal["2.0.0", "1.0.0"] = affecting(
        "content", default="2.0.0", description="Version of the feature set; the older one has the first 59."
    )

    @model_validator(mode="after")
    def _version_has_categories(self) -> "Features":
        known = SDF_CATEGORIES[self.sdf_version]
        missing = [name for name in self.categories if name not in known] if self.categories != "all" else []
        if missing:
            raise ValueError(
                f"sdf_version {self.sdf_version} has no {', '.join(missing)}; it has {', '.join(known)}"
            )
        return self


class Storage(Section):
    """How the arrays are stored."""

    backend: Literal["auto", "hdf5", "spin", "zarr"] = affecting(
        "execution",
        default="auto",
        description="One HDF5 file, a .spin directory of shards, or a Zarr store; auto: as output_path ends.",
    )
    compression: Literal["zstd", "gzip", "lz4", "none"] = affecting(
        "layout", default="zstd", description="Codec."
    )
    compression_level: int | None = affecting(
        "layout", default=None, description="Effort of the codec; each has its own default."
    )
    precision: StoragePrecision = affecting(
        "content", default="float32", description="float32, float16 or bitround:<kept mantissa bits>."
    )
    trajectories: Trajectories = affecting(
        "content", default="none", description="Frames stored beside the last: none, all or {every: k}."
    )


class Dataset(Section):
    """Where the dataset goes, and how."""

    output_path: OutputPath = affecting(
        "execution",
        description="What to make: a file ending in .h5, a .spin directory, a .zarr store or its URL.",
    )
    storage: Storage = affecting("layout", default=Storage(), description="How the arrays are stored.")


class Config(Section):
    """A complete, valid configuration."""

    version: Literal["1.0"] = affecting("label", description="Version of the configuration format.")
    metadata: Metadata = affecting("label", default=Metadata(), description="What the dataset is.")
    parameter_space: ParameterSpace = affecting("content", description="The sampled parameters.")
    sampling: Sampling = affecting("content", description="How many points, and which.")
    simulation: Simulation = affecting("content", description="What is rolled out, and on what.")
    features: Features = affecting("content", default=Features(), description="The features measured.")
    dataset: Dataset = affecting("layout", description="Where the dataset goes, and how.")
