"""`validate` passes a good file and finds each thing that can be wrong with one whose checksums are right."""

import json

import numpy as np
import pytest

import tiny
from spinlock.config import config_from_stored
from spinlock.config.digest import plan_digest
from spinlock.dataset import Dataset, open_dataset
from spinlock.dataset.replay import replayed_rows
from spinlock.dataset.validate import MOST_FAILURES, Report, validate
from spinlock.execution import simulate
from spinlock.execution.plan import Plan
from test_dataset.forgery import entry, field, forge


def stored_config(path) -> dict:
    with open_dataset(path) as dataset:
        return json.loads(dataset.attributes["config"])


def failing(report: Report, *parts: str) -> bool:
    """Whether some failure holds all the words."""
    assert report.failures, "nothing failed"
    return any(all(part in failure for part in parts) for failure in report.failures)


def test_a_good_dataset_passes_everything(everything):
    with tiny.unchecked_shapes():
        report = validate(everything, replay=12)
    assert report.failures == []
    assert report.checked == ["checksums", "samples", "metadata", "quality", "replay of 12 rows"]
    assert report.notes == []


def test_a_copy_forged_without_a_change_passes_too(everything, tmp_path):
    copy = forge(everything, tmp_path / "copy.h5")
    assert tiny.differing(everything, copy) == []
    with tiny.unchecked_shapes():
        assert validate(copy, replay=2).failures == []


WRONG_ENTRIES = {
    "metadata/ic_types": lambda name: "mixed" if name != "mixed" else "localized",
    "metadata/ic_labels": lambda name: "mixed" if name != "mixed" else "localized",
    "metadata/rollout_policies": lambda name: "convex" if name != "convex" else "residual",
    "metadata/noise_regimes": lambda name: "high" if name != "high" else "low",
    "metadata/ic_options": lambda text: json.dumps({**json.loads(text), next(iter(json.loads(text))): 9}),
    "parameters/params": lambda point: [*point[:-1], point[-1] / 2 + 0.25],
    "parameters/values/gain": lambda gain: float(np.nextafter(gain, 9)),
    "parameters/values/num_layers": lambda layers: 3 - layers,
    "parameters/values/normalization": lambda name: "none" if name != "none" else "batch",
}


@pytest.mark.parametrize("path", WRONG_ENTRIES)
def test_a_row_that_is_not_the_draw_of_its_index(everything, tmp_path, path):
    forged = forge(everything, tmp_path / "a.h5", {4: entry(path, WRONG_ENTRIES[path])})
    report = validate(forged, ["metadata"])
    assert len(report.failures) == 1
    assert report.failures[0].startswith(f"metadata: row 4: {path}")
    assert validate(forged, ["samples"]).failures == []


def test_points_outside_the_cube(everything, tmp_path):
    forged = forge(everything, tmp_path / "a.h5", {0: entry("parameters/params", lambda p: [1.5, *p[1:]])})
    assert failing(validate(forged, ["metadata"]), "parameters/params has values outside [0, 1]")


@pytest.mark.parametrize("count", [0, 19])
def test_finite_steps_out_of_range(everything, tmp_path, count):
    edit = entry("metadata/finite_steps", lambda steps: [*steps[:2], count])
    forged = forge(everything, tmp_path / "a.h5", {2: edit})
    assert failing(validate(forged, ["metadata"]), "metadata/finite_steps has values outside [1, 18]")


def whole_row(path) -> int:
    with open_dataset(path) as dataset:
        return int(np.argmax((dataset.metadata["finite_steps"] == 18).all(axis=1)))


def stopped_row(path) -> int:
    with open_dataset(path) as dataset:
        return int(np.argmax((dataset.metadata["finite_steps"] < 18).all(axis=1)))


