"""The tree of a shard, copied from an image, is what its layout declares, whatever was made before."""

import threading

import h5py
import pytest

from spinlock.errors import StorageError
from spinlock.storage.digest import object_digests
from spinlock.storage.opening import structure_faults
from spinlock.storage.tree import create_file, create_tree
from spinlock.storage.tree_image import IMAGES_KEPT, tree_image
from test_storage.dataset_samples import PLAN, feature_layout_of, layout_of, plain_contents, shard_of

LAYOUTS = {
    "plain": layout_of(),
    "frames": layout_of(grids=(48, 64), timesteps=(0, 2), compression="gzip"),
    "half": layout_of(precision="float16", compression="none", compression_level=0),
    "features": layout_of(features=feature_layout_of()),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_copy_is_the_tree_made_object_by_object(tmp_path, name):
    layout = LAYOUTS[name]
    facts = {"plan_digest": PLAN, "layout": layout.to_json()}
    image = tree_image(layout, facts)
    with image.open_copy(tmp_path / "copy.h5", 7) as copy:
        digests = image.filled_digests(copy, {})
    with create_file(tmp_path / "made.h5") as file:
        create_tree(file, layout, {**facts, "first_row": 7})
    assert plain_contents(tmp_path / "copy.h5") == plain_contents(tmp_path / "made.h5")
    with h5py.File(tmp_path / "made.h5") as made, h5py.File(tmp_path / "copy.h5") as copy:
        assert object_digests(copy) == object_digests(made) == digests
        assert list(structure_faults(copy, layout)) == []


def test_what_was_made_before_leaves_no_trace(tmp_path):
    shard_of(tmp_path / "first.h5", LAYOUTS["plain"], 1, 3)
    for samples in range(1, IMAGES_KEPT + 2):
        for name, layout in LAYOUTS.items():
            shard_of(tmp_path / f"{name}.h5", layout, 0, min(samples, layout.samples), note=name)
    shard_of(tmp_path / "again.h5", LAYOUTS["plain"], 1, 3)
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "first.h5").read_bytes()


def test_attributes_of_equal_value_and_other_type_are_told_apart(tmp_path):
    for number, value in enumerate((1, 1.0, "1")):
        shard_of(tmp_path / f"{number}.h5", LAYOUTS["plain"], 0, 1, note=value)
        with h5py.File(tmp_path / f"{number}.h5") as file:
            assert str(file["metadata"].attrs["note"]) == ("1", "1.0", "b'1'")[number]


def test_what_no_attribute_can_hold_is_refused(tmp_path):
    with pytest.raises(StorageError, match="attribute note: object cannot be stored"):
        shard_of(tmp_path / "p.h5", LAYOUTS["plain"], 0, 1, note=object())
    assert list(tmp_path.iterdir()) == []


def test_threads_write_the_same_bytes(tmp_path):
    names = list(LAYOUTS) * 3
    for name, layout in LAYOUTS.items():
        shard_of(tmp_path / f"{name}.h5", layout, 0, 2, note="alone")
    errors = []

    def write(number):
        try:
            shard_of(tmp_path / f"{number}.h5", LAYOUTS[names[number]], 0, 2, note="alone")
        except StorageError as error:
            errors.append(error)

    for layout in LAYOUTS.values():
        tree_image(layout, {"plan_digest": "another"})  # the images above are dropped and made again at once
    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for number, name in enumerate(names):
        assert (tmp_path / f"{number}.h5").read_bytes() == (tmp_path / f"{name}.h5").read_bytes()
