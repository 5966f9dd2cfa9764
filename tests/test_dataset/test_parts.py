"""Parts made apart and merged are the dataset, bit for bit; what is missing, foreign or damaged is named."""

import json
import shutil
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest

from spinlock.cli.program import run
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.dataset.merge import merge
from spinlock.dataset.part import Part, PartSummary, ranges_in_words, row_ranges
from spinlock.dataset.validate import validate
from spinlock.errors import StorageError, UsageError
from spinlock.execution.plan import make_plan
from tiny import EVERYTHING, PLAIN, arrays, changed, config_of, differing, flip, generate, with_companions

SETTINGS = changed(EVERYTHING, {"sampling.total_samples": 9, "simulation.num_timesteps": 3})
"""Nine rows, each a shard."""


def make_part(folder: Path, rows: tuple[int, int] | None = None, limit: int | None = None) -> PartSummary:
    config = config_of(folder / "x.h5", SETTINGS)
    return DatasetGenerationPipeline(config).generate_part(Part(rows, limit))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("whole") / "x.h5", SETTINGS)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    made = [make_part(folder / str(n), rows) for n, rows in enumerate([(0, 4), (4, 5), (5, 9)])]
    return [Path(part.work) for part in made]


@pytest.mark.parametrize("suffix", [".h5", ".spin", ".zarr"])
def test_merged_parts_are_the_dataset(parts, whole, tmp_path, suffix):
    output = tmp_path / f"m{suffix}"
    before = [sorted(path.rglob("*")) for path in parts]
    summary = merge(parts[::-1], output)
    assert (summary.samples, summary.made) == (9, 9)
    assert validate(output).as_dict()["valid"]
    with open_dataset(output) as merged, open_dataset(whole) as made:
        assert [s.inputs.tobytes() for s in merged] == [s.inputs.tobytes() for s in made]
        assert [s.trajectories.tobytes() for s in merged] == [s.trajectories.tobytes() for s in made]
        for name, column in made.metadata.items():
            assert np.array_equal(merged.metadata[name], column, equal_nan=column.dtype.kind == "f"), name
    assert {path.name for path in tmp_path.iterdir()} == with_companions(output)
    assert [sorted(path.rglob("*")) for path in parts] == before
    if suffix == ".h5":
        assert differing(output, whole) == []


def test_a_spin_directory_becomes_a_file(whole, parts, tmp_path):
    spin = tmp_path / "x.spin"
    merge(parts, spin)
    merge([spin], tmp_path / "x.h5")
    assert differing(tmp_path / "x.h5", whole) == []
    assert validate(spin).as_dict()["valid"]


def test_every_shard_belongs_to_one_of_several_ranges():
    plan = make_plan(config_of(Path("/tmp") / "unused.h5", PLAIN, {"sampling.total_samples": 100}))
    assert plan.rows_per_shard == 4
    shards = list(range(plan.num_shards))
    cuts = [0, 1, 7, 8, 50, 99, 100]
    chosen = [Part((a, b)).chosen(plan, shards) for a, b in pairwise(cuts)]
    assert sorted(chain.from_iterable(chosen)) == shards
    assert chosen[0] == [0]
    assert chosen[1] == [1]
    assert chosen[-1] == []


def test_a_limit_is_kept():
    plan = make_plan(config_of(Path("/tmp") / "unused.h5", PLAIN, {"sampling.total_samples": 100}))
    assert Part(None, 11).chosen(plan, [3, 4, 9]) == [3, 4]
    assert Part((36, 100), 11).chosen(plan, [3, 4, 9]) == [9]
    with pytest.raises(UsageError, match="a shard of this dataset has 4 rows"):
        Part(None, 3).check(plan)


@pytest.mark.parametrize("rows", [(0, 101), (100, 105), (-1, 4)])
def test_ranges_outside_the_dataset_are_refused(rows):
    plan = make_plan(config_of(Path("/tmp") / "unused.h5", PLAIN, {"sampling.total_samples": 100}))
    with pytest.raises(UsageError, match="rows 0:100"):
        Part(rows).check(plan)