def test_finite_steps_that_hide_finite_frames(everything, tmp_path):
    row = whole_row(everything)
    edit = entry("metadata/finite_steps", lambda steps: [steps[0], 17, steps[2]])
    report = validate(forge(everything, tmp_path / "a.h5", {row: edit}), ["samples"])
    assert report.failures == [
        f"samples: row {row}: {path}, realization 1, frame 17 is not NaN after its realization stopped"
        for path in ("outputs/fields", "outputs/trajectories")
    ]


def test_finite_steps_that_promise_too_much(everything, tmp_path):
    row = stopped_row(everything)
    edit = entry("metadata/finite_steps", lambda steps: [18, *steps[1:]])
    report = validate(forge(everything, tmp_path / "a.h5", {row: edit}), ["samples"])
    assert failing(report, f"row {row}: outputs/fields, realization 0, frame 17 is not finite")


def poke(place):
    def change(values):
        values[place] = np.nan

    return change


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("inputs", (1, 2, 3), "inputs/fields has values that are not finite"),
        ("outputs", (2, 1, 3, 4), "outputs/fields, realization 2, frame 17 is not finite"),
        ("trajectories", (0, 5, 1, 3, 4), "outputs/trajectories, realization 0, frame 5 is not finite"),
    ],
)
def test_one_value_that_is_not_finite(everything, tmp_path, name, place, words):
    row = whole_row(everything)
    report = validate(forge(everything, tmp_path / "a.h5", {row: field(name, poke(place))}), ["samples"])
    assert report.failures == [f"samples: row {row}: {words}"]


def test_a_recorded_quality_that_was_not_measured(everything, tmp_path):
    with open_dataset(everything) as dataset:
        metrics = json.loads(dataset.attributes["sampling_metrics"])
    metrics["discrepancy_ratio"] *= 0.9
    forged = forge(everything, tmp_path / "a.h5", sampling_metrics=json.dumps(metrics))
    report = validate(forged, ["quality"])
    assert failing(report, "quality: discrepancy_ratio is recorded as")
    assert validate(forged, ["samples", "metadata"]).failures == []


def test_a_sampling_below_the_bar_is_told(tmp_path):
    changes = {"sampling.total_samples": 17, "sampling.sobol.scramble": False,
               "sampling.validation.max_discrepancy_ratio": 1e-9,
               "parameter_space.operator": {}}  # fmt: skip
    changes["simulation.num_realizations"] = 1
    with pytest.warns(UserWarning, match="sampling: "):
        path = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, changes)
    assert failing(validate(path, ["quality"]), "quality: ", "discrepancy")


def test_a_configuration_with_another_seed(everything, tmp_path):
    config = tiny.changed(stored_config(everything), {"sampling.sobol.seed": 44})
    forged = forge(everything, tmp_path / "a.h5", config=json.dumps(config))
    assert failing(validate(forged, ["metadata"]), "rows can be read, not made again")
    digest = plan_digest(config_from_stored(config))
    forged = forge(everything, tmp_path / "b.h5", config=json.dumps(config), plan_digest=digest)
    report = validate(forged, ["metadata"])
    assert failing(report, "row 0: parameters/params is not point 0 of the design")
    assert len(report.failures) <= MOST_FAILURES + 1


def test_a_configuration_of_another_layout(everything, tmp_path):
    config = tiny.changed(stored_config(everything), {"simulation.num_channels": 3})
    digest = plan_digest(config_from_stored(config))
    forged = forge(everything, tmp_path / "b.h5", config=json.dumps(config), plan_digest=digest)
    assert failing(validate(forged, ["metadata"]), "not laid out as the stored configuration asks")


def nudge(values):
    values[1, 0, 3, 3] = np.nextafter(values[1, 0, 3, 3], np.float32(9))


def nudge_input(values):
    values[1, 3, 3] = np.nextafter(values[1, 3, 3], np.float32(9))


