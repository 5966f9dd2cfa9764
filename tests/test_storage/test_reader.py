"""The reader gives what is stored, refuses what is not a whole Spinlock file, and works across processes."""

import multiprocessing
import os
import pickle
import threading

import h5py
import numpy as np
import pytest

from spinlock.errors import StorageError, UnknownNameError
from spinlock.storage.reader import DatasetFile
from spinlock.storage.verify import verify
from spinlock.storage.walk import ForbiddenObjectError, walk
from test_storage.dataset_samples import PLAN, layout_of, row_of, same_bits, shard_of

LAYOUT = layout_of(grids=(16, 32), timesteps=(0, 5))


@pytest.fixture
def path(tmp_path):
    shard_of(tmp_path / "data.h5", LAYOUT, 0, 4)
    return tmp_path / "data.h5"


def test_a_row_can_be_cropped_and_padded(path):
    with DatasetFile(path) as file:
        native = file.row("outputs/fields", 1)
        assert native.shape == (2, 3, 32, 32)
        assert same_bits(file.row("outputs/fields", 1, size=20), np.ascontiguousarray(native[..., :20, :20]))
        padded = file.row("outputs/fields", 0, size=40)
        assert same_bits(np.ascontiguousarray(padded[..., :16, :16]), row_of(LAYOUT, 0).outputs)
        assert np.isnan(padded[..., 16:, :]).all()
        assert np.isnan(padded[..., 16:]).all()


def test_unknown_arrays_rows_and_closed_files_are_named(path):
    file = DatasetFile(str(path))
    with pytest.raises(UnknownNameError, match="did you mean 'inputs/fields'"):
        file.row("input/fields", 0)
    with pytest.raises(UnknownNameError, match="metadata/ic_types"):
        file.table("inputs/fields")
    for index in (-1, 4):
        with pytest.raises(IndexError, match=rf"row {index} is out of range: .*rows 0 to 3"):
            file.row("inputs/fields", index)
    file.close()
    file.close()
    with pytest.raises(StorageError, match="was closed: open it again"):
        file.row("inputs/fields", 0)


def test_arrays_describe_themselves(path):
    with DatasetFile(path) as file, h5py.File(path) as plain:
        infos = {info.path: info for info in file.describe_arrays()}
        fields = infos["outputs/fields"]
        assert fields.dims == ("sample", "realization", "channel", "y", "x")
        assert fields.shape == (4, 2, 3, 32, 32)
        assert fields.chunks == (1, 2, 3, 16, 16)
        assert (fields.dtype, fields.compression) == ("float32", "zstd 3")
        assert fields.stored_bytes == plain["outputs/fields"].id.get_storage_size() > 0
        assert fields.raw_bytes == 4 * 2 * 3 * 32 * 32 * 4
        assert infos["metadata/ic_types"].dtype == "text of 40 bytes"
        assert infos["parameters/values/residual"].dtype == "bool"
        assert infos["metadata/ic_types"].compression == "none"
        assert "sample" not in infos


def test_axes_are_named_in_the_file(path):
    """Labels and dimension scales, the way netCDF readers find names."""
    with h5py.File(path) as plain:
        for name in ("outputs/trajectories", "metadata/finite_steps", "parameters/params"):
            for axis, dimension in enumerate(plain[name].dims):
                assert dimension[0].name == f"/{dimension.label}"
                assert dimension[0].shape == (plain[name].shape[axis],)
        assert plain["sample"].attrs["NAME"].startswith(b"This is a netCDF dimension but not a netCDF var")
        assert plain["inputs/fields"].attrs["pad_mode"] == b"corner"
        assert np.isnan(plain["inputs/fields"].fillvalue)
        assert list(plain["parameters/params"].attrs["names"]) == [p.name.encode() for p in LAYOUT.parameters]


def read_in_child(file: DatasetFile, queue) -> None:
    queue.put((os.getpid(), file.row("outputs/fields", 3), file.table("metadata/ic_types")))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_reader_works_in_another_process(path, method):
    file = DatasetFile(path)
    expected = file.row("outputs/fields", 3)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=read_in_child, args=(file, queue))
    child.start()
    pid, row, types = queue.get(timeout=60)
    child.join()
    assert pid != os.getpid()
    assert same_bits(row, expected)
    assert types.tolist() == ["gaussian_random_field"] * 4
    assert same_bits(file.row("outputs/fields", 3), expected)
    file.close()


def test_a_pickled_reader_refuses_another_file(path):
    with DatasetFile(path) as file:
        copy = pickle.loads(pickle.dumps(file))
    path.unlink()
    shard_of(path, LAYOUT, 0, 4, note="another")
    with pytest.raises(StorageError, match="was replaced since it was opened"):
        copy.row("inputs/fields", 0)


