"""Damage of `.spin` directories and Zarr stores is found, named, and never becomes a wrong number."""

import json
import random
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import google_crc32c
import h5py
import numpy as np
import pytest
import zarr
from numcodecs.zstd import compress as zstd

from spinlock.storage.digest import seal
from spinlock.storage.forms import open_stored, verify
from spinlock.storage.schema import field_arrays
from spinlock.storage.zarr_chunks import index_bytes, object_name
from spinlock.storage.zarr_documents import document_name, own_documents, stored_form, together
from spinlock.storage.zarr_store import Objects
from spinlock.storage.zarr_writer import ROOT, NewStore
from test_storage.dataset_samples import feature_layout_of, layout_of
from test_storage.form_damage import check, damage, examine, files_of, no_hang, plain_numbers, refused
from test_storage.stored_forms import STATED, all_rows, contents, form_of

LAYOUT = layout_of(samples=5, grids=(16, 24), features=feature_layout_of())

KINDS = ("flip", "cut", "remove", "swap", "zero", "append", "empty")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _descriptor: None)
        made = {form: form_of(folder / f"a.{form}", LAYOUT) for form in ("spin", "zarr")}
    assert contents(made["spin"]) == contents(made["zarr"])
    return made


@pytest.fixture
def copied(sound, tmp_path):
    """Gives a fresh copy of a sound dataset, at the same place each time."""

    def fresh(form: str) -> Path:
        path = tmp_path / f"b.{form}"
        shutil.rmtree(path, ignore_errors=True)
        return Path(shutil.copytree(sound[form], path))

    return fresh


@pytest.fixture(scope="module")
def right(sound):
    return contents(sound["zarr"])


@pytest.fixture(scope="module")
def plain(sound):
    numbers = plain_numbers(sound["zarr"])
    assert numbers is not None
    return numbers


def corrupt(form, copied, sound, right, plain, numbers):
    """Damage a file for each number, and count what was found."""
    found = 0
    for number in numbers:
        choose, kind = random.Random(number), KINDS[number % len(KINDS)]
        path = copied(form)
        target = choose.choice(files_of(path))
        said = (number, kind, str(target.relative_to(path)))
        changed = damage(path, target, kind, choose)
        found += check(path, sound[form], target, said, changed, right, plain)
    return found


@pytest.mark.parametrize("form", ["spin", "zarr"])
def test_seeded_damage_anywhere_is_found(form, copied, sound, right, plain):
    count = 28
    assert corrupt(form, copied, sound, right, plain, range(count)) > 0.7 * count


@pytest.mark.slow
@pytest.mark.parametrize("form", ["spin", "zarr"])
def test_a_hundred_seeded_damages_are_found(form, copied, sound, right, plain):
    assert corrupt(form, copied, sound, right, plain, range(100, 205)) > 0.7 * 105


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flip", "remove"])
def test_damage_of_every_object_of_a_store_is_found(kind, copied, sound, right, plain):
    for target in files_of(sound["zarr"]):
        path = copied("zarr")
        name = target.relative_to(sound["zarr"])
        changed = damage(path, path / name, kind, random.Random(str(name)))
        told = check(path, sound["zarr"], path / name, (kind, str(name)), changed, right, plain)
        assert told or kind == "flip", name


def test_the_control_an_undamaged_copy_is_sound(copied, right, plain):
    for form in ("spin", "zarr"):
        assert verify(copied(form)) == []
        assert contents(copied(form)) == right
    assert plain_numbers(copied("zarr")) == plain


# --- .spin ---


def reseal(path: Path, **stated: object) -> None:
    """Change attributes of ``/metadata`` of an index, and seal it again as whoever forges it would."""
    with h5py.File(path / "index.h5", "r+", libver=("v110", "v110")) as file:
        for name, value in stated.items():
            file["metadata"].attrs[name] = value
        seal(file)


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    """A dataset of another plan: other rows in the same layout."""
    path = tmp_path_factory.mktemp("another") / "a.spin"
    return form_of(path, replace(LAYOUT, realizations=3))


SPIN = {
    "shard missing": lambda spin, _: (spin / "shards/part-000001.h5").unlink(),
    "shards swapped": lambda spin, _: swap(spin / "shards/part-000000.h5", spin / "shards/part-000001.h5"),
    "shard of another plan": lambda spin, other: shutil.copy(
        other / "shards/part-000001.h5", spin / "shards/part-000001.h5"
    ),
    "shard cut": lambda spin, _: cut(spin / "shards/part-000001.h5"),
    "shard is text": lambda spin, _: (spin / "shards/part-000001.h5").write_text("no shard"),
    "shards missing": lambda spin, _: shutil.rmtree(spin / "shards"),
    "index of another": lambda spin, other: shutil.copy(other / "index.h5", spin / "index.h5"),
    "fewer rows a shard": lambda spin, _: reseal(spin, rows_per_shard=2),
    "more rows a shard": lambda spin, _: reseal(spin, rows_per_shard=4),
    "all rows in a shard": lambda spin, _: reseal(spin, rows_per_shard=10**9),
}

