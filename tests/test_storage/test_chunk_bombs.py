"""A chunk decodes to the size that the layout declares, whatever it says of itself: bombs take no memory."""

import json
import os
import random
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import spinlock
from spinlock.storage.codecs import CODECS, find_codec

TESTS = Path(__file__).resolve().parents[1]
SOURCE = Path(spinlock.__file__).resolve().parents[1]
SIZE = 1 << 16
BOMB = 1 << 28
MEMORY = 100 << 20

DECODING = f"""
import json, resource, signal, sys
from pathlib import Path
from spinlock.errors import StorageError
from spinlock.storage.codecs import find_codec
codec = find_codec(sys.argv[1])
codec.decode(Path(sys.argv[2]).read_bytes(), 4, {SIZE})  # a sound chunk, after which everything is imported
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + {MEMORY},) * 2)
for path in sys.argv[3:]:
    signal.alarm(30)
    try:
        told = len(codec.decode(Path(path).read_bytes(), 4, {SIZE}))
    except StorageError as error:
        told = str(error)
    print(json.dumps(told), flush=True)
"""


def decoded(folder: Path, name: str, chunks: list[bytes]) -> list[int | str]:
    """What a process of little memory makes of chunks: the size they decode to, or why they are refused."""
    sound = find_codec(name).encode(np.arange(SIZE // 4, dtype="<u4").view(np.uint8), 4, 1)
    paths = []
    for number, chunk in enumerate([sound, sound, *chunks]):
        paths.append(folder / f"{number}.chunk")
        paths[-1].write_bytes(chunk)
    run = subprocess.run(
        [sys.executable, "-c", DECODING, name, *map(str, paths)],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    told = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0, f"code {run.returncode} at chunk {len(told)}: {run.stderr[-1000:]}"
    assert told[0] == SIZE
    return told[1:]


@cache
def deflated(size: int) -> bytes:
    """Zeros, a thousandth of their size."""
    stream, block = zlib.compressobj(1), bytes(1 << 20)
    return b"".join([*(stream.compress(block) for _ in range(size >> 20)), stream.flush()])


def frame(size: int | None, blocks: bytes, window: int = 0x50) -> bytes:
    """A Zstandard frame with a header that says ``size``, or says nothing."""
    if size is None:
        return b"\x28\xb5\x2f\xfd" + bytes([0x00, window]) + blocks
    return b"\x28\xb5\x2f\xfd" + bytes([0xC0, window]) + size.to_bytes(8, "little") + blocks


def repeated(size: int) -> bytes:
    """Zstandard blocks of one byte repeated, four bytes for each 128 KiB."""
    largest, blocks = 1 << 17, []
    while size > 0:
        count = min(size, largest)
        size -= count
        blocks.append((count << 3 | 1 << 1 | (size == 0)).to_bytes(3, "little") + b"\0")
    return b"".join(blocks)


def blosc(size: int, block: int, stored: int | None = None, flags: int = 0x24) -> bytes:
    body = random.Random(size).randbytes(2000)
    header = bytes([2, 1, flags, 4]) + b"".join(
        value.to_bytes(4, "little") for value in (size, block, stored or 16 + len(body))
    )
    return header + body


BOMBS = {
    "zstd": [
        frame(BOMB, repeated(BOMB)),
        frame(SIZE, repeated(BOMB)),
        frame(None, repeated(BOMB)),
        frame(SIZE, repeated(SIZE)) + frame(None, repeated(BOMB)),
        frame(SIZE, repeated(SIZE)) + frame(BOMB, repeated(BOMB)),
        frame(2**63, repeated(SIZE)),
        frame(SIZE, repeated(SIZE - 5)),
        frame(SIZE, repeated(BOMB), window=0xFF),
        b"\x28\xb5\x2f\xfd",
        b"",
    ],
    "gzip": [deflated(BOMB), deflated(SIZE) + deflated(BOMB), deflated(BOMB)[:-9], b"", b"\x78\x9c"],
    "lz4": [
        blosc(BOMB, BOMB),
        blosc(SIZE, BOMB),
        blosc(SIZE, 2**31 - 1),
        blosc(SIZE, 1),
        blosc(SIZE, 0),
        blosc(SIZE, SIZE, stored=2**31 - 1),
        blosc(SIZE, SIZE, flags=0x02),
        blosc(SIZE, SIZE, flags=0xFF),
        b"",
        b"\x02" * 16,
    ],
    "none": [bytes(SIZE + 4), bytes(SIZE - 4), b""],
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_little_memory(tmp_path, name):
    told = decoded(tmp_path, name, BOMBS[name])
    assert len(told) == len(BOMBS[name])
    assert all("does not decode to the 65536 bytes" in str(reason) for reason in told), told


NAIVE = f"""
import resource, sys, zlib
from numcodecs import zstd
decode = {{"gzip": zlib.decompress, "zstd": zstd.decompress}}[sys.argv[1]]
data = open(sys.argv[2], "rb").read()
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + {MEMORY},) * 2)
try:
    decode(data)
except MemoryError:
    print("out of memory")
"""


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_the_bombs_are_bombs(tmp_path, name):
    """Control: what decodes them without a bound runs out of that little memory."""
    (tmp_path / "bomb").write_bytes(BOMBS[name][0])
    words = [sys.executable, "-c", NAIVE, name, str(tmp_path / "bomb")]
    run = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == "out of memory\n", run.stderr


def test_every_codec_has_its_bombs():
    assert set(BOMBS) == set(CODECS)


@pytest.mark.parametrize("name", CODECS)
def test_mutated_chunks_decode_to_their_size_or_are_refused(tmp_path, name):
    rng = random.Random(name)
    values = np.cumsum(np.frombuffer(rng.randbytes(SIZE // 4), np.uint8).astype("<u4"))[: SIZE // 4].astype(
        "<u4"
    )
    sound = find_codec(name).encode(values.view(np.uint8), 4, find_codec(name).default_level)
    mutated = []
    for _ in range(150):
        data = bytearray(sound)
        for _ in range(rng.choice((1, 1, 4))):
            data[rng.randrange(min(len(data), rng.choice((20, len(data)))))] = rng.randrange(256)
        mutated.append(bytes(data[: rng.choice((len(data), len(data), rng.randrange(len(data)))) or 1]))
    told = decoded(tmp_path, name, mutated)
    assert all(one == SIZE or "does not decode to" in str(one) for one in told), told