def test_a_pickled_reader_reads(path):
    with DatasetFile(path) as file:
        copy = pickle.loads(pickle.dumps(file))
        assert same_bits(copy.row("inputs/fields", 2), file.row("inputs/fields", 2))
        copy.close()


def test_threads_share_a_reader(path):
    expected = [row_of(LAYOUT, index).outputs for index in range(4)]
    wrong = []
    with DatasetFile(path) as file:

        def read(start: int) -> None:
            for step in range(40):
                index = (start + step) % 4
                if not same_bits(file.row("outputs/fields", index), expected[index]):
                    wrong.append(index)

        threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def refused(path, message):
    with pytest.raises(StorageError, match=message) as caught:
        DatasetFile(path)
    assert str(path) in str(caught.value)
    damage = verify(path)
    assert damage
    return damage


def test_what_is_no_dataset_is_refused(tmp_path):
    refused(tmp_path / "gone.h5", "does not exist: give the path")
    refused(tmp_path, "is a directory")
    (tmp_path / "empty.h5").write_bytes(b"")
    refused(tmp_path / "empty.h5", "it is empty")
    (tmp_path / "text.h5").write_text("not HDF5" * 1000)
    refused(tmp_path / "text.h5", "it is not an HDF5 file")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = [1, 2]
    refused(tmp_path / "foreign.h5", "another program made it")
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file.create_group("metadata")
    refused(tmp_path / "bare.h5", "its /metadata has no layout")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(path):
    path.chmod(0)
    refused(path, "may not be read")


def edited(path, change):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)


def test_links_that_lead_elsewhere_are_refused_unopened(path, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = [1]
    edited(path, lambda file: file.__setitem__("loot", h5py.ExternalLink(tmp_path / "secret.h5", "/x")))
    damage = refused(path, "loot is a link that leads elsewhere")
    assert [found.array for found in damage] == ["loot"]


@pytest.mark.parametrize("name", ["soft", "hard", "type"])
def test_other_strange_objects_are_refused(path, name):
    objects = {"soft": h5py.SoftLink("/inputs"), "type": np.dtype("i4")}

    def change(file):
        file[name] = objects[name] if name in objects else file["inputs/fields"]

    edited(path, change)
    words = {"soft": "leads elsewhere", "hard": "second name", "type": "neither a group nor an array"}
    refused(path, words[name])


def test_values_outside_the_file_are_refused(path, tmp_path):
    (tmp_path / "raw.bin").write_bytes(bytes(64))
    edited(
        path,
        lambda file: file.create_dataset("out", (16,), "i4", external=[(str(tmp_path / "raw.bin"), 0, 64)]),
    )
    assert [found.array for found in refused(path, "out keeps its values in another file")] == ["out"]


def test_virtual_arrays_are_refused(path):
    source = h5py.VirtualSource("other.h5", "x", shape=(4,))
    virtual = h5py.VirtualLayout(shape=(4,), dtype="f4")
    virtual[:] = source
    edited(path, lambda file: file.create_virtual_dataset("virtual", virtual))
    refused(path, "virtual is a virtual array")


def test_unknown_filters_are_refused(path):
    edited(path, lambda file: file.create_dataset("f", (64,), "i4", chunks=(64,), fletcher32=True))
    refused(path, "f is compressed by the unknown HDF5 filter 3")


def test_a_claimed_size_is_not_believed(tmp_path):
    """A table that claims a terabyte and stores nothing is refused before any memory is asked for."""
    with h5py.File(tmp_path / "x.h5", "w", libver=("v110", "v110")) as file:
        file.create_dataset("metadata/checksums/big", (2**37,), "f8")
        file["metadata"].attrs["layout"] = np.bytes_(LAYOUT.to_json())
        for name, value in (("heaps", "[]"), ("digest", "0"), ("objects", "{}")):
            file["metadata/checksums"].attrs[name] = np.bytes_(value)
    damage = verify(tmp_path / "x.h5")
    assert any("holds 0 bytes where its shape (137438953472,)" in str(found) for found in damage)


def test_a_walk_ends_at_a_forbidden_object(path):
    edited(path, lambda file: file.__setitem__("soft", h5py.SoftLink("/nowhere")))
    with h5py.File(path) as file, pytest.raises(ForbiddenObjectError, match="soft is a link"):
        list(walk(file))


def test_the_plan_stands_in_the_file(path):
    with DatasetFile(path) as file:
        assert file.attributes["plan_digest"] == PLAN
        assert file.config == {}
        assert file.digest == h5py.File(path)["metadata/checksums"].attrs["digest"].decode()