def test_limited_runs_end_in_the_dataset(whole, tmp_path):
    made = [make_part(tmp_path, limit=4) for _ in range(3)]
    assert [part.done for part in made] == [4, 8, 9]
    assert [part.missing for part in made] == [((4, 9),), ((8, 9),), ()]
    assert made[0].dataset is None
    assert made[2].dataset is not None
    assert made[2].dataset.made == 1
    assert differing(tmp_path / "x.h5", whole) == []
    assert not Path(made[0].work).exists()


def test_a_part_is_finished_by_a_plain_run(whole, tmp_path):
    part = make_part(tmp_path, (3, 6))
    assert part.missing == ((0, 3), (6, 9))
    summary = DatasetGenerationPipeline(config_of(tmp_path / "x.h5", SETTINGS)).generate()
    assert summary.made == 6
    assert differing(tmp_path / "x.h5", whole) == []


def test_missing_rows_are_named_and_nothing_is_left(parts, tmp_path):
    with pytest.raises(StorageError, match=r"rows 4:5 are missing.*--range 4:5"):
        merge([parts[0], parts[2]], tmp_path / "m.h5")
    assert list(tmp_path.iterdir()) == []


def test_damaged_shards_count_as_missing(parts, tmp_path):
    copy = shutil.copytree(parts[0], tmp_path / "copy")
    shard = copy / "shards" / "part-000002.h5"
    flip(shard, shard.stat().st_size // 2)
    with pytest.raises(StorageError, match="rows 2:3 are missing"):
        merge([copy, *parts[1:]], tmp_path / "m.h5")
    merge([copy, *parts], tmp_path / "m.h5")  # another part has it sound


def test_parts_of_other_plans_are_refused(parts, tmp_path):
    config = config_of(tmp_path / "x.h5", SETTINGS, {"sampling.sobol.seed": 44})
    other = DatasetGenerationPipeline(config).generate_part(Part((0, 2)))
    with pytest.raises(UsageError, match="another plan"):
        merge([*parts, other.work], tmp_path / "m.h5")


def test_other_environments_are_refused_unless_accepted(parts, tmp_path):
    from spinlock.storage import Receipt, write_receipt

    copy = shutil.copytree(parts[1], tmp_path / "copy")
    (path,) = (copy / "receipts").iterdir()
    receipt = Receipt.from_json(path.read_text())
    values = {**vars(receipt), "environment": {**receipt.environment, "torch": "9.9.9"}}
    write_receipt(copy, Receipt(**values))
    with pytest.raises(UsageError, match=r"torch: .*9\.9\.9"):
        merge([parts[0], copy, parts[2]], tmp_path / "m.h5")
    merge([parts[0], copy, parts[2]], tmp_path / "m.h5", allow_mixed=True)
    environments = json.loads(open_dataset(tmp_path / "m.h5").attributes["provenance"])["environments"]
    assert len(environments) == 2


def test_merging_in_place_keeps_the_work(whole, parts, tmp_path):
    """The run directory of the output may be one of the parts."""
    copy = shutil.copytree(parts[0], tmp_path / "m.h5.parts")
    merge([copy, *parts[1:]], tmp_path / "m.h5")
    assert differing(tmp_path / "m.h5", whole) == []


def test_what_is_no_part_is_refused(parts, whole, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StorageError, match=r"no plan\.json"):
        merge([empty], tmp_path / "m.h5")
    with pytest.raises(UsageError, match="does not exist"):
        merge([tmp_path / "nothing"], tmp_path / "m.h5")
    with pytest.raises(UsageError, match="it is complete"):
        merge([whole], tmp_path / "m.h5")


def test_a_part_that_is_worked_on_is_refused(parts, tmp_path):
    from spinlock.storage import DirectoryLock

    with DirectoryLock(parts[0]), pytest.raises(UsageError, match="a run is at work"):
        merge(parts, tmp_path / "m.h5")


def test_another_dataset_at_the_output_stays_without_force(parts, whole, tmp_path):
    output = generate(tmp_path / "m.h5", PLAIN)
    before = output.read_bytes()
    with pytest.raises(UsageError, match="--force"):
        merge(parts, output)
    assert output.read_bytes() == before
    merge(parts, output, force=True)
    assert differing(output, whole) == []
    assert merge(parts, output).made == 0


def test_added_features_that_are_left_behind_are_told_of(parts, tmp_path, caplog):
    from spinlock.dataset.extract import FeatureExtractionPipeline

    merge(parts, tmp_path / "x.spin")
    FeatureExtractionPipeline(tmp_path / "x.spin", categories=["spatial"]).extract()
    merge([tmp_path / "x.spin"], tmp_path / "x.h5")
    assert "are not carried over" in caplog.text
    assert not any(name.startswith("features") for name in arrays(tmp_path / "x.h5"))


def test_ranges_in_words():
    plan = make_plan(config_of(Path("/tmp") / "unused.h5", PLAIN, {"sampling.total_samples": 100}))
    assert row_ranges(plan, [0, 1, 3, 24]) == [(0, 8), (12, 16), (96, 100)]
    assert ranges_in_words([(0, 8), (12, 16)]) == "0:8, 12:16"
    assert ranges_in_words([(n, n + 1) for n in range(0, 12, 2)]) == "0:1, 2:3, 4:5, 6:7 and 2 more ranges"


def test_the_commands(tmp_path, capsys):
    config_of(tmp_path / "x.h5", PLAIN)
    common = ["generate", "--config", f"{tmp_path}/x.yaml", "--output"]
    for folder, rows in (("a", "0:2"), ("b", "2:3")):
        assert run([*common, f"{tmp_path}/{folder}/x.h5", "--range", rows]) == 0
        assert "holds a part of the dataset" in capsys.readouterr().out
    parts = [f"{tmp_path}/a/x.h5", f"{tmp_path}/b/x.h5.parts"]
    assert run(["merge", *parts, "--output", f"{tmp_path}/m.spin", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 3
    for rows in ("3", "a:b", "2:9", "-1:2"):
        assert run([*common, f"{tmp_path}/c/x.h5", f"--range={rows}"]) == 2
        assert "--range" in capsys.readouterr().err
    assert run([*common, f"{tmp_path}/c/x.h5", "--range", "0:1", "--repair"]) == 2
    assert "leave out --range" in capsys.readouterr().err


def test_a_range_in_which_no_shard_begins_is_refused():
    plan = make_plan(config_of(Path("/tmp") / "unused.h5", PLAIN, {"sampling.total_samples": 100}))
    for rows in ((1, 4), (97, 100), (2, 3)):
        with pytest.raises(
            UsageError, match=r"makes nothing: .* 4 rows.* nearest range is \d+:\d+"
        ) as refused:
            Part(rows).check(plan)
        low, high = str(refused.value).rpartition(" ")[2].split(":")
        Part((int(low), int(high))).check(plan)
    for rows in ((4, 5), (3, 5), (96, 100)):
        Part(rows).check(plan)
        assert len(Part(rows).chosen(plan, range(plan.num_shards))) == 1
    with pytest.raises(UsageError, match="first number must be the smaller"):
        Part((7, 5)).check(plan)


def test_a_dry_run_of_a_part_asks_for_its_room(tmp_path, monkeypatch):
    from spinlock.storage import space

    config = config_of(tmp_path / "x.h5", SETTINGS)
    needed = DatasetGenerationPipeline(config).dry_run()["disk_bytes"]
    monkeypatch.setattr(space, "free_space", lambda _: needed // 3)
    with pytest.raises(StorageError, match="the disk is too small"):
        DatasetGenerationPipeline(config).dry_run()
    assert DatasetGenerationPipeline(config).dry_run(Part((0, 3)))["rows"] == 3


def test_no_part_is_no_dataset(tmp_path):
    with pytest.raises(UsageError, match="no part is given"):
        merge([], tmp_path / "m.h5")


@pytest.mark.parametrize("name", ["x.spin", "x.zarr"])
def test_force_leaves_folders_of_others_alone(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="a folder that Spinlock did not make"):
        generate(folder, PLAIN, force=True)
    assert (folder / "mine.txt").read_text() == "mine"
    (folder / "mine.txt").unlink()
    generate(folder, PLAIN, force=True)
    assert validate(folder).as_dict()["valid"]