REPLAYED = {
    "outputs/fields": field("outputs", nudge),
    "outputs/trajectories": field("trajectories", lambda v: nudge(v[:, 9])),
    "inputs/fields": field("inputs", nudge_input),
    "metadata/operator_digests": entry("metadata/operator_digests", lambda digest: digest[::-1]),
    "metadata/lyapunov": entry("metadata/lyapunov", lambda exponent: float(np.nextafter(exponent, 9))),
    "metadata/dynamics": entry("metadata/dynamics", lambda label: "periodic"),
}


def test_replay_finds_the_last_bit_that_no_other_check_sees(everything, tmp_path):
    row = whole_row(everything)
    assert row == 0  # the row that one replayed row is
    for number, (path, edit) in enumerate(REPLAYED.items()):
        forged = forge(everything, tmp_path / f"{number}.h5", {row: edit})
        assert validate(forged).failures == [], path
        with tiny.unchecked_shapes():
            report = validate(forged, ["quality"], replay=1)
        assert [f"replay: row {row}: {path}"] == [
            f[: len(f"replay: row {row}: {path}")] for f in report.failures
        ]


def other_weights(monkeypatch, row: int) -> None:
    """Make the operator of one row from another seed."""
    right = simulate.build

    def build(family, options, *, seed, sample, **facts):
        return right(family, options, seed=seed + (sample == row), sample=sample, **facts)

    monkeypatch.setattr(simulate, "build", build)


def test_replay_finds_one_changed_weight_seed(everything, monkeypatch):
    row = whole_row(everything)
    assert row == 0  # the row that one replayed row is
    other_weights(monkeypatch, row)
    with tiny.unchecked_shapes():
        report = validate(everything, ["quality"], replay=1)
    assert {f.split(":")[1].strip() for f in report.failures} == {f"row {row}"}
    assert failing(report, f"replay: row {row}: outputs/fields is not what its draw makes")
    assert failing(report, f"replay: row {row}: metadata/operator_digests is")


@pytest.fixture
def elsewhere(monkeypatch):
    monkeypatch.setattr(Dataset, "same_environment", False)


@pytest.mark.usefixtures("elsewhere")
def test_elsewhere_rounding_is_forgiven_and_told(everything, tmp_path):
    row = whole_row(everything)
    assert row == 0  # the row that one replayed row is

    def round_off(values):
        values *= np.float32(1 + 2e-7)

    forged = forge(everything, tmp_path / "a.h5", {row: field("outputs", round_off)})
    with tiny.unchecked_shapes():
        report = validate(forged, ["quality"], replay=1)
    assert report.failures == []
    assert "another environment" in report.notes[0]


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(("name", "what"), [("inputs", "inputs/fields"), ("outputs", "outputs/fields")])
def test_elsewhere_more_than_rounding_fails(everything, tmp_path, name, what):
    row = whole_row(everything)
    assert row == 0  # the row that one replayed row is

    def scale(values):
        values *= np.float32(1.02)

    forged = forge(everything, tmp_path / "a.h5", {row: field(name, scale)})
    with tiny.unchecked_shapes():
        report = validate(forged, ["quality"], replay=1)
    assert failing(report, f"replay: row {row}: {what} differs by more than")


@pytest.mark.usefixtures("elsewhere")
def test_elsewhere_a_wrong_seed_still_fails(everything, monkeypatch):
    with monkeypatch.context() as patch, tiny.unchecked_shapes():
        patch.setattr(Plan, "seed", property(lambda _: 44))
        report = validate(everything, ["quality"], replay=3)
    assert failing(report, "row 0: inputs/fields differs by more than 1e-05 from what its draw makes")


@pytest.mark.usefixtures("elsewhere")
def test_elsewhere_a_wrong_draw_fails(everything, tmp_path):
    edits = {0: entry("parameters/values/gain", lambda gain: gain * 1.0000001)}
    with tiny.unchecked_shapes():
        report = validate(forge(everything, tmp_path / "a.h5", edits), ["quality"], replay=1)
    assert failing(report, "replay: row 0: parameters/values/gain is")


