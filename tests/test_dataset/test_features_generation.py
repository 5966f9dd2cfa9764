"""Features during generation: right after each rollout, in every layout, and streamed."""

import gc
import json
import weakref
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

import tiny
from spinlock.dataset import DatasetGenerationPipeline
from spinlock.dataset.documentation import data_format_page
from spinlock.dataset.progress import Silent
from spinlock.errors import InterruptedRunError
from spinlock.execution import make_plan, plan
from spinlock.execution.estimate import estimate
from spinlock.execution.feature_layout import feature_layout, feature_schema
from spinlock.execution.shard import CancelledError, Signals, run_shard
from spinlock.features.catalogue import SDF_VERSION, features_of, registry
from spinlock.features.table import Columns
from spinlock.storage import shard_path
from spinlock.storage.features import HDF5FeatureReader
from spinlock.storage.reader import DatasetFile
from test_dataset.feature_files import (
    AGGREGATED,
    BARE,
    MEASURED,
    PER_TIMESTEP,
    PER_TRAJECTORY,
    TIMES,
    checked,
    differing,
    extract,
    feature_arrays,
    same_features,
)
from test_dataset.forgery import entry, forge

CPU = torch.device("cpu")
SMALL = MEASURED | {"sampling.total_samples": 2}


def sizes(channels, realizations, steps, samples=1):
    return {
        "simulation.num_channels": channels,
        "simulation.num_realizations": realizations,
        "simulation.num_timesteps": steps,
        "sampling.total_samples": samples,
        "parameter_space.stochastic": {"noise_scale": {"type": "choice", "choices": [0.05]}},
    }


@pytest.mark.parametrize(
    ("channels", "realizations", "steps"), [(1, 1, 1), (2, 1, 2), (3, 2, 7), (1, 3, 7), (3, 1, 1)]
)
def test_columns_read_back_are_those_of_the_registry(tmp_path, channels, realizations, steps):
    changes = sizes(channels, realizations, steps)
    path = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, changes | MEASURED)
    later = tiny.generate(tmp_path / "b.h5", tiny.PLAIN, changes)
    extract(later)
    assert same_features(path, later)
    names = Columns.of_registry().names
    T = steps + 1
    with HDF5FeatureReader(path) as reader:
        assert reader.columns == names
        assert reader.get_sdf_registry().num_features == 153
        assert dict(reader.get_sdf_registry().indices) == {e.name: e.index for e in registry.entries()}
        tables = {
            "per_timestep": reader.get_sdf_per_timestep(),
            "per_trajectory": reader.get_sdf_per_trajectory(),
            "aggregated": reader.get_sdf_aggregated(),
        }
        assert (reader.finite_steps == T).all()
        assert (reader.n_realizations == realizations).all()
    assert tables["per_timestep"].shape == (1, T, 56)
    assert tables["per_trajectory"].shape == (1, realizations, 87)
    assert tables["aggregated"].shape == (1, 271)
    for place, feature in enumerate(features_of("trajectory")):
        defined = feature.minimum_frames <= T and channels >= feature.minimum_channels
        assert np.isfinite(tables["per_trajectory"][..., place]).all() == defined, feature.name
        mean, std, cv = (tables["aggregated"][0, 3 * place + k] for k in range(3))
        assert np.isfinite(mean) == defined, feature.name
        assert np.isfinite([std, cv]).all() == (defined and realizations > 1), feature.name
    report = checked(path, replay=1)
    assert (report.failures, report.notes) == ([], [])


def test_two_runs_differ_in_their_times_alone(tmp_path, few_shards):
    one, other = (tiny.generate(tmp_path / f"{name}.h5", tiny.EVERYTHING, SMALL | BARE) for name in "ab")
    assert differing(one, other) == [TIMES]
    with DatasetFile(one) as a, DatasetFile(other) as b:
        timings = ("creation_date", "provenance")
        assert {k: v for k, v in a.attributes.items() if k not in (*timings, "config")} == {
            k: v for k, v in b.attributes.items() if k not in (*timings, "config")
        }
        assert "features" in json.loads(a.attributes["provenance"])["timings"]


def test_shards_are_the_same_bytes_every_time(tmp_path, few_shards):
    made = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.EVERYTHING, SMALL))
    for name in "ab":
        for folder in ("shards", "receipts"):
            (tmp_path / name / folder).mkdir(parents=True)
    with tiny.unchecked_shapes():
        one, other = (run_shard(made, 0, tmp_path / name, CPU) for name in "ab")
    assert shard_path(tmp_path / "a", 0).read_bytes() == shard_path(tmp_path / "b", 0).read_bytes()
    assert one.sha256 == other.sha256
    assert len(one.extraction_seconds) == one.hi - one.lo
    assert one.extraction_seconds != other.extraction_seconds


