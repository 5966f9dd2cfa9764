"""Export: a dataset written in the layout of another tool, complete or not at all."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from spinlock import __version__
from spinlock.dataset.exports.parquet import write_parquet
from spinlock.dataset.exports.request import Request, Written
from spinlock.dataset.exports.webdataset import write_webdataset
from spinlock.dataset.exports.well import write_well
from spinlock.dataset.open import Dataset
from spinlock.dataset.output import require_packages, resolved_output
from spinlock.errors import UsageError
from spinlock.registry import unknown_name
from spinlock.storage import form_to_make, is_taken
from spinlock.storage.atomic import write_errors

FORMATS: dict[str, Callable[[Request, Path], Written]] = {
    "parquet": write_parquet,
    "webdataset": write_webdataset,
    "well": write_well,
}

LAYOUTS = (*FORMATS, "zarr")

FACTS = "spinlock.json"


def export(
    dataset: Dataset,
    to: str,
    output: str | Path,
    splits: Mapping[str, NDArray[np.int64]] | None = None,
) -> dict[str, Any]:
    """Write a dataset to a new directory in another layout; return what was written, as JSON can hold it.

    The directory appears complete or not at all. ``spinlock.json`` in it says where the data come from: plan,
    digest, configuration, rows of each split.

    Parameters
    ----------
    to
        ``parquet`` (metadata and features), ``webdataset``, ``well``, or ``zarr`` (the whole dataset as
        `storage.backend: zarr` would have stored it).
    output
        The directory; it must not exist. A Zarr store may be a URL.
    splits
        Rows of each split [rows], as `spinlock.dataset.splits.split` gives them; ``train`` is all if not
        given.

    Raises
    ------
    UnknownNameError
        For a layout that does not exist.
    UsageError
        Where the output exists, or a package is missing.
    StorageError
        Where it cannot be written, or the dataset is damaged.
    """
    if to not in LAYOUTS:
        raise unknown_name("layout", to, LAYOUTS)
    if to == "zarr":
        return _export_zarr(dataset, output, splits)
    target = Path(output)
    if target.exists():
        raise UsageError(f"{target} exists: choose another --output, or remove it first")
    chosen = {"train": np.arange(len(dataset))} if splits is None else dict(splits)
    temporary = target.with_name(f"{target.name}.tmp-{uuid4().hex}")
    try:
        with write_errors(target):
            temporary.mkdir(parents=True)
            written = FORMATS[to](Request(dataset, dataset.path.stem, chosen), temporary)
            (temporary / FACTS).write_text(json.dumps(_facts(dataset, to, chosen, written), indent=1))
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    counts = {name: rows.size for name, rows in chosen.items()}
    return {"path": str(target), "layout": to, "splits": counts, **written.counts, "note": written.note}


def _export_zarr(
    dataset: Dataset, output: str | Path, splits: Mapping[str, NDArray[np.int64]] | None
) -> dict[str, Any]:
    """Write a whole dataset as a Zarr store: row i stays draw i."""
    if splits is not None:
        raise UsageError("a Zarr store holds every row: leave out --split-by, and split when you read it")
    target = resolved_output(str(output))
    if form_to_make(target) != "zarr":
        raise UsageError(f"{target}: end the name of a Zarr store in .zarr")
    if is_taken(target):
        raise UsageError(f"{target} exists: choose another --output, or remove it first")
    require_packages(target)
    final = dataset.copy_to_zarr(target)
    return {
        "path": str(target),
        "layout": "zarr",
        "splits": {"all": len(dataset)},
        "bytes": final.size,
        "note": "",
    }


def _facts(
    dataset: Dataset, to: str, splits: Mapping[str, NDArray[np.int64]], written: Written
) -> dict[str, Any]:
    return {
        "layout": to,
        "spinlock_version": __version__,
        "source": dataset.path.name,
        "plan_digest": dataset.attributes["plan_digest"],
        "digest": dataset.digest,
        "config": dataset.config.model_dump(mode="json"),
        "splits": {name: rows.tolist() for name, rows in splits.items()},
        **written.counts,
        "note": written.note,
    }
