"""Values that no plain type describes: each with its check, and with its schema for editors."""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, WithJsonSchema

from spinlock.config.allowed import shown
from spinlock.config.yaml_source import UNSTORABLE
from spinlock.features.catalogue import SDF_VERSION, Category
from spinlock.registry import near_miss
from spinlock.storage.locations import SUFFIXES

CATEGORIES: tuple[str, ...] = get_args(Category)
"""The categories of features, in their order."""

SDF_CATEGORIES = {SDF_VERSION: CATEGORIES, "1.0.0": ("spatial", "spectral", "temporal")}
"""The categories that each version of the features has."""


SBATCH_OPTION = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

UNWRITABLE = re.compile(r"[\"'\\\x00-\x1f\x7f]")
"""What no option in a script of sbatch can hold."""

OWN_OPTIONS = frozenset(
    (
        "array", "chdir", "error", "help", "input", "job-name", "no-requeue", "output",
        "parsable", "quiet", "requeue", "signal", "test-only", "usage", "verbose", "version", "wait", "wrap",
    )
)  # fmt: skip
"""Options of sbatch that the executor gives itself, or that would keep it from working."""


def _refusal(value: Any, allowed: str) -> ValueError:
    return ValueError(
        f"is empty: it must be {allowed}"
        if value is None
        else f"{shown(value)} is not allowed: it must be {allowed}"
    )


def _check_workers(value: Any) -> Any:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise _refusal(value, "auto or an integer ≥ 1")


def _check_seconds(value: Any) -> Any:
    if value == "auto" or (type(value) in (int, float) and 0 < value <= 1e9):
        return value
    raise _refusal(value, "auto or a number of seconds > 0 and ≤ 1e9")


def _check_device(value: Any) -> Any:
    if value in ("auto", "cpu", "cuda"):
        return value
    name, _, number = value.partition(":") if isinstance(value, str) else ("", "", "")
    if name == "cuda" and number.isdecimal():
        return f"cuda:{int(number)}"
    raise _refusal(value, "auto, cpu, cuda or cuda:<number>")


def _check_devices(value: Any) -> Any:
    if value == "auto":
        return value
    if isinstance(value, list) and value:
        return [_check_device(f"cuda:{v}" if type(v) is int and v >= 0 else v) for v in value]
    raise _refusal(value, "auto or a list of GPU numbers and device names, such as [0, 1] or [cpu, cuda:0]")


def _check_slurm_options(value: Any) -> Any:
    if not isinstance(value, dict):
        raise _refusal(value, "a section of options of sbatch, such as {partition: gpu, time: 60}")
    for name, item in value.items():
        if not isinstance(name, str) or not SBATCH_OPTION.fullmatch(name):
            raise ValueError(
                f"{shown(name)} is no long option of sbatch: write its name without dashes, as in partition"
            )
        if name in OWN_OPTIONS:
            raise ValueError(f"{name} is an option of sbatch that the run gives itself: leave it out")
        if item is not True and type(item) not in (str, int):
            raise ValueError(
                f"{name}: {shown(item)} is not allowed: it must be text, an integer, or true for an option "
                "without a value"
            )
        if isinstance(item, str) and (not item or UNWRITABLE.search(item)):
            raise ValueError(
                f"{name}: {shown(item)} is not allowed: it must be text on one line, without quotation marks "
                "and backslashes"
            )
    return value


def _check_trajectories(value: Any) -> Any:
    if value in ("none", "all"):
        return value
    every = value.get("every") if isinstance(value, dict) and len(value) == 1 else None
    if type(every) is int and every >= 1:
        return value
    raise _refusal(value, "none, all or {every: k}, k an integer ≥ 1")


def _check_storage_precision(value: Any) -> Any:
    if value in ("float32", "float16"):
        return value
    name, _, bits = value.partition(":") if isinstance(value, str) else ("", "", "")
    if name == "bitround" and bits.isdecimal() and len(bits) <= 4 and 1 <= int(bits) <= 22:
        return f"bitround:{int(bits)}"
    raise _refusal(value, "float32, float16 or bitround:<mantissa bits kept, 1 to 22>")


