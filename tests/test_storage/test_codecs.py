"""Every codec is lossless, deterministic, and what HDF5's own filters read and write."""

import threading

import h5py
import hdf5plugin  # noqa: F401 (registers the filters)
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinlock.errors import OptionError, StorageError, UnknownNameError
from spinlock.storage.codecs import CODECS, find_codec, shuffle, unshuffle
from test_storage.dataset_samples import numbers

CASES = [
    (name, level) for name, codec in CODECS.items() for level in sorted({*codec.levels, codec.default_level})
]


def content(itemsize: int) -> np.ndarray:
    values = numbers(3, 2048)
    return values.astype(f"<f{itemsize}").view(np.uint8)


@pytest.mark.parametrize(("name", "level"), CASES)
@pytest.mark.parametrize("itemsize", [2, 4])
def test_decoding_undoes_encoding(name, level, itemsize):
    codec, data = CODECS[name], content(itemsize)
    packed = codec.encode(data, itemsize, level)
    assert codec.decode(packed, itemsize, data.size).tobytes() == data.tobytes()
    assert codec.encode(data, itemsize, level) == packed


@pytest.mark.parametrize(("name", "level"), CASES)
def test_hdf5_reads_our_chunks_and_we_read_its(tmp_path, name, level):
    codec, data = CODECS[name], content(4).view("<f4")
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((data.size,))
    for number, values in codec.filters(level, 4):
        creation.set_filter(number, h5py.h5z.FLAG_OPTIONAL, values)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        space = h5py.h5s.create_simple((data.size,))
        for path in (b"ours", b"theirs"):
            h5py.h5d.create(file.id, path, h5py.h5t.IEEE_F32LE, space, creation)
        file["ours"].id.write_direct_chunk((0,), codec.encode(data.view(np.uint8), 4, level))
        file["theirs"][...] = data
        assert file["ours"][()].tobytes() == data.tobytes()
        packed = file["theirs"].id.read_direct_chunk((0,))[1]
        assert codec.decode(packed, 4, data.nbytes).tobytes() == data.tobytes()


@pytest.mark.parametrize("name", CODECS)
def test_the_same_bytes_come_out_of_every_thread(name):
    codec, data = CODECS[name], np.tile(content(4), 64)
    packed = []
    threads = [
        threading.Thread(target=lambda: packed.append(codec.encode(data, 4, codec.default_level)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert packed == [codec.encode(data, 4, codec.default_level)] * 4


@pytest.mark.parametrize("name", [name for name in CODECS if name != "none"])
def test_smooth_data_shrinks(name):
    data = np.zeros(4096, np.uint8)
    assert len(CODECS[name].encode(data, 4, max(1, CODECS[name].default_level))) < 200


@pytest.mark.parametrize("name", CODECS)
def test_what_is_not_the_chunk_is_refused(name):
    codec, data = CODECS[name], content(4)
    packed = codec.encode(data, 4, codec.default_level)
    for broken in (
        b"",
        packed[:7],
        packed[:-1],
        packed + b"x" if name in ("gzip", "none", "lz4") else b"\0" * 40,
    ):
        with pytest.raises(StorageError, match=f"{name} chunk does not decode to the {data.size} bytes"):
            codec.decode(broken, 4, data.size)
    for size in (data.size - 4, data.size + 4):
        with pytest.raises(StorageError):
            codec.decode(packed, 4, size)


def test_a_bomb_is_refused_before_it_is_unpacked():
    for codec in CODECS.values():
        packed = codec.encode(np.zeros(2**24, np.uint8), 4, codec.default_level)
        with pytest.raises(StorageError):
            codec.decode(packed, 4, 4096)


@given(st.sampled_from([1, 2, 4, 8]), st.binary(min_size=0, max_size=64))
def test_unshuffle_undoes_shuffle(itemsize, data):
    items = np.frombuffer(data[: len(data) // itemsize * itemsize], np.uint8)
    mixed = shuffle(items, itemsize)
    assert unshuffle(mixed, itemsize).tobytes() == items.tobytes()
    assert mixed.tobytes() == b"".join(items[byte::itemsize].tobytes() for byte in range(itemsize))


def test_levels_have_defaults_and_limits():
    assert find_codec("zstd").check_level(None) == 3
    assert find_codec("gzip").check_level(0) == 0
    assert find_codec("none").check_level(0) == 0
    for name, level in (
        ("gzip", 10),
        ("gzip", -1),
        ("zstd", 0),
        ("zstd", 23),
        ("lz4", 10),
        ("gzip", True),
        ("zstd", 2.5),
    ):
        with pytest.raises(OptionError, match=f"compression {name}: it must be an integer from"):
            find_codec(name).check_level(level)
    with pytest.raises(OptionError, match="left out or 0"):
        find_codec("none").check_level(3)


def test_an_unknown_codec_gets_the_near_miss():
    with pytest.raises(UnknownNameError, match=r"did you mean 'zstd'\?.*gzip, lz4, none, zstd"):
        find_codec("zsdt")


def test_a_missing_package_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "numcodecs.zstd", None)
    with pytest.raises(StorageError, match=r"needs the package numcodecs.*pip install numcodecs.*gzip"):
        CODECS["zstd"].encode(content(4), 4, 3)
