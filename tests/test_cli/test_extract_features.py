"""``extract-features`` on the command line, and what other commands show of features."""

import json

import pytest

import tiny
from spinlock.cli.program import run


@pytest.fixture
def command(capsys):
    """Run a command in this process; give its code, standard output and standard error."""

    def call(*words):
        with tiny.unchecked_shapes():
            code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def dataset(plain, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(plain.read_bytes())
    return path


def test_it_adds_features_and_sums_up(command, dataset):
    code, out, err = command("extract-features", "--dataset", dataset)
    assert code == 0
    assert out.startswith(f"{dataset} has its features\n")
    for word in ("samples", "size", "features", "core time", "time"):
        assert f"\n  {word} " in out
    assert "frames from replay" in out
    assert err.splitlines() == ["planning", "extracting features (replay, cpu)", "writing", "describing"]


def test_with_json_and_quietly(command, dataset, tmp_path):
    code, out, _ = command("extract-features", "--dataset", dataset, "--output", tmp_path / "b.h5", "--json")
    summary = json.loads(out)
    assert code == 0
    assert summary["samples"] == summary["extracted"] == 3
    assert summary["version"] == "2.0.0"
    assert summary["origin"] == "replay"
    assert command("extract-features", "--dataset", dataset, "--batch-size", 16, "--quiet") == (0, "", "")


def test_existing_features_are_kept(command, dataset):
    words = ("extract-features", "--dataset", dataset)
    assert command(*words, "--categories", "spatial", "temporal")[0] == 0
    before = dataset.read_bytes()
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert "has features already (version 2.0.0); replace them with --overwrite. Nothing was changed" in err
    assert dataset.read_bytes() == before
    assert command(*words, "--overwrite", "--categories", "all")[0] == 0


def test_info_shows_the_features(command, dataset):
    assert "\n  features     none\n" in command("info", "--dataset", dataset)[1]
    words = ("--max-samples", 2, "--sdf-version", "1.0.0", "--categories", "spatial")
    assert command("extract-features", "--dataset", dataset, *words)[0] == 0
    _, out, _ = command("info", "--dataset", dataset)
    assert "\n  features     59 (version 1.0.0) of 2 samples: spatial\n" in out
    assert "/features/sdf/per_timestep/features" in out
    features = json.loads(command("info", "--dataset", dataset, "--json")[1])["features"]
    assert features["columns"] == {"per_timestep": 46, "per_trajectory": 13, "aggregated": 39}
    assert features["samples"] == 2
    assert command("validate", "--dataset", dataset, "--replay", 1)[0] == 0


def test_a_configuration_chooses_and_options_go_before_it(command, dataset, tmp_path):
    config = tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN, features__categories=["spectral"])
    words = ("extract-features", "--dataset", dataset, "--config", config, "--json")
    assert json.loads(command(*words)[1])["categories"] == ["spectral"]
    out = command(*words, "--overwrite", "--categories", "spatial")[1]
    assert json.loads(out)["categories"] == ["spatial"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--categories", "spacial"),
            "'spacial' is no category of features (did you mean 'spatial'?)",
        ),
        (("--sdf-version", "2"), "--sdf-version: '2' is not allowed: it must be one of 2.0.0, 1.0.0"),
        (("--sdf-version", "1.0.0", "--categories", "causality"), "sdf_version 1.0.0 has no causality"),
        (("--batch-size", "0"), "--batch-size 0 is not allowed"),
        (("--max-sample", "3"), "did you mean --max-samples?"),
        (("--device", "gpu"), "device 'gpu' is not allowed"),
    ],
)
def test_bad_usage_is_told(command, dataset, words, message):
    code, out, err = command("extract-features", "--dataset", dataset, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_missing_dataset_is_named(command, tmp_path):
    code, _, err = command("extract-features", "--dataset", tmp_path / "none.h5")
    assert code == 1
    assert "none.h5 does not exist" in err


def test_the_script_of_the_readme_reads_what_was_extracted(command, dataset):
    assert command("extract-features", "--dataset", dataset)[0] == 0
    script = (
        "from pathlib import Path\n"
        "from spinlock.features.storage import HDF5FeatureReader\n"
        f"with HDF5FeatureReader(Path({str(dataset)!r})) as reader:\n"
        "    registry = reader.get_sdf_registry();  print(registry.num_features)\n"
        "    features = reader.get_sdf_aggregated();  per_timestep = reader.get_sdf_per_timestep()\n"
        "print(features.shape, per_timestep.shape)\n"
        "import sys; print('torch' in sys.modules)"
    )
    result = tiny.python("-c", script)
    assert result.stderr == ""
    assert result.stdout == "153\n(3, 271) (3, 2, 56)\nFalse\n"
