"""Storage: the schema of a dataset, its HDF5 form, shards and receipts, and the checked reader."""

from spinlock.storage.atomic import commit_text, remove_temporaries, system_reason, write_errors
from spinlock.storage.damage import Damage
from spinlock.storage.finalize import FinalFile
from spinlock.storage.forms import finalize, open_stored, verify, with_features
from spinlock.storage.locations import Url, form_at, form_to_make, is_taken, location
from spinlock.storage.locks import DirectoryLock
from spinlock.storage.reader import DatasetFile
from spinlock.storage.receipts import Receipt, ReceiptScan, read_receipts, shard_path, write_receipt
from spinlock.storage.rows import EncodedRow, Row, encode_row
from spinlock.storage.schema import Layout
from spinlock.storage.shards import ShardFile, write_shard
from spinlock.storage.space import readable_size, require_space
from spinlock.storage.stored import ArrayInfo, StoredDataset

__all__ = [
    "ArrayInfo",
    "Damage",
    "DatasetFile",
    "DirectoryLock",
    "EncodedRow",
    "FinalFile",
    "Layout",
    "Receipt",
    "ReceiptScan",
    "Row",
    "ShardFile",
    "StoredDataset",
    "Url",
    "commit_text",
    "encode_row",
    "finalize",
    "form_at",
    "form_to_make",
    "is_taken",
    "location",
    "open_stored",
    "read_receipts",
    "readable_size",
    "remove_temporaries",
    "require_space",
    "shard_path",
    "system_reason",
    "verify",
    "with_features",
    "write_errors",
    "write_receipt",
    "write_shard",
]