def _check_output_path(value: Any) -> Any:
    if isinstance(value, str) and value.endswith(tuple(SUFFIXES)):
        if UNSTORABLE.search(value):
            raise ValueError(f"{value!a} is not allowed: it must be a path in UTF-8")
        return value
    raise _refusal(
        value, "the path of a file that ends in .h5 or .hdf5, of a .spin directory, or a .zarr store or URL"
    )


def _check_categories(value: Any) -> Any:
    """Return categories in the order of the catalogue; all of them are ``all``."""
    allowed = f"all or a list of {', '.join(CATEGORIES)}, each once"
    if value == "all":
        return value
    if not isinstance(value, list) or not value or len(set(map(str, value))) < len(value):
        raise _refusal(value, allowed)
    for item in value:
        if item not in CATEGORIES:
            near = near_miss(str(item), CATEGORIES)
            hint = f" (did you mean {near!r}?)" if near else ""
            raise ValueError(f"{shown(item)} is no category of features{hint}; it must be {allowed}")
    return "all" if len(value) == len(CATEGORIES) else [name for name in CATEGORIES if name in value]


_AUTO = {"const": "auto"}
_DEVICE = {"type": "string", "pattern": r"^(auto|cpu|cuda(:[0-9]+)?)$"}
_GPU = {"type": "integer", "minimum": 0}
_DEVICES = {"type": "array", "minItems": 1, "items": {"anyOf": [_GPU, _DEVICE]}}
_EVERY = {
    "type": "object",
    "properties": {"every": {"type": "integer", "minimum": 1}},
    "required": ["every"],
    "additionalProperties": False,
}
_STORAGE_PRECISION = {"type": "string", "pattern": r"^(float32|float16|bitround:0*([1-9]|1[0-9]|2[0-2]))$"}
_CATEGORIES = {
    "anyOf": [
        {"const": "all"},
        {"type": "array", "items": {"enum": list(CATEGORIES)}, "minItems": 1, "uniqueItems": True},
    ]
}
_WRITABLE = {"type": "string", "pattern": r"^[^\"'\\\x00-\x1f\x7f]+$"}
_SLURM_OPTIONS = {
    "type": "object",
    "propertyNames": {"pattern": f"^{SBATCH_OPTION.pattern}$"},
    "additionalProperties": {"anyOf": [_WRITABLE, {"type": "integer"}, {"const": True}]},
}
_OUTPUT_PATH = {"type": "string", "pattern": r"^(.*://.*\.zarr|(?!.*://).*\.(h5|hdf5|spin|zarr))$"}

Workers = Annotated[
    int | Literal["auto"],
    BeforeValidator(_check_workers),
    WithJsonSchema({"anyOf": [_AUTO, {"type": "integer", "minimum": 1}]}),
]
Seconds = Annotated[
    float | Literal["auto"],
    BeforeValidator(_check_seconds),
    WithJsonSchema({"anyOf": [_AUTO, {"type": "number", "exclusiveMinimum": 0, "maximum": 1e9}]}),
]
Device = Annotated[str, BeforeValidator(_check_device), WithJsonSchema(_DEVICE)]
Devices = Annotated[
    list[str] | Literal["auto"],
    BeforeValidator(_check_devices),
    WithJsonSchema({"anyOf": [_AUTO, _DEVICES]}),
]
SlurmOptions = Annotated[
    dict[str, str | int | bool], BeforeValidator(_check_slurm_options), WithJsonSchema(_SLURM_OPTIONS)
]
Trajectories = Annotated[
    dict[str, int] | Literal["none", "all"],
    BeforeValidator(_check_trajectories),
    WithJsonSchema({"anyOf": [{"enum": ["none", "all"]}, _EVERY]}),
]
StoragePrecision = Annotated[
    str, BeforeValidator(_check_storage_precision), WithJsonSchema(_STORAGE_PRECISION)
]
Categories = Annotated[
    list[str] | Literal["all"], BeforeValidator(_check_categories), WithJsonSchema(_CATEGORIES)
]
OutputPath = Annotated[str, BeforeValidator(_check_output_path), WithJsonSchema(_OUTPUT_PATH)]
