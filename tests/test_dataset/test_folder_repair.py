"""`generate --repair` of a `.spin` directory makes again what is damaged; a Zarr store is refused."""

import shutil

import pytest

from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.dataset.extract import FeatureExtractionPipeline
from spinlock.dataset.validate import validate
from spinlock.errors import UsageError
from spinlock.storage import verify
from tiny import PLAIN, config_of, flip, generate, with_companions


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("sound") / "x.spin", PLAIN)


@pytest.fixture
def spin(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "x.spin")


def repair(output, **changes):
    return DatasetGenerationPipeline(config_of(output, PLAIN, changes), repair=True).generate()


def remove_shard(spin):
    (spin / "shards" / "part-000001.h5").unlink()


def flip_chunk(spin):
    shard = spin / "shards" / "part-000001.h5"
    flip(shard, shard.stat().st_size // 2)


def remove_receipt(spin):
    (spin / "receipts" / "part-000001.json").unlink()


def truncate_index(spin):
    index = spin / "index.h5"
    index.write_bytes(index.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("harm", "made"), [(remove_shard, 1), (flip_chunk, 1), (remove_receipt, 1), (truncate_index, 0)]
)
def test_what_is_damaged_is_made_again(sound, spin, harm, made):
    harm(spin)
    assert verify(spin)
    summary = repair(spin)
    assert summary.made == made
    assert verify(spin) == []
    assert validate(spin).as_dict()["valid"]
    with open_dataset(sound) as before, open_dataset(spin) as after:
        assert [row.outputs.tobytes() for row in before] == [row.outputs.tobytes() for row in after]
    assert {path.name for path in spin.parent.iterdir()} == {*with_companions(spin), "x.yaml"}


def test_a_sound_one_stays_as_it_is(spin):
    before = {path: path.stat().st_mtime_ns for path in spin.rglob("*")}
    assert repair(spin).made == 0
    assert {path: path.stat().st_mtime_ns for path in spin.rglob("*")} == before


def test_added_features_that_are_dropped_are_told_of(spin, caplog):
    FeatureExtractionPipeline(spin, categories=["spatial"]).extract()
    remove_shard(spin)
    repair(spin)
    assert "features that were added" in caplog.text
    with open_dataset(spin) as dataset:
        assert dataset.layout.features is None


def test_the_dataset_of_another_plan_is_refused(spin):
    remove_shard(spin)
    before = sorted(spin.rglob("*"))
    with pytest.raises(UsageError, match="another dataset"):
        repair(spin, **{"sampling.sobol.seed": 7})
    assert sorted(spin.rglob("*")) == before


def test_work_beside_it_is_not_mixed_in(spin):
    remove_shard(spin)
    (spin.parent / "x.spin.parts").mkdir()
    with pytest.raises(UsageError, match="stands beside it"):
        repair(spin)


def test_a_damaged_zarr_store_is_refused_and_replaced_by_force(tmp_path):
    store = generate(tmp_path / "x.zarr", PLAIN)
    assert repair(store).made == 0
    flip(next(path for path in (store / "inputs/fields/c/1").rglob("*") if path.is_file()), 40)
    with pytest.raises(UsageError, match="replace it with --force"):
        repair(store)
    generate(store, PLAIN, force=True)
    assert verify(store) == []
