"""The same small dataset in each form, made of the same shards."""

from pathlib import Path

import numpy as np

from spinlock.storage.atomic import no_checkpoint
from spinlock.storage.forms import finalize, open_stored
from spinlock.storage.receipts import Receipt, shard_path, write_receipt
from spinlock.storage.schema import Layout, field_arrays
from spinlock.storage.shards import ShardFile
from spinlock.storage.stored import TABLES, StoredDataset
from test_storage.dataset_samples import PLAN, feature_facts_of, shard_of

FORMS = ("h5", "spin", "zarr")

ROWS = 3
"""Rows of a shard; the last one has what is left."""

STATED = {"plan_digest": PLAN, "config": "{}"}


def shards_of(work: Path, layout: Layout, rows: int = ROWS) -> list[ShardFile]:
    """Write the shards as a run directory holds them."""
    (work / "shards").mkdir(parents=True)
    (work / "receipts").mkdir()
    (work / "plan.json").write_text("{}")
    ranges = [(lo, min(lo + rows, layout.samples)) for lo in range(0, layout.samples, rows)]
    shards = []
    for number, (lo, hi) in enumerate(ranges):
        shard = shard_of(shard_path(work, number), layout, lo, hi)
        write_receipt(work, Receipt(number, lo, hi, PLAN, shard.size, shard.sha256, shard.digest))
        shards.append(shard)
    return shards


def form_of(path: Path, layout: Layout, rows: int = ROWS, checkpoint=no_checkpoint) -> Path:
    """Make the dataset whose form the end of the path's name asks for."""
    work = path.with_name(f"{path.name}.parts")
    facts = feature_facts_of(layout.samples) if layout.features else None
    finalize(path, layout, shards_of(work, layout, rows), STATED, checkpoint, facts)
    return path


def all_stored(dataset: StoredDataset) -> dict[str, object]:
    """Everything that a dataset stores, but what speaks of its form: tables and chunks as bytes."""
    found: dict[str, object] = {}
    for spec in dataset._specs.values():
        if spec.kind == "field":
            for row in range(dataset.layout.samples):
                for position, data in dataset.raw_row(spec, row):
                    found[f"{spec.path} {row} {position}"] = data
        elif spec.kind == "document":
            found[spec.path] = dataset.document(spec.path)
        else:
            assert spec.kind in TABLES
            values = dataset.table(spec.path)
            found[spec.path] = (values.dtype.str, values.shape, values.tobytes())
    return found


def all_rows(dataset: StoredDataset) -> dict[str, np.ndarray]:
    """Every row of every field as our reader gives it."""
    return {
        f"{spec.path} {row}": dataset.row(spec.path, row)
        for spec in field_arrays(dataset.layout)
        for row in range(dataset.layout.samples)
    }


def contents(path: Path) -> dict[str, object]:
    with open_stored(path) as dataset:
        return all_stored(dataset)
