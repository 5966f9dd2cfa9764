"""Known answers of single parts: limits, codec tables, headers and heaps; values that cannot be changed."""

import dataclasses
import importlib
import json
import pkgutil
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

import spinlock.storage
from spinlock.errors import OptionError
from spinlock.storage import opening
from spinlock.storage.codecs import CODECS, zstd_content_size
from spinlock.storage.heaps import heap_checksums, heaps_are_sound
from spinlock.storage.reader import DatasetFile
from spinlock.storage.schema import LIMITS, STRING_TABLES, Parameter
from spinlock.storage.shards import is_as_committed
from spinlock.storage.walk import decode_attribute, error_text
from test_storage.dataset_samples import layout_of, shard_of

# --- limits of a layout ---


def layout_with(name: str, value: int):
    lengths = tuple((table, value if name == "string" else 40) for table in STRING_TABLES)
    changes = {
        "grid": {"grids": (value,)},
        "frames": {"timesteps": (value,)},
        "string": {"string_lengths": lengths},
    }
    return layout_of(**changes.get(name, {name: value}))


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("samples", 4_294_967_296),
        ("realizations", 65_536),
        ("channels", 4_096),
        ("grid", 8_192),
        ("frames", 131_072),
        ("string", 65_536),
    ],
)
def test_a_layout_may_ask_for_so_much_and_no_more(name, limit):
    assert layout_with(name, limit)
    for value in (limit + 1, -1):
        with pytest.raises(OptionError, match=str(value)):
            layout_with(name, value)
    assert set(LIMITS) == {"samples", "realizations", "channels", "grid", "frames", "string"}


def test_the_least_of_everything_is_a_layout():
    layout = layout_of(samples=1, realizations=1, channels=1, grids=(1,), timesteps=(0,))
    assert layout.tile == layout.side == 1
    for change in ({"grids": (0,)}, {"samples": 0}, {"realizations": 0}, {"channels": 0}):
        with pytest.raises(OptionError):
            layout_of(**change)


@pytest.mark.parametrize("kind", ["integer", "real", "boolean"])
@pytest.mark.parametrize("length", [-1, 1])
def test_only_texts_have_a_length(kind, length):
    with pytest.raises(OptionError, match="only string values have a length"):
        layout_of(parameters=(Parameter("a", kind, length),))


# --- codecs ---


def test_codecs_have_the_levels_and_filters_of_the_first_version():
    """A default level is part of what a configuration means; the numbers are HDF5's registered filters."""
    tables = {
        name: (codec.levels, codec.default_level, codec.filters(7, 4)) for name, codec in CODECS.items()
    }
    assert tables == {
        "zstd": ((1, 22), 3, ((2, (4,)), (32015, (7,)))),
        "gzip": ((0, 9), 4, ((2, (4,)), (1, (7,)))),
        "lz4": ((1, 9), 5, ((32001, (0, 0, 0, 0, 7, 2, 1)),)),
        "none": ((0, 0), 0, ()),
    }
    packages = {name: codec.packages for name, codec in CODECS.items()}
    assert packages == {
        "zstd": ("hdf5plugin", "numcodecs"), "gzip": (), "lz4": ("hdf5plugin", "numcodecs"), "none": (),
    }  # fmt: skip


@pytest.mark.parametrize("dictionary", [0, 1, 2, 3])
@pytest.mark.parametrize(("flag", "single", "width"), [(0, 1, 1), (1, 0, 2), (1, 1, 2), (2, 0, 4), (3, 1, 8)])
def test_the_size_in_a_zstandard_header_is_read_as_rfc_8878_says(flag, single, width, dictionary):
    """Descriptor, window (if not a single segment), dictionary of 0, 1, 2 or 4 bytes, content size."""
    descriptor = flag << 6 | single << 5 | dictionary
    size = {1: 200, 2: 60_000, 4: 3_000_000_000, 8: 2**60 + 5}[width]
    stored = (size - 256 if width == 2 else size).to_bytes(width, "little")
    window = b"" if single else b"\x58"
    header = bytes([descriptor]) + window + b"\xaa" * (0, 1, 2, 4)[dictionary] + stored
    assert zstd_content_size(b"\x28\xb5\x2f\xfd" + header + b"\x99" * 9) == size


def test_a_zstandard_frame_may_say_no_size():
    assert zstd_content_size(b"\x28\xb5\x2f\xfd\x00\x58" + b"\x99" * 9) is None
    assert zstd_content_size(b"\x28\xb5\x2f\xfe\x20\x07" + b"\x99" * 9) is None
    assert zstd_content_size(b"\x28\xb5\x2f\xfd\x20\x07") == 7
    assert zstd_content_size(b"\x28\xb5\x2f\xfd\x20") is None


# --- heaps ---


def heap(content: bytes) -> bytes:
    return b"GCOL\x01\0\0\0" + (16 + len(content)).to_bytes(8, "little") + content


