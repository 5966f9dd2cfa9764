"""Receipts: the proof, in a small file beside each shard, that it was committed; a run's only memory."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from spinlock.errors import StorageError
from spinlock.storage.atomic import Checkpoint, commit_text, no_checkpoint
from spinlock.storage.digest import read_digest
from spinlock.storage.hashing import file_sha256
from spinlock.storage.opening import open_h5
from spinlock.storage.shards import ShardFile
from spinlock.storage.walk import H5_ERRORS, error_text, group

OPTIONAL = ("extraction_seconds", "traffic")
"""Fields that a receipt leaves out where they are empty, and that those of older versions lack."""


def shard_path(directory: Path, shard: int) -> Path:
    """Return where a run directory keeps a shard."""
    return directory / "shards" / f"part-{shard:06d}.h5"


def receipt_path(directory: Path, shard: int) -> Path:
    """Return where a run directory keeps a shard's receipt."""
    return directory / "receipts" / f"part-{shard:06d}.json"


@dataclass(frozen=True)
class Receipt:
    """A committed shard: what it is, of which plan, and how it was made.

    Attributes
    ----------
    shard, lo, hi
        Its number and its rows lo … hi − 1.
    plan_digest
        The plan it belongs to; another plan's receipts do not count.
    size, sha256, digest
        Of its file, as in `ShardFile`; the digest covers the CRC-32 of every chunk.
    timings
        Seconds spent in each stage.
    traffic
        Bytes that each stage took in and gave out; empty in receipts of older versions.
    versions, environment
        Packages, device model, instruction set: what may not be mixed unnoticed.
    attempt
        1 for a shard that succeeded at once.
    extraction_seconds
        What the features of each row took; empty where none were measured.
    """

    shard: int
    lo: int
    hi: int
    plan_digest: str
    size: int
    sha256: str
    digest: str
    timings: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1
    extraction_seconds: Sequence[float] = field(default_factory=list)
    traffic: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, shard: int, file: ShardFile, plan_digest: str, **how: Any) -> "Receipt":
        """Return the receipt of a committed shard; ``how`` are the fields that say how it was made."""
        return cls(shard, file.lo, file.hi, plan_digest, file.size, file.sha256, file.digest, **how)

    def shard_file(self, directory: Path) -> ShardFile:
        """Return the shard that the receipt stands for."""
        path = shard_path(directory, self.shard)
        return ShardFile(path, self.lo, self.hi, self.size, self.sha256, self.digest)

    def to_json(self) -> str:
        """Return the receipt as JSON, with a checksum of itself."""
        content = {name: value for name, value in asdict(self).items() if value or name not in OPTIONAL}
        return json.dumps({**content, "checksum": _checksum(content)}, sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Receipt":
        """Return the receipt that `to_json` wrote, or raise `StorageError` where it was changed or cut."""
        try:
            content = json.loads(text)
            checksum = content.pop("checksum")
            sound = {*content, *OPTIONAL} == _FIELDS and checksum == _checksum(content)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise StorageError(f"the receipt is damaged ({error})") from error
        if not sound:
            raise StorageError("the receipt is damaged (its checksum is wrong)")
        _check_kinds(content)
        return cls(**content)


def _check_kinds(content: Mapping[str, object]) -> None:
    """Raise `StorageError` where a field is of a kind that no receipt has."""
    for name in ("shard", "lo", "hi", "size", "attempt"):
        value = content[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise StorageError(f"the receipt is damaged ({name} is {value!r:.40})")
    for name in ("plan_digest", "sha256", "digest"):
        if not isinstance(content[name], str):
            raise StorageError(f"the receipt is damaged ({name} is no text)")
    for name, kinds in (
        ("timings", (int, float)),
        ("versions", str),
        ("environment", str),
        ("traffic", list),
    ):
        value = content.get(name, {})
        if not isinstance(value, dict) or not all(isinstance(item, kinds) for item in value.values()):
            raise StorageError(f"the receipt is damaged ({name} is {value!r:.40})")
    seconds = content.get("extraction_seconds", [])
    if not isinstance(seconds, list) or not all(isinstance(one, int | float) for one in seconds):
        raise StorageError("the receipt is damaged (extraction_seconds are no numbers)")


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

_FIELDS = frozenset(item.name for item in fields(Receipt))


def _checksum(content: dict[str, object]) -> str:
    return hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()


def write_receipt(directory: Path, receipt: Receipt, checkpoint: Checkpoint = no_checkpoint) -> Path:
    """Commit a receipt atomically; from now on its shard counts as done."""
    path = receipt_path(directory, receipt.shard)
    commit_text(path, receipt.to_json(), checkpoint)
    return path


@dataclass(frozen=True)
class ReceiptScan:
    """What a run directory proves: ``valid`` receipts by shard number, and why others are ``rejected``."""

    valid: Mapping[int, Receipt]
    rejected: Mapping[Path, str]


def read_receipts(
    directory: Path, plan_digest: str, *, deep: bool = False, ranges: Sequence[tuple[int, int]] | None = None
) -> ReceiptScan:
    """Return the receipts of a plan whose shards stand; all others count as missing, each with its reason.

    Parameters
    ----------
    directory
        The run directory; one that does not exist holds no receipts.
    deep
        Also read every shard and compare its SHA-256 (a size is compared always).
    ranges
        The rows [lo, hi) of every shard of the plan. Receipts of other rows do not count then, nor, where
        shards are read, those whose shards say of themselves that they are others.
    """
    valid: dict[int, Receipt] = {}
    rejected: dict[Path, str] = {}
    for name in _names(directory / "receipts"):
        try:
            receipt = _read(directory, name, plan_digest, deep=deep)
            if ranges is not None:
                _check_range(receipt, ranges)
                if deep:
                    _check_statements(receipt, shard_path(directory, receipt.shard))
        except (StorageError, OSError, UnicodeDecodeError) as error:
            rejected[directory / "receipts" / name] = str(error)
        else:
            valid[receipt.shard] = receipt
    return ReceiptScan(valid, rejected)


def read_receipt(directory: Path, shard: int, plan_digest: str, *, deep: bool = False) -> Receipt:
    """Return a receipt whose shard stands; raise `StorageError` or `OSError` where it does not count."""
    return _read(directory, receipt_path(directory, shard).name, plan_digest, deep=deep)


def _names(folder: Path) -> list[str]:
    """Return the names of the receipts in a folder, in order; names, not paths: there may be 100,000."""
    try:
        return sorted(name for name in os.listdir(folder) if fnmatchcase(name, "part-*.json"))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(directory: Path, name: str, plan_digest: str, *, deep: bool) -> Receipt:
    with open(f"{directory}/receipts/{name}", "rb") as file:  # noqa: PTH123 (a path takes as long as the rest)
        receipt = Receipt.from_json(file.read().decode())
    if name != f"part-{receipt.shard:06d}.json":
        raise StorageError(f"it is the receipt of shard {receipt.shard}, under another name")
    if receipt.plan_digest != plan_digest:
        raise StorageError(f"it belongs to another plan ({receipt.plan_digest[:12]}…)")
    shard = f"part-{receipt.shard:06d}.h5"
    try:
        status = os.stat(f"{directory}/shards/{shard}")  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        raise StorageError(f"its shard {shard} is missing")
    if status.st_size != receipt.size:
        raise StorageError(f"its shard {shard} has {status.st_size} bytes instead of {receipt.size}")
    if deep and file_sha256(shard_path(directory, receipt.shard)) != receipt.sha256:
        raise StorageError(f"its shard {shard} changed since it was committed")
    return receipt


def _check_range(receipt: Receipt, ranges: Sequence[tuple[int, int]]) -> None:
    if receipt.shard >= len(ranges) or (receipt.lo, receipt.hi) != ranges[receipt.shard]:
        raise StorageError(
            f"it says that shard {receipt.shard} holds the rows {receipt.lo} to {receipt.hi}; the plan says "
            "otherwise"
        )
    if len(receipt.extraction_seconds) not in (0, receipt.hi - receipt.lo):
        raise StorageError("it holds the times of other rows")


def _check_statements(receipt: Receipt, shard: Path) -> None:
    """Raise `StorageError` unless a shard, whose bytes are right, says of itself what its receipt does."""
    try:
        with closing(open_h5(shard)) as file:
            facts = group(file, "metadata").attrs
            stated = facts["plan_digest"], facts["first_row"], read_digest(file)
    except H5_ERRORS as error:
        raise StorageError(f"its shard {shard.name} cannot be read ({error_text(error)})") from error
    if stated != (receipt.plan_digest.encode(), receipt.lo, receipt.digest):
        raise StorageError(f"its shard {shard.name} is that of other rows, or of another plan")