UNREAD = {
    "receipt missing": lambda spin, _: (spin / "receipts/part-000001.json").unlink(),
    "receipts missing": lambda spin, _: shutil.rmtree(spin / "receipts"),
    "receipts swapped": lambda spin, _: swap(
        spin / "receipts/part-000000.json", spin / "receipts/part-000001.json"
    ),
    "receipt of another plan": lambda spin, other: shutil.copy(
        other / "receipts/part-000001.json", spin / "receipts/part-000001.json"
    ),
}
"""Damage that no number read depends on: only `verify` tells."""


def swap(one: Path, other: Path) -> None:
    a, b = one.read_bytes(), other.read_bytes()
    one.write_bytes(b)
    other.write_bytes(a)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("how", [*SPIN, *UNREAD])
def test_a_spin_directory_that_does_not_fit_together_is_named(how, copied, another, right):
    path = copied("spin")
    {**SPIN, **UNREAD}[how](path, another)
    assert examine(path, right, how), "verify says nothing"
    if how in UNREAD:
        assert all("receipts/" in fault.array for fault in verify(path))
        assert contents(path) == right
        return

    def read():
        with open_stored(path) as dataset:
            all_rows(dataset)

    message = refused(read)
    assert message is not None
    assert str(path) in message


def test_what_an_index_says_of_sizes_is_checked_where_it_is_shown(copied):
    path = copied("spin")
    with open_stored(path) as dataset:
        sizes = {one.path: one.stored_bytes for one in dataset.describe_arrays() if "fields" in one.path}
    for said in ('{"inputs/fields": "many"}', "[1]", "{", "{}"):
        reseal(path, field_bytes=np.bytes_(said))
        assert verify(path) != []
        assert refused(lambda: open_stored(path)) is not None
    right = {"inputs/fields": sizes["inputs/fields"], "outputs/fields": sizes["outputs/fields"]}
    reseal(path, field_bytes=np.bytes_(json.dumps(right)))
    assert verify(path) == []
    reseal(path, field_bytes=np.bytes_(json.dumps({**right, "inputs/fields": 1})))
    assert "says that the fields take" in str(verify(path))


@pytest.mark.parametrize("rows", [0, -1, True, 1.5, "3"])
def test_an_index_with_impossible_shards_is_refused(copied, rows):
    path = copied("spin")
    reseal(path, rows_per_shard=np.bytes_(rows) if isinstance(rows, str) else rows)
    assert "its index says that a shard has" in (refused(lambda: open_stored(path)) or "")
    assert verify(path) != []


# --- Zarr ---


def rewrite(path: Path, name: str, change, *, copies: bool = True) -> None:
    """Change the document of an array or group, and what is put together of it."""
    objects = Objects(path)
    names = [str(one.parent.relative_to(path)) for one in path.rglob("zarr.json") if one.parent != path]
    documents = {**own_documents(objects, names), "": json.loads(json.dumps(ROOT))}
    change(documents[name])
    objects.write(f"{name}/zarr.json", stored_form(documents[name]))
    groups = (one for one, document in documents.items() if document["node_type"] == "group" and one != name)
    for group in groups if copies else ():
        objects.write(document_name(group), stored_form(together(documents, group)))


def set_codec(document):
    document["codecs"] = [document["codecs"][0], {"name": "gzip", "configuration": {"level": 5}}]


ARRAYS = {
    "giant shape": ("metadata/lyapunov", lambda d: d.update(shape=[10**15])),
    "no shape": ("metadata/lyapunov", lambda d: d.pop("shape")),
    "another type": ("metadata/lyapunov", lambda d: d.update(data_type="float32")),
    "another codec": ("metadata/lyapunov", set_codec),
    "unknown codec": ("inputs/fields", lambda d: d.update(codecs=[{"name": "none such"}])),
    "giant chunks": (
        "metadata/lyapunov",
        lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[10**12]),
    ),
    "no chunks": ("metadata/lyapunov", lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[0])),
    "another fill": ("inputs/fields", lambda d: d.update(fill_value=0.0)),
    "other axes": ("inputs/fields", lambda d: d.update(dimension_names=["a", "b", "c", "d"])),
    "another description": ("inputs/fields", lambda d: d["attributes"].update(description="cats")),
    "a group": ("inputs/fields", lambda d: (d.clear(), d.update(ROOT))),
    "format 2": ("inputs/fields", lambda d: d.update(zarr_format=2)),
}


@pytest.mark.parametrize("how", ARRAYS)
@pytest.mark.parametrize("copies", [True, False], ids=["everywhere", "alone"])
def test_the_metadata_of_an_array_must_be_what_the_layout_declares(copied, right, how, copies):
    name, change = ARRAYS[how]
    path = copied("zarr")
    rewrite(path, name, change, copies=copies)
    assert examine(path, right, how), "verify says nothing"
    if copies:
        assert refused(lambda: open_stored(path)) is not None