@pytest.mark.usefixtures("elsewhere")
def test_elsewhere_a_chaotic_row_is_not_comparable_but_its_input_is(tmp_path):
    chaotic = {
        "simulation.num_timesteps": 80,
        "sampling.total_samples": 2,
        "parameter_space.architecture": {"gain": {"type": "continuous", "bounds": [2.0, 3.0]},
                                         "output_activation": {"type": "choice", "choices": ["tanh"]}},
    }  # fmt: skip
    path = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, chaotic)

    def anything(values):
        values[:] = -values

    for name, failures in (("outputs", 0), ("inputs", 1)):
        forged = forge(path, tmp_path / f"{name}.h5", {1: field(name, anything)})
        with tiny.unchecked_shapes():
            report = validate(forged, ["quality"], replay=2)
        assert len(report.failures) == failures, report.failures
        assert [note for note in report.notes if "row 1: outputs not comparable (λ·T = " in note]


@pytest.mark.slow
def test_a_dataset_made_with_another_instruction_set(tmp_path):
    config = tiny.write_config(tmp_path / "c.yaml", tiny.EVERYTHING)
    elsewhere = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    made = tmp_path / "a.h5"
    run = tiny.spinlock_command("generate", "--config", config, "--output", made, env=elsewhere)
    assert run.returncode == 0, run.stderr
    here = tiny.generate(tmp_path / "b.h5", tiny.EVERYTHING)
    changed = tiny.differing(made, here)
    assert "outputs/fields" in changed
    assert "parameters/params" not in changed
    with tiny.unchecked_shapes():
        report = validate(made, replay=12)
    assert report.failures == []
    assert "another environment" in report.notes[0]


def test_damage_ends_the_checks_and_says_so(plain, tmp_path):
    damaged = tmp_path / "a.h5"
    damaged.write_bytes(plain.read_bytes())
    tiny.flip(damaged, tiny.chunk_place(damaged, "inputs/fields", 2))
    report = validate(damaged)
    assert failing(report, "inputs/fields, row 2: ")
    assert report.checked == ["checksums"]
    assert "nothing else was checked" in report.notes[0]


@pytest.mark.parametrize(
    ("count", "samples", "rows"),
    [(0, 5, []), (1, 5, [0]), (2, 5, [0, 4]), (3, 5, [0, 2, 4]), (9, 3, [0, 1, 2])],
)
def test_replayed_rows_are_spread_evenly(count, samples, rows):
    assert replayed_rows(count, samples) == rows


@pytest.mark.usefixtures("few_shards")
@pytest.mark.parametrize(
    "storage",
    [
        {"precision": "float16", "compression": "gzip", "trajectories": {"every": 5}},
        {"precision": "bitround:7", "compression": "lz4"},
        {"compression": "none", "trajectories": "all"},
    ],
    ids=lambda storage: storage.get("precision", "float32"),
)
def test_every_form_of_storage_passes_and_replays(tmp_path, storage):
    changes = {"dataset.storage": storage, "sampling.total_samples": 7}
    output = tiny.generate(tmp_path / "a.h5", tiny.EVERYTHING, changes)
    with tiny.unchecked_shapes():
        report = validate(output, replay=2)
    assert report.failures == []
    with open_dataset(output) as dataset:
        if storage.get("precision") == "float16":
            overflow = dataset.metadata["overflow_steps"]
            assert (overflow > 0).any()
            assert (overflow < dataset.metadata["finite_steps"]).all()
        assert (dataset[0].trajectories is None) == ("trajectories" not in storage)


def test_a_space_without_parameters_is_a_dataset_of_one_architecture(tmp_path):
    output = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, {"parameter_space": {}})
    assert validate(output, replay=3).failures == []
    with open_dataset(output) as dataset:
        assert dataset.points.shape == (3, 0)
        assert dataset[1].parameters == {}
        assert len(set(dataset.metadata["operator_digests"])) == 3