def sound(path: Path, listed: str) -> bool:
    with path.open("rb") as file:
        return heaps_are_sound(file.fileno(), listed)


def test_every_global_heap_is_listed_with_its_place_and_checksum(tmp_path: Path):
    first, empty, last = heap(b"names" * 9), heap(b""), heap(b"references")
    data = b"\x89HDF" + first + b"gap" + empty + last
    places = [4, 4 + len(first) + 3, 4 + len(first) + 3 + len(empty)]
    listed = heap_checksums(data)
    assert json.loads(listed) == [
        [place, len(one), zlib.crc32(one)] for place, one in zip(places, (first, empty, last), strict=True)
    ]
    path = tmp_path / "file"
    path.write_bytes(data)
    assert sound(path, listed)
    for place in (4, places[0] + 20, places[1] + 8, len(data) - 1):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert not sound(path, listed)
    path.write_bytes(data[:-1])
    assert not sound(path, listed)
    path.write_bytes(data.replace(b"gap", b"GAP"))
    assert sound(path, listed)


def test_what_only_looks_like_a_heap_is_none():
    assert json.loads(heap_checksums(b"GCOL\x01\0\0\0" + (15).to_bytes(8, "little") + b"x" * 40)) == []
    assert json.loads(heap_checksums(heap(b"cut short")[:-1])) == []
    assert json.loads(heap_checksums(b"")) == []


# --- values and handles ---


def test_a_field_that_cannot_be_read_hides_no_fault_of_the_next(tmp_path: Path, monkeypatch):
    class Emptied:
        def get_num_chunks(self) -> int:
            return 0

    def opened(_file: h5py.File, path: str) -> Emptied:
        if path == "inputs/fields":
            raise OSError("damaged index")
        return Emptied()

    layout = layout_of(samples=2)
    shard_of(tmp_path / "part.h5", layout, 0, 2)
    monkeypatch.setattr(opening, "array_id", opened)
    with h5py.File(tmp_path / "part.h5") as file:
        assert list(opening.count_faults(file, layout)) == [
            ("inputs/fields", "cannot be read (damaged index)"),
            ("outputs/fields", "stores 0 chunks where its rows need 2"),
        ]


def test_what_is_handed_around_cannot_be_changed():
    found = []
    for module in pkgutil.iter_modules(spinlock.storage.__path__, "spinlock.storage."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, type) and dataclasses.is_dataclass(value):
                found.append(name)
                assert vars(value)["__dataclass_params__"].frozen, f"{module.name}.{name}"
    assert {"Layout", "Row", "Receipt", "ShardFile", "FeaturePart"} <= set(found)


@pytest.mark.parametrize(
    ("stored", "plain"),
    [
        (b"text", "text"),
        (np.array([b"a", b"bc"]), ["a", "bc"]),
        (np.array(["grün".encode()]), ["grün"]),
        (np.array([3, 4]), [3, 4]),
        (np.float64(0.5), 0.5),
        (np.bool_(True), True),
        ("text", "text"),
    ],
)
def test_attributes_become_plain_values(stored, plain):
    found = decode_attribute(stored)
    assert found == plain
    assert type(found) is type(plain)


def test_errors_are_told_in_hdf5_s_own_words():
    assert error_text(KeyError("Unable to open object")) == "Unable to open object"
    assert error_text(OSError(5, "Input/output error", "a.h5")) == "[Errno 5] Input/output error: 'a.h5'"
    assert error_text(KeyError()) == ""


def test_a_shard_that_is_gone_or_changed_is_not_as_it_was_committed(tmp_path: Path):
    shard = shard_of(tmp_path / "part.h5", layout_of(), 0, 2)
    assert is_as_committed(shard)
    content = shard.path.read_bytes()
    shard.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not is_as_committed(shard)
    shard.path.unlink()
    assert not is_as_committed(shard)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to see open files")
def test_a_closed_reader_holds_no_file(tmp_path: Path):
    def open_files() -> int:
        links = list(Path("/proc/self/fd").iterdir())
        return sum(link.exists() and link.readlink() == path for link in links)

    path = tmp_path / "part.h5"
    shard_of(path, layout_of(), 0, 2)
    assert open_files() == 0
    file = DatasetFile(path)
    assert open_files() == 1
    file.close()
    assert open_files() == 0


def test_chunks_of_a_file_are_read_as_numpy_reads_them(tmp_path: Path):
    """Attributes that say what a number means stand on every field."""
    shard_of(tmp_path / "part.h5", layout_of(precision="bitround:7"), 0, 2)
    with h5py.File(tmp_path / "part.h5") as file:
        for path in ("inputs/fields", "outputs/fields"):
            attributes = dict(file[path].attrs)
            assert attributes["precision"] == b"bitround:7"
            assert attributes["error_bound"].startswith(b"|error| <= 2**-8 |value|")
            assert file[path].dtype == np.dtype("<f4")