@pytest.mark.parametrize("strategy", ["inline", pytest.param("process", marks=pytest.mark.slow)])
def test_workers_change_no_bit(tmp_path, few_shards, strategy):
    changes = SMALL | BARE | {"sampling.total_samples": 3}
    workers = {"simulation.parallelism": {"strategy": strategy, "workers": 2}}
    one = tiny.generate(tmp_path / "a.h5", tiny.EVERYTHING, changes)
    other = tiny.generate(tmp_path / "b.h5", tiny.EVERYTHING, changes | workers)
    assert differing(one, other) == [TIMES]
    with HDF5FeatureReader(other) as reader:
        assert (reader.extraction_time > 0).all()


def test_an_interrupted_generation_goes_on_to_the_same_bytes(tmp_path, few_shards):
    class Stopping(Silent):
        def advance(self):
            raise KeyboardInterrupt

    changes = SMALL | BARE | {"sampling.total_samples": 3}
    whole = tiny.generate(tmp_path / "a.h5", tiny.EVERYTHING, changes)
    config = tiny.config_of(tmp_path / "b.h5", tiny.EVERYTHING, changes)
    for _ in range(2):
        with tiny.unchecked_shapes(), pytest.raises(InterruptedRunError):
            DatasetGenerationPipeline(config).generate(Stopping())
    other = tiny.generate(tmp_path / "b.h5", tiny.EVERYTHING, changes)
    assert differing(whole, other) == [TIMES]
    with HDF5FeatureReader(other) as reader:
        assert (reader.extraction_time > 0).all()


def test_features_and_trajectories_are_stored_side_by_side(tmp_path, few_shards):
    storage = {"dataset.storage.trajectories": {"every": 4}, "dataset.storage.precision": "float16"}
    one = tiny.generate(tmp_path / "a.h5", tiny.EVERYTHING, SMALL | storage)
    plain = tiny.generate(tmp_path / "b.h5", tiny.EVERYTHING, {**storage, "sampling.total_samples": 2})
    features, fields = tiny.arrays(one), tiny.arrays(plain)
    for name, values in fields.items():
        if name != "metadata/checksums/rows":
            assert tiny.same_bits(np.asarray(features[name]), np.asarray(values)), name
    bare = tiny.generate(tmp_path / "c.h5", tiny.EVERYTHING, SMALL | BARE)
    assert same_features(one, bare)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_operators_are_probed_in_float32(tmp_path, precision):
    """In bfloat16 the ratio at ε = 1e-4 would read several times that at ε = 1e-2."""
    changes = SMALL | {"simulation.precision": precision, "sampling.total_samples": 3}
    path = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, changes)
    with HDF5FeatureReader(path) as reader:
        columns, values = reader.columns["aggregated"], reader.get_sdf_aggregated()
    fine, coarse = (values[:, columns.index(f"lipschitz_eps_{eps}")] for eps in ("1e-04", "1e-02"))
    np.testing.assert_allclose(fine, coarse, rtol=0.05)


def test_nothing_of_a_sample_stays_when_the_next_one_begins(tmp_path, monkeypatch):
    """So peak memory does not grow with the number of samples."""
    alive = []

    def watched(made, sample, *words):
        gc.collect()
        assert [frames for frames in alive if frames() is not None] == []
        alive.append(weakref.ref(sample.rollout.frames))
        assert sample.rollout.frames.shape[1] == 18
        return original(made, sample, *words)

    from spinlock.execution import shard

    original = shard.feature_row
    monkeypatch.setattr(shard, "feature_row", watched)
    monkeypatch.setattr(plan, "FEWEST_SHARDS", 1)
    tiny.generate(tmp_path / "a.h5", tiny.EVERYTHING, MEASURED | BARE | {"sampling.total_samples": 5})
    assert len(alive) == 5


def test_the_plan_counts_what_features_cost(tmp_path):
    plain, measured = (
        make_plan(tiny.config_of(tmp_path / "a.h5", tiny.EVERYTHING, changes))
        for changes in (BARE, BARE | MEASURED)
    )
    row = feature_layout(18, SDF_VERSION).row_bytes(3)
    assert measured.row_bytes == plain.row_bytes + row
    before, after = estimate(plain), estimate(measured)
    assert after.data_bytes == pytest.approx(before.data_bytes + 12 * row)
    assert after.core_seconds > before.core_seconds
    assert after.memory_bytes > before.memory_bytes + 3 * 18 * 2 * 24**2 * 4


def test_the_schema_describes_every_feature():
    described = json.loads(feature_schema(SDF_VERSION))
    assert [feature["index"] for feature in described] == list(range(153))
    names = {feature["name"] for feature in described}
    keys = {"name", "index", "category", "level", "min_T", "min_C", "needs_operator", "range", "unit"}
    for feature in described:
        assert set(feature) == {*keys, "transform", "redundant_with"}
        assert set(feature["redundant_with"]) <= names
        assert feature["needs_operator"] == (59 <= feature["index"] <= 68)