@pytest.mark.parametrize("group", ["", "metadata", "outputs", "metadata/checksums"])
def test_metadata_put_together_must_be_that_of_the_arrays(copied, right, group):
    path = copied("zarr")
    document = json.loads((path / group / "zarr.json").read_text())
    name = next(name for name, one in document["consolidated_metadata"]["metadata"].items() if "shape" in one)
    document["consolidated_metadata"]["metadata"][name]["attributes"]["description"] = "cats"
    (path / group / "zarr.json").write_text(json.dumps(document))
    assert examine(path, right, group)
    document.pop("consolidated_metadata")
    (path / group / "zarr.json").write_text(json.dumps(document))
    assert examine(path, right, group)


@pytest.mark.parametrize("at", ["extra", "metadata/extra", "inputs/more/extra"])
def test_an_array_that_was_added_is_named(copied, right, at):
    path = copied("zarr")
    zarr.create_array(zarr.storage.LocalStore(path), name=at, shape=(3,), dtype="i4")
    assert examine(path, right, at)
    assert any(at in str(fault) or "group" in str(fault) or "changed" in str(fault) for fault in verify(path))


@pytest.mark.parametrize(
    ("name", "bomb"),
    [
        ("metadata/lyapunov/c/0", zstd(bytes(2**26), 3)),
        ("metadata/ic_types/c/0", zstd(struct.pack("<I", 5) + bytes(2**26), 3)),
        ("metadata/ic_types/c/0", zstd(struct.pack("<I", 2**32 - 1), 3)),
        ("metadata/lyapunov/c/0", b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**62) + bytes(20)),
        ("metadata/lyapunov/c/0", bytes(2**22)),
    ],
)
def test_a_chunk_that_would_grow_is_not_decoded(copied, right, name, bomb):
    path = copied("zarr")
    (path / name).write_bytes(bomb)
    message = refused(lambda: open_stored(path)) or ""
    assert name.partition("/c/")[0] in message
    assert examine(path, right, name)


def test_a_store_of_billions_of_rows_that_are_not_there_is_refused_at_once(tmp_path):
    """Nothing is believed before it is there: no loop over rows, no memory for them."""
    path = tmp_path / "a.zarr"
    store = NewStore(path, replace(LAYOUT, samples=2**32, features=None), 3, STATED, None)
    store._group[  # what sealing writes without reading any row
        "metadata/checksums"
    ].attrs.update({"objects": "{}", "digest": "0"})
    names = [str(one.parent.relative_to(path)) for one in path.rglob("zarr.json")]
    documents = {**own_documents(store.objects, names), "": ROOT}
    store.objects.write("zarr.json", stored_form(together(documents, "")))
    with no_hang():
        assert "is missing" in (refused(lambda: open_stored(path)) or "")
        assert any("is missing" in str(fault) for fault in verify(path))


def place_frame(path: Path, layout, change) -> None:
    """Change the index of the first object of the inputs, and give it its checksum again."""
    spec = next(spec for spec in field_arrays(layout) if spec.path == "inputs/fields")
    target = path / object_name(spec, 0)
    data = target.read_bytes()
    size = index_bytes(spec, 3)
    index = np.frombuffer(data[-size:-4], "<u8").reshape(3, -1, 2).copy()
    change(index)
    body = index.tobytes()
    target.write_bytes(data[:-size] + body + struct.pack("<I", google_crc32c.value(body)))


INDICES = {
    "frames swapped": lambda index: index.__setitem__((slice(0, 2), 0), index[[1, 0], 0]),
    "a frame too long": lambda index: index.__setitem__((0, 0, 1), 2**62),
    "a frame far away": lambda index: index.__setitem__((0, 0, 0), 2**63 + 5),
    "a frame cut": lambda index: index.__setitem__((0, 0, 1), 7),
    "a frame left out": lambda index: index.__setitem__((0, 0), 2**64 - 1),
    "a length without a place": lambda index: index.__setitem__((0, 0, 0), 2**64 - 1),
    "a frame where none should be": lambda index: index.__setitem__((0, 1), index[0, 0]),
}


@pytest.mark.parametrize("how", INDICES)
def test_an_index_that_leads_astray_is_named(copied, right, how):
    path = copied("zarr")
    place_frame(path, LAYOUT, INDICES[how])
    assert any(fault.array == "inputs/fields" for fault in verify(path))
    assert examine(path, right, how)


@pytest.mark.parametrize("form", ["spin", "zarr"])
def test_a_place_that_holds_no_dataset_is_refused(tmp_path, form):
    empty = tmp_path / f"a.{form}"
    for make in (lambda: None, empty.mkdir, lambda: (empty / "zarr.json").write_text("[]")):
        make()
        assert str(empty) in (refused(lambda: open_stored(empty)) or "")
        assert verify(empty) != []
