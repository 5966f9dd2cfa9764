"""Chunks in Blosc frames: what we put around them is what Blosc reads, and nothing else is believed."""

import asyncio
import struct

import google_crc32c
import numcodecs.blosc
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numcodecs.zstd import compress as zstd

from spinlock.errors import StorageError
from spinlock.storage.chunks import chunk_shape
from spinlock.storage.codecs import find_codec, unshuffle
from spinlock.storage.rows import stored_dtype
from spinlock.storage.schema import field_arrays
from spinlock.storage.zarr_chunks import (
    ABSENT,
    HEADER,
    PADDING,
    framed,
    index_bytes,
    parse_index,
    shard_object,
    unframed,
)
from spinlock.storage.zarr_tree import create_zarr_array
from test_storage.dataset_samples import layout_of, numbers

CODECS = [("zstd", 3), ("zstd", 1), ("gzip", 0), ("gzip", 1), ("gzip", 4), ("lz4", 5), ("none", 0)]


def layout_for(codec, precision="float32", **changes):
    return layout_of(compression=codec[0], compression_level=codec[1], precision=precision, **changes)


def spec_of(layout, path="inputs/fields"):
    return next(spec for spec in field_arrays(layout) if spec.path == path)


def raw_size(spec):
    return int(np.prod(chunk_shape(spec))) * stored_dtype(spec).itemsize


def chunk_of(layout, spec, raw):
    codec = find_codec(layout.compression)
    return codec.encode(np.frombuffer(raw, np.uint8), stored_dtype(spec).itemsize, layout.compression_level)