def test_the_page_of_the_format_has_the_features():
    page = data_format_page()
    for path in (PER_TIMESTEP, PER_TRAJECTORY, AGGREGATED, TIMES):
        assert f"| `/{path}` |" in page
    assert "`creation_date`, `extraction_timestamp`, `extraction_time` and the timings" in page


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    path = tmp_path_factory.mktemp("measured") / "measured.h5"
    return tiny.generate(path, tiny.PLAIN, SMALL | {"simulation.num_timesteps": 3})


FORGED = {
    "features/sdf/per_trajectory/finite_steps": lambda steps: steps - 1,
    "features/sdf/per_timestep/n_realizations": lambda counts: counts + 1,
    PER_TIMESTEP: lambda values: np.where(np.arange(56) == 3, np.float32(np.inf), values),
    AGGREGATED: lambda values: np.full_like(values, np.inf),
}


@pytest.mark.parametrize("path", FORGED)
def test_validate_finds_what_does_not_agree_with_the_rollouts(measured, tmp_path, path):
    sound = forge(measured, tmp_path / "sound.h5")
    assert checked(sound).failures == []
    forged = forge(measured, tmp_path / "forged.h5", {1: entry(path, FORGED[path])})
    (failure,) = checked(forged).failures
    assert failure.startswith(f"samples: row 1: {path} ")


@pytest.mark.parametrize("path", [PER_TIMESTEP, PER_TRAJECTORY, AGGREGATED])
def test_a_replay_finds_numbers_that_the_frames_do_not_give(measured, tmp_path, path):
    forged = forge(measured, tmp_path / "forged.h5", {1: entry(path, lambda v: v * np.float32(1.0001))})
    assert checked(forged).failures == []
    (failure,) = checked(forged, replay=2).failures
    assert failure == f"replay: row 1: {path} is not what its frames give"


def test_features_of_other_definitions_are_not_compared(measured, monkeypatch):
    from spinlock.dataset import replay

    monkeypatch.setattr(
        replay, "feature_layout", lambda *words: replace(feature_layout(*words), registry_hash="ab" * 32)
    )
    report = checked(measured, replay=2)
    assert report.failures == []
    assert report.notes == [
        f"row {row}: features were measured elsewhere, or by other definitions: not compared"
        for row in (0, 1)
    ]


def test_a_file_with_other_frames_than_its_rollouts_is_found(measured, tmp_path):
    with DatasetFile(measured) as file:
        config = file.attributes["config"].replace('"num_timesteps": 3', '"num_timesteps": 4')
    forged = forge(measured, tmp_path / "forged.h5", config=config)
    assert any("has 4 frames, the rollouts have 5" in failure for failure in checked(forged).failures)


def test_a_diverged_realization_is_left_out_of_what_follows(everything, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(everything.read_bytes())
    extract(path)
    with h5py.File(path) as file:
        steps = file["metadata/finite_steps"][:]
        counts = file["features/sdf/per_timestep/n_realizations"][:]
        values = file[PER_TIMESTEP][..., 0]
    assert (steps < 18).any()
    assert (file_counts := (np.arange(18) < steps[:, :, None]).sum(axis=1)).min() == 0
    assert (counts == file_counts).all()
    assert (np.isnan(values) == (counts == 0)).all()
    assert set(feature_arrays(path)) > {PER_TIMESTEP}


def test_each_measured_realization_is_a_sign_of_life_and_may_be_the_last(tmp_path, monkeypatch):
    """So long measurements do not count as a stuck worker, and an ending run waits for one realization."""
    monkeypatch.setattr(plan, "FEWEST_SHARDS", 1)
    asked = dict.fromkeys((False, True), 0)
    measuring = None

    def stopping() -> bool:
        asked[measured] += 1
        return asked[measured] == measuring

    for measured in (False, True):
        changes = sizes(1, 3, 4) | {"features.during_generation": measured}
        made = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.EVERYTHING, changes))
        folder = tmp_path / str(measured)
        for name in ("shards", "receipts"):
            (folder / name).mkdir(parents=True)
        with tiny.unchecked_shapes():
            run_shard(made, 0, folder, CPU, signals=Signals(stopping))
    assert asked[True] == asked[False] + 3
    shard_path(folder, 0).unlink()
    measuring, asked[True] = asked[True] - 1, 0
    with tiny.unchecked_shapes(), pytest.raises(CancelledError):
        run_shard(made, 0, folder, CPU, signals=Signals(stopping))
    assert list((folder / "shards").iterdir()) == []
