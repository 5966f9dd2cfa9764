"""Run as a program: corrupt a file in many seeded ways and print what the reader makes of each (JSON lines).

Its own process, so that a crash of the HDF5 library shows as an exit code instead of ending the tests.
"""

import json
import signal
import sys
from pathlib import Path

from spinlock.errors import StorageError
from spinlock.keys import Key, Purpose, words
from spinlock.storage.reader import DatasetFile
from spinlock.storage.verify import verify
from test_storage.dataset_samples import plain_contents


def read_everything(path: Path) -> str | None:
    """Open, read every row and table; return the message of the refusal, or None where all was accepted."""
    try:
        with DatasetFile(path) as file:
            for info in file.describe_arrays():
                if info.path in ("inputs/fields", "outputs/fields", "outputs/trajectories"):
                    for index in range(file.layout.samples):
                        file.row(info.path, index)
                else:
                    file.table(info.path)
    except StorageError as error:
        return str(error)
    return None


def judge(path: Path, clean: dict) -> dict:
    """Say what was found; only where nothing was, ask plain h5py whether anything readable changed."""
    signal.alarm(30)  # a reader that hangs ends this process, and the tests see it
    found = {"verify": [str(damage) for damage in verify(path)], "reader": read_everything(path)}
    missed = (not found["verify"] or found["reader"] is None) and plain_contents(path) != clean
    return {"missed": missed, **found}


def damaged(original: bytes, how: str, first: int, second: int) -> bytes:
    """Return the bytes with one bit flipped, a run zeroed, or the end cut off."""
    place = first % len(original)
    if how == "flip":
        return original[:place] + bytes([original[place] ^ 1 << second % 8]) + original[place + 1 :]
    if how == "zero":
        end = min(len(original), place + 1 + second % 600)
        return original[:place] + bytes(end - place) + original[end:]
    assert how == "cut"
    return original[:place]


def main(source: Path, work: Path, how: str, count: int) -> None:
    original = source.read_bytes()
    clean = plain_contents(source)
    for first, second in words(Key(11, how), Purpose.PROBE, range(count), 2).tolist():
        work.unlink(missing_ok=True)
        work.write_bytes(damaged(original, how, first, second))
        sys.stdout.write(json.dumps({"place": first % len(original), **judge(work, clean)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
