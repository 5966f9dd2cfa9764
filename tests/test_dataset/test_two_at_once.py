"""Commands that work on one path at the same moment: no corruption, and each is told how it ended."""

import json

import numpy as np
import pytest

import tiny
from at_once import launching, untold
from spinlock.dataset import open_dataset
from spinlock.dataset.companions import is_described
from spinlock.dataset.feature_work import FeatureWork
from spinlock.dataset.validate import validate
from spinlock.errors import StorageError
from spinlock.execution.plan import make_plan
from spinlock.execution.run_directory import RunDirectory
from spinlock.storage import forms
from spinlock.storage.feature_copy import copy_with_features
from test_dataset import feature_files

BUSY = "another process (pid "
SAMPLES = 6
PLAN = {"sampling.total_samples": SAMPLES, "dataset.storage.trajectories": "all"}
OTHER = PLAN | {"sampling.sobol.seed": 7}
TIMES = ["features/sdf/aggregated/metadata/extraction_time", "metadata/checksums/rows"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return [tiny.generate(folder / f"{n}.h5", tiny.PLAIN, plan) for n, plan in enumerate((PLAN, OTHER))]


@pytest.fixture(scope="module")
def at_once():
    with launching() as launcher:
        yield launcher.at_once


@pytest.fixture
def configs(tmp_path):
    return [
        tiny.write_config(tmp_path / f"{n}.yaml", tiny.changed(tiny.PLAIN, plan))
        for n, plan in enumerate((PLAN, OTHER))
    ]


def command(config, output, *words):
    return ("generate", "--config", config, "--output", output, "--json", *words)


def clean(folder, output):
    """Nothing but the dataset is left, and it is sound."""
    assert validate(output).failures == []
    left = {path.name for path in folder.iterdir() if path.name.startswith(output.name)}
    assert left == tiny.with_companions(output)
    assert is_described(output)


def equal(one, other):
    return set(tiny.differing(one, other)) <= set(TIMES)


def test_of_six_runs_of_one_plan_each_sample_is_made_once(at_once, tmp_path, configs, undisturbed):
    output = tmp_path / "a.h5"
    outcomes = at_once(tmp_path / "told", *[command(configs[0], output) for _ in range(6)])
    assert untold(outcomes, BUSY) == []
    done = [json.loads(outcome.out) for outcome in outcomes if outcome.code == 0]
    assert sum(summary["made"] or 0 for summary in done) == SAMPLES
    assert tiny.differing(undisturbed[0], output) == []
    clean(tmp_path, output)


def test_of_two_plans_one_wins_and_the_other_is_told(at_once, tmp_path, configs, undisturbed):
    output = tmp_path / "a.h5"
    outcomes = at_once(tmp_path / "told", *[command(config, output) for config in configs])
    assert sorted(outcome.code == 0 for outcome in outcomes) == [False, True]
    assert untold(outcomes, BUSY, "holds partial work of another plan", "exists and is another dataset") == []
    winner = next(n for n, outcome in enumerate(outcomes) if outcome.code == 0)
    assert tiny.differing(undisturbed[winner], output) == []
    clean(tmp_path, output)


@pytest.mark.slow
def test_of_two_plans_that_both_insist_the_file_is_one_of_them(at_once, tmp_path, configs, undisturbed):
    output = tmp_path / "a.h5"
    outcomes = at_once(tmp_path / "told", *[command(config, output, "--force") for config in configs * 2])
    assert any(outcome.code == 0 for outcome in outcomes)
    assert untold(outcomes, BUSY, "holds partial work of another plan") == []
    assert sum(equal(one, output) for one in undisturbed) == 1
    clean(tmp_path, output)


def copied(source, target):
    target.write_bytes(source.read_bytes())
    return target


def replace_by(target, source):
    """Put a copy in the place of a file, in one step, as every command does."""
    copied(source, target.with_suffix(".new")).replace(target)


def extraction(path, *words):
    return ("extract-features", "--dataset", path, "--categories", "spatial", "--json", *words)


def test_of_two_extractions_one_writes_and_the_other_is_told(at_once, tmp_path, undisturbed):
    output, alone = (copied(undisturbed[0], tmp_path / name) for name in ("a.h5", "alone.h5"))
    outcomes = at_once(tmp_path / "told", extraction(output), extraction(output), extraction(alone))
    assert outcomes[2].code == 0, outcomes[2].err
    assert [outcome.code for outcome in outcomes].count(0) >= 2
    assert untold(outcomes, BUSY, "has features already") == []
    assert equal(alone, output)
    clean(tmp_path, output)


@pytest.mark.slow
def test_a_run_of_a_complete_plan_and_an_extraction_do_not_meet(at_once, tmp_path, configs, undisturbed):
    output = copied(undisturbed[0], tmp_path / "a.h5")
    outcomes = at_once(
        tmp_path / "told",
        *[command(configs[0], output)] * 2,
        extraction(output),
        ("validate", "--dataset", output),
    )
    assert untold(outcomes) == []
    found, before = tiny.arrays(output), tiny.arrays(undisturbed[0])
    assert {name for name in before if found[name].tobytes() != before[name].tobytes()} <= set(TIMES)
    assert any(name.startswith("features/") for name in found)
    clean(tmp_path, output)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_a_forced_run_is_never_undone_by_an_extraction(at_once, tmp_path, configs, undisturbed, attempt):
    output = copied(undisturbed[0], tmp_path / "a.h5")
    outcomes = at_once(tmp_path / "told", command(configs[1], output, "--force"), extraction(output))
    assert outcomes[0].code == 0, outcomes[0].err
    assert (
        untold(outcomes, "was replaced while its features were computed", "run the same command again") == []
    )
    with open_dataset(output) as dataset, open_dataset(undisturbed[1]) as other:
        assert dataset.attributes["plan_digest"] == other.attributes["plan_digest"]
        for row, sample in enumerate(other):
            assert np.array_equal(dataset[row].outputs, sample.outputs)
    if outcomes[1].code == 0:
        clean(tmp_path, output)
    assert validate(output).failures == []
    assert tiny.temporaries(tmp_path) == []


# --- the same, at moments that are chosen ---


def test_a_run_leaves_the_file_that_an_extraction_is_writing(tmp_path):
    """A run sweeps up after killed writers; the temporary file of a living one is none of them."""
    output = tmp_path / "a.h5"
    plan = make_plan(tiny.config_of(output, tiny.PLAIN))
    writing, left = (output.with_name(f"{output.name}.tmp-{digit * 32}") for digit in "ab")
    with FeatureWork(output):
        writing.write_bytes(b"half a file")
        with RunDirectory(output, plan):
            assert writing.exists()
    left.write_bytes(b"half a file")
    with RunDirectory(output, plan) as run:
        assert not writing.exists()
        assert not left.exists()
        run.remove()


def test_what_was_cleared_up_is_swept_no_more(tmp_path):
    """A run that is done clears up; from then on another may work in a folder of the same name."""
    output = tmp_path / "a.h5"
    plan = make_plan(tiny.config_of(output, tiny.PLAIN))
    with RunDirectory(output, plan) as first:
        first.remove()
        second = RunDirectory(output, plan)
        with second:
            writing = second.path / "shards" / f"part-000000.h5.tmp-{'a' * 32}"
            writing.write_bytes(b"half a shard")
            first.__exit__(None, None, None)
            assert writing.exists()
        assert not writing.exists()
        second.path.joinpath("plan.json").unlink()


def test_an_extraction_does_not_replace_what_replaced_its_dataset(tmp_path, undisturbed, monkeypatch):
    """The dataset is replaced at the beginning, in the middle or at the end; the new one stays as it is."""
    for moment in ("create", "features", "fsync"):
        output = copied(undisturbed[0], tmp_path / f"{moment}.h5")

        def write(source, path, features, blocks, facts, checkpoint, moment=moment, output=output):
            def reached(step):
                if step == moment:
                    replace_by(output, undisturbed[1])
                checkpoint(step)

            return copy_with_features(source, path, features, blocks, facts, reached)

        monkeypatch.setattr(forms, "copy_with_features", write)
        with pytest.raises(StorageError, match="was replaced while its features were computed"):
            feature_files.extract(output, categories=["spatial"])
        assert output.read_bytes() == undisturbed[1].read_bytes()
        assert tiny.temporaries(tmp_path) == []
    monkeypatch.undo()
    control = copied(undisturbed[0], tmp_path / "left alone.h5")
    feature_files.extract(control, categories=["spatial"])
    assert validate(control).failures == []


def test_an_extraction_whose_file_is_replaced_right_after_says_so(tmp_path, undisturbed, monkeypatch):
    output = copied(undisturbed[0], tmp_path / "a.h5")
    clear = FeatureWork.clear

    def replaced(work):
        clear(work)
        replace_by(output, undisturbed[1])

    monkeypatch.setattr(FeatureWork, "clear", replaced)
    with pytest.raises(
        StorageError, match="got its features and was replaced by another process right after"
    ):
        feature_files.extract(output, categories=["spatial"])
    assert output.read_bytes() == undisturbed[1].read_bytes()