def contents(size):
    """Bytes of that many: constant, periodic, and incompressible."""
    noise = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).bytes(size))
    part = st.binary(min_size=1, max_size=64).map(lambda part: (part * (size // len(part) + 1))[:size])
    return st.one_of(noise, part)


SMALL = {"channels": 1, "grids": (4,), "samples": 2}


@given(st.data())
def test_every_frame_is_decoded_by_blosc_and_gives_the_chunk_back(data):
    codec = data.draw(st.sampled_from(CODECS))
    layout = layout_for(codec, data.draw(st.sampled_from(["float32", "float16"])), **SMALL)
    spec = spec_of(layout)
    raw = data.draw(contents(raw_size(spec)))
    chunk = chunk_of(layout, spec, raw)
    frame = framed(layout, spec, chunk)
    assert unframed(layout, spec, frame) == chunk
    if codec[0] == "none":
        assert frame == raw
    else:
        assert numcodecs.blosc.decompress(frame) == raw


def stream_as_long_as_the_raw_bytes(codec):
    """A stream of exactly the size of what it decodes to, with what that is: noise, and a few zeros."""
    layout = layout_for((codec, 9), **SMALL)
    spec = spec_of(layout)
    size = raw_size(spec)
    for seed in range(50):
        noise = np.random.default_rng(seed).bytes(size)
        for count in range(size):
            raw = unshuffle(np.frombuffer(noise[:count] + bytes(size - count), np.uint8), 4).tobytes()
            chunk = chunk_of(layout, spec, raw)
            if len(chunk) == size:
                return layout, spec, raw, chunk
    raise AssertionError("no count of noise gives such a stream")


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_a_stream_as_long_as_the_raw_bytes_is_padded_and_still_read(codec):
    """Blosc takes a frame of that size for a copy of the bytes themselves."""
    layout, spec, raw, chunk = stream_as_long_as_the_raw_bytes(codec)
    frame = framed(layout, spec, chunk)
    assert len(frame) == HEADER.size + len(chunk) + len(PADDING[codec])
    assert numcodecs.blosc.decompress(frame) == raw
    assert unframed(layout, spec, frame) == chunk
    bare = bytearray(frame[: -len(PADDING[codec])])
    struct.pack_into("<I", bare, 12, len(bare))
    struct.pack_into("<i", bare, 20, len(chunk))
    assert numcodecs.blosc.decompress(bytes(bare)) != raw, "the control: this is what the padding is for"
    with pytest.raises(StorageError, match="damaged header"):
        unframed(layout, spec, bytes(bare))


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_a_chunk_that_itself_ends_in_the_padding_is_given_back(codec):
    layout = layout_for((codec, 3))
    spec = spec_of(layout)
    size = raw_size(spec)
    for length in range(size - 2, size + 12):
        chunk = bytes(length - len(PADDING[codec])) + PADDING[codec]
        if length != size + len(PADDING[codec]):
            assert unframed(layout, spec, framed(layout, spec, chunk)) == chunk


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_every_changed_byte_of_a_header_is_refused(codec):
    layout = layout_for((codec, 3))
    spec = spec_of(layout)
    frame = framed(layout, spec, chunk_of(layout, spec, numbers(0, 3, 16, 16).tobytes()))
    for place in range(HEADER.size):
        for bit in range(8):
            wrong = bytearray(frame)
            wrong[place] ^= 1 << bit
            with pytest.raises(StorageError, match="damaged header"):
                unframed(layout, spec, bytes(wrong))
    for cut in (0, 1, HEADER.size, len(frame) - 1):
        with pytest.raises(StorageError, match="damaged header"):
            unframed(layout, spec, frame[:cut])


def test_every_changed_byte_of_an_index_is_refused():
    layout = layout_of()
    spec = spec_of(layout)
    end = shard_object(spec, 3, {(0, 0, 0, 0): b"abc", (2, 0, 0, 0): b"de"})[-index_bytes(spec, 3) :]
    index = parse_index(spec, 3, end)
    assert index.reshape(3, 2).tolist() == [[0, 3], [ABSENT, ABSENT], [3, 2]]
    for place in range(len(end)):
        wrong = bytearray(end)
        wrong[place] ^= 1
        with pytest.raises(StorageError, match="index is damaged"):
            parse_index(spec, 3, bytes(wrong))
    for other in (b"", end[1:], b"\0" + end):
        with pytest.raises(StorageError, match="index is damaged"):
            parse_index(spec, 3, other)
    assert end[-4:] == struct.pack("<I", google_crc32c.value(end[:-4]))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("grids", [(16,), (16, 24)])
def test_an_object_is_what_the_sharding_codec_of_zarr_reads(codec, grids):
    """Zarr's own codec finds each chunk in the object, and fill where none is stored."""
    layout = layout_for(codec, grids=grids)
    spec = spec_of(layout, "outputs/fields")
    store = zarr.storage.MemoryStore()
    array = create_zarr_array(zarr.create_group(store), layout, spec, 3)
    shape = chunk_shape(spec)
    wanted = np.full((3, *spec.shape[1:]), np.nan, np.float32)
    frames = {}
    for number, place in enumerate(np.ndindex(3, *spec.chunk_grid[1:])):
        if number % 3 == 1:
            continue  # left out: fill
        values = numbers(number, *shape)
        frames[place] = framed(layout, spec, chunk_of(layout, spec, values.tobytes()))
        window = tuple(slice(at * size, at * size + size) for at, size in zip(place[1:], shape, strict=True))
        here = wanted[place[0]][window]
        here[...] = values[tuple(slice(0, size) for size in here.shape)]
    data = zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(shard_object(spec, 3, frames))
    asyncio.run(store.set(f"{spec.path}/c/0/0/0/0/0", data))
    assert np.asarray(array[:3]).tobytes() == wanted.tobytes()


def test_numcodecs_zstd_is_the_stream_of_the_chunk():
    """The control of the round trip: a frame is not merely what Blosc itself would give back."""
    layout = layout_for(("zstd", 3))
    spec = spec_of(layout)
    planes = np.zeros(raw_size(spec), np.uint8)
    assert framed(layout, spec, chunk_of(layout, spec, planes.tobytes()))[HEADER.size :] == zstd(planes, 3)
