"""Unshuffling by Blosc, by libraries called directly, and by numpy gives the same bytes."""

import threading
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.errors import StorageError
from spinlock.storage import codecs, native
from spinlock.storage import shuffle as shuffling
from spinlock.storage.codecs import find_codec
from spinlock.storage.shuffle import Rooms, shuffle, unshuffle


@pytest.fixture(params=["direct", "by wrappers", "no Blosc"])
def way(request, monkeypatch):
    """How chunks are decoded: as here, where libraries show no functions, where none unshuffles."""
    if request.param == "by wrappers":
        monkeypatch.setattr(codecs, "zstd_decoder", lambda: None)
    if request.param != "direct":
        monkeypatch.setattr(shuffling, "_blosc_unshuffles", lambda: False)
    return request.param


@settings(max_examples=150, deadline=None, derandomize=True)
@given(itemsize=st.sampled_from([1, 2, 4, 8]), count=st.integers(0, 3000), seed=st.integers(0, 99))
def test_blosc_unshuffles_as_numpy_does(itemsize, count, seed):
    planes = np.random.default_rng(seed).integers(0, 256, itemsize * count, np.uint8)
    rooms, out = Rooms(), np.zeros(planes.size, np.uint8)
    rooms.planes(planes.size, itemsize)
    rooms.view[:] = planes
    assert rooms.unshuffled(out) is out
    assert np.array_equal(out, unshuffle(planes, itemsize))
    assert np.array_equal(shuffle(out, itemsize), planes)


def test_here_blosc_is_what_unshuffles():
    """Else the tests above compare numpy with itself."""
    assert shuffling._blosc_unshuffles()
    assert native.zstd_decoder() is not None


def test_a_blosc_that_does_otherwise_is_not_used(monkeypatch):
    monkeypatch.setattr(shuffling, "blosc_decoder", lambda: lambda frame, address, room: room)
    assert not shuffling._blosc_unshuffles.__wrapped__()


@pytest.mark.parametrize("name", ["zstd", "gzip", "lz4", "none"])
@pytest.mark.parametrize("given_place", [False, True])
def test_a_chunk_is_decoded_to_its_place(way, name, given_place):
    codec, random = find_codec(name), np.random.default_rng(3)
    for count in (7, 5000, 12, 5000):  # rooms are used again, smaller and larger
        data = random.standard_normal(count).astype("<f4").view(np.uint8)
        packed = codec.encode(data, 4, codec.default_level)
        place = np.zeros(data.size, np.uint8) if given_place else None
        found = codec.decode(packed, 4, data.size, place)
        assert np.array_equal(found, data)
        assert place is None or found is place


def test_what_was_decoded_before_does_not_change(way):
    codec = find_codec("zstd")
    first, second = (np.full(4096, byte, np.uint8) for byte in (1, 2))
    decoded = codec.decode(codec.encode(first, 4, 3), 4, 4096)
    codec.decode(codec.encode(second, 4, 3), 4, 4096)
    assert np.array_equal(decoded, first)


def test_a_damaged_chunk_is_refused(way):
    codec, data = find_codec("zstd"), np.random.default_rng(0).integers(0, 9, 4096, np.uint8)
    packed = codec.encode(data, 4, 3)
    refusals = []
    for place in range(8, len(packed), 7):
        broken = bytearray(packed)
        broken[place] ^= 0xFF
        with suppress(StorageError):
            assert codec.decode(bytes(broken), 4, data.size).size == data.size
            continue
        refusals.append(place)
    assert len(refusals) > 10


def test_threads_have_rooms_of_their_own():
    codec, random = find_codec("zstd"), np.random.default_rng(1)
    chunks = [random.standard_normal(20_000).astype("<f4").view(np.uint8) for _ in range(4)]
    packed = [codec.encode(chunk, 4, 1) for chunk in chunks]
    wrong: list[int] = []

    def decode(number: int) -> None:
        decoded = (codec.decode(packed[number], 4, chunks[number].size) for _ in range(50))
        wrong.extend(number for found in decoded if not np.array_equal(found, chunks[number]))

    threads = [threading.Thread(target=decode, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
