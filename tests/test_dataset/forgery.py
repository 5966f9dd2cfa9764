"""Forged datasets: a sound file of other content, its checksums right, as no accident would make it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spinlock.storage import DatasetFile, Row, encode_row, finalize, write_shard
from spinlock.storage.feature_layout import (
    EXTRACTION_TIME,
    FEATURES,
    SCHEMA,
    SDF,
    FeatureFacts,
    group_attributes,
)
from spinlock.storage.schema import field_arrays, row_tables

Edit = Callable[[Row], Row]


def forge(source: Path, target: Path, edits: Mapping[int, Edit] | None = None, **attributes: str) -> Path:
    """Write a copy of a dataset with some rows and attributes replaced, sealed anew."""
    with DatasetFile(source) as file:
        fields = {spec.path for spec in field_arrays(file.layout)}
        tables = {spec.path: file.table(spec.path) for spec in row_tables(file.layout)}
        rows = []
        for index in range(file.layout.samples):
            row = Row(
                file.row("inputs/fields", index),
                file.row("outputs/fields", index),
                file.row("outputs/trajectories", index) if "outputs/trajectories" in fields else None,
                {path: plain(table[index]) for path, table in tables.items()},
            )
            rows.append(encode_row(file.layout, (edits or {}).get(index, unchanged)(row)))
        facts = {k: v for k, v in file.attributes.items() if k not in ("layout", "first_row")} | attributes
        digest = facts["plan_digest"]
        shard = target.with_suffix(".shard")
        part = write_shard(shard, file.layout, 0, file.layout.samples, rows, {"plan_digest": digest})
        finalize(target, file.layout, [part], facts, facts=feature_facts(file))
    shard.unlink()
    return target


def feature_facts(file: DatasetFile) -> FeatureFacts | None:
    if file.layout.features is None:
        return None
    derived = {name for attributes in group_attributes(file.layout.features).values() for name in attributes}
    groups = [file.group_attributes(path) for path in (SDF, FEATURES)]
    conventions, origin = ({k: v for k, v in group.items() if k not in derived} for group in groups)
    return FeatureFacts(file.document(SCHEMA), conventions, origin, file.table(EXTRACTION_TIME))


def plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def unchanged(row: Row) -> Row:
    return row


def entry(path: str, change: Callable[[Any], Any]) -> Edit:
    """Change one entry of a row's table."""
    return lambda row: replace(row, table={**row.table, path: change(row.table[path])})


def field(name: str, change: Callable[[np.ndarray], None]) -> Edit:
    """Change one field of a row in place."""

    def edit(row: Row) -> Row:
        values = getattr(row, name).copy()
        change(values)
        return replace(row, **{name: values})

    return edit
