"""Storage: the schema of a dataset, its HDF5 form, shards and receipts, and the checked reader."""

from spinlock.storage.atomic import commit_text, remove_temporaries, system_reason, write_errors
from spinlock.storage.damage import Damage
from spinlock.storage.finalize import FinalFile, finalize
from spinlock.storage.locks import DirectoryLock
from spinlock.storage.reader import ArrayInfo, DatasetFile
from spinlock.storage.receipts import Receipt, ReceiptScan, read_receipts, shard_path, write_receipt
from spinlock.storage.rows import EncodedRow, Row, encode_row
from spinlock.storage.schema import Layout
from spinlock.storage.shards import ShardFile, write_shard
from spinlock.storage.space import readable_size, require_space
from spinlock.storage.verify import verify

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
    "commit_text",
    "encode_row",
    "finalize",
    "read_receipts",
    "readable_size",
    "remove_temporaries",
    "require_space",
    "shard_path",
    "system_reason",
    "verify",
    "write_errors",
    "write_receipt",
    "write_shard",
]
