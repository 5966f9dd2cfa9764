"""Run as a program: corrupt a file in many seeded ways and print, as JSON lines, what the reader makes of each.

Its own process, so that a crash of the HDF5 library shows as an exit code instead of ending the tests.
"""

import json
import sys
from pathlib import Path

from test_storage.dataset_samples import plain_contents

from spinlock.errors import StorageError
from spinlock.keys import Key, Purpose, words
from spinlock.storage.reader import DatasetFile
from spinlock.storage.verify import verify
from spinlock.storage.walk import H5_ERRORS


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
    try:
        readable = plain_contents(path) == clean
    except (*H5_ERRORS, SystemError):
        readable = False
    return {"unchanged": readable, "verify": [str(d) for d in verify(path)], "reader": read_everything(path)}


def main(source: Path, work: Path, how: str, count: int) -> None:
    original = source.read_bytes()
    clean = plain_contents(source)
    draws = words(Key(11, how), Purpose.PROBE, range(count), 2)
    for first, second in draws.tolist():
        data = bytearray(original)
        place = first % len(data)
        if how == "flip":
            data[place] ^= 1 << (second % 8)
        elif how == "zero":
            data[place : place + 1 + second % 600] = bytes(len(data[place : place + 1 + second % 600]))
        else:
            del data[place:]
        work.unlink(missing_ok=True)
        work.write_bytes(data)
        print(json.dumps({"place": place, **judge(work, clean)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
