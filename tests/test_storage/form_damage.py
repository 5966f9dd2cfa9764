"""Damage of one file of a `.spin` directory or a Zarr store, and what must come of it."""

import random
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import zarr

from spinlock.errors import StorageError
from spinlock.storage.forms import verify
from test_storage.stored_forms import contents


@contextmanager
def no_hang(seconds: int = 60):
    """End the test process where something hangs; how long it takes decides nothing else."""
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def files_of(path: Path) -> list[Path]:
    return sorted(one for one in path.rglob("*") if one.is_file())


def damage(path: Path, target: Path, kind: str, choose: random.Random) -> bool:
    """Damage a file in one way; return whether its bytes changed."""
    before = target.read_bytes()
    data = bytearray(before)
    if kind == "remove":
        target.unlink()
        return True
    if kind == "swap":
        other = choose.choice([one for one in files_of(path) if one.suffix == target.suffix])
        theirs = other.read_bytes()
        other.write_bytes(before)
        target.write_bytes(theirs)
        return theirs != before
    if kind == "flip":
        data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    elif kind == "cut":
        del data[choose.randrange(len(data)) :]
    elif kind == "zero":
        place = choose.randrange(len(data))
        data[place : place + 64] = bytes(len(data[place : place + 64]))
    elif kind == "append":
        data += choose.randbytes(24)
    else:
        data.clear()
    target.write_bytes(data)
    return bytes(data) != before


def plain_numbers(path: Path) -> dict[str, object] | None:
    """Every array as plain zarr reads it, and as it reads it alone; None where zarr cannot."""
    try:
        group = zarr.open_group(path, mode="r")
        found = {}
        for name, item in group.members(max_depth=None):
            if isinstance(item, zarr.Array):
                alone = zarr.open_array(path / name, mode="r")
                found[name] = [repr(np.asarray(one[()]).tolist()) for one in (item, alone)]
    except Exception:
        return None
    return found


def refused(call) -> str | None:
    """What a call is refused with; whatever is no refusal of ours comes through."""
    try:
        call()
    except StorageError as error:
        return str(error)
    return None


def examine(path: Path, right: dict[str, object], said: object) -> bool:
    """Check what comes of a damaged dataset; return whether `verify` found it."""
    with no_hang():
        try:
            found = contents(path)
        except StorageError:
            found = None
        assert found in (None, right), f"wrong numbers: {said}"
        faults = verify(path)
        assert found is not None or faults, f"refused, but not found: {said}"
        return bool(faults)


def check(path: Path, sound: Path, target: Path, said: object, changed: bool, right, plain) -> bool:
    told = examine(path, right, said)
    if changed and not told and path.suffix == ".zarr":
        assert plain_numbers(path) == plain, f"not found: {said}"
    return told
