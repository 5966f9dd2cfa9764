"""The commands say what they did, on the stream and with the code that belongs to it."""

import json
import logging
import signal
import warnings

import pytest

import tiny
from spinlock import __version__
from spinlock.cli.program import COMMANDS, run
from spinlock.execution.stages import STAGES


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
def config(tmp_path):
    return tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN)


def strict_object(text: str) -> dict:
    """The one JSON object that a text is, without NaN and the like."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    value = json.loads(text, parse_constant=refuse)
    assert isinstance(value, dict)
    assert text.count("\n") == 1
    return value


def test_generate_makes_the_dataset_and_sums_it_up(command, config, plain, tmp_path):
    output = tmp_path / "new" / "folder" / "a.h5"
    code, out, err = command("generate", "--config", config, "--output", output)
    assert code == 0
    assert out.startswith(f"{output} is complete\n")
    for word in ("samples", "size", "time", "core time", "dynamics", "sampling", "plan"):
        assert f"\n  {word} " in out
    assert err.splitlines() == ["planning", "simulating (inline, 1 worker, cpu)", "finalizing"]
    assert tiny.differing(plain, output) == []


def test_generate_of_what_is_complete_says_so(command, config, tmp_path):
    for told in ("finalizing", "is complete already"):
        code, out, err = command("generate", "--config", config, "--output", tmp_path / "a.h5")
        assert code == 0
        assert told in err
        assert "is complete\n" in out


def test_generate_with_json(command, config, tmp_path):
    code, out, err = command("generate", "--config", config, "--output", tmp_path / "a.h5", "--json")
    assert code == 0
    summary = strict_object(out)
    assert summary["samples"] == 3
    assert summary["bytes"] == (tmp_path / "a.h5").stat().st_size
    assert sum(summary["dynamics"].values()) == 3
    assert "planning" in err


def test_generate_with_a_profile(command, config, tmp_path):
    words = ("generate", "--config", config, "--output", tmp_path / "a.h5", "--profile")
    code, out, _ = command(*words)
    assert code == 0
    table = out[out.index("profile, summed over workers") :].splitlines()
    assert table[1].split() == ["stage", "seconds", "share", "bytes", "in", "bytes", "out"]
    named = [line.split("  ")[1] for line in table[2:-1]]
    assert named == ["planning", *(s for s in STAGES if s != "features"), "finalizing"]
    assert table[-1].startswith("  workers (inline): ")
    assert "1 × " in table[-1]
    assert "nothing was computed" in command(*words)[1]
    code, out, _ = command(*words, "--force", "--json")
    assert code == 0
    assert [stage["stage"] for stage in strict_object(out)["profile"]["stages"]] == named


def test_generate_quietly(command, config, tmp_path):
    words = ("generate", "--config", config, "--output", tmp_path / "a.h5")
    assert command(*words, "--quiet") == (0, "", "")
    assert command(*words, "--set", "sampling.sobol.seed=1", "--quiet")[2].startswith("spinlock generate: ")


def test_flags_and_set_replace_values_of_the_configuration(command, config, tmp_path):
    numbers = "--total-samples 2 --batch-size 5 --num-realizations 3 --num-timesteps 4 --seed 9 --workers 2"
    words = (*numbers.split(), "--device", "cpu", "--executor", "auto")
    values = ("simulation.num_channels=2", "dataset.storage={compression: gzip, trajectories: all}")
    code, _, err = command(
        "generate", "--config", config, "--output", tmp_path / "a.h5", *words, "--set", *values,
        "--set", "metadata.name=a name",
    )  # fmt: skip
    assert code == 0, err
    _, out, _ = command("info", "--dataset", tmp_path / "a.h5", "--json")
    stored = strict_object(out)["config"]
    assert stored["sampling"]["total_samples"] == 2
    assert stored["sampling"]["batch_size"] == 5
    assert stored["sampling"]["sobol"]["seed"] == 9
    assert stored["simulation"]["num_realizations"] == 3
    assert stored["simulation"]["num_timesteps"] == 4
    assert stored["simulation"]["num_channels"] == 2
    assert stored["simulation"]["parallelism"]["workers"] == 2
    assert stored["simulation"]["parallelism"]["strategy"] == "auto"
    assert stored["dataset"]["storage"]["compression"] == "gzip"
    assert stored["dataset"]["storage"]["trajectories"] == "all"
    assert stored["metadata"]["name"] == "a name"


def test_a_relative_output_is_meant_against_the_working_directory(command, config, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert command("generate", "--config", "../c.yaml", "--output", "sub/a.h5")[0] == 0
    assert (tmp_path / "here" / "sub" / "a.h5").is_file()
    written = {path.name for path in (tmp_path / "here" / "sub").iterdir()}
    assert written == tiny.with_companions(tmp_path / "here" / "sub" / "a.h5")


def test_a_dry_run_prints_sizes_and_makes_nothing(command, config, tmp_path):
    words = ("generate", "--config", config, "--output", tmp_path / "none" / "a.h5", "--dry-run")
    code, out, _ = command(*words)
    assert code == 0
    assert out.startswith("dry run: nothing is made\n")
    for word in (
        "samples",
        "architectures",
        "operations",
        "data",
        "disk needed",
        "memory",
        "time",
        "sampling",
    ):
        assert f"\n  {word} " in out
    code, out, _ = command(*words, "--json")
    assert strict_object(out)["samples"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml"]


def test_info_says_what_a_dataset_holds(command, everything):
    code, out, err = command("info", "--dataset", everything)
    assert (code, err) == (0, "")
    for part in ("/outputs/trajectories", "sample 12 × realization 3", "ic_types", "diverged", "by spinlock"):
        assert part in out
    assert "sampling.sobol.seed" not in out
    code, more, _ = command("info", "--dataset", everything, "--verbose")
    assert code == 0
    assert "sampling.sobol.seed" in more
    assert "noise_scale" in more
    assert command("info", "--dataset", everything, "--quiet") == (0, "", "")
    code, out, _ = command("info", "--dataset", everything, "--json")
    content = strict_object(out)
    assert content["samples"] == 12
    assert sum(content["distributions"]["ic_types"].values()) == 12
    assert content["rollouts"]["total"] == 36
    assert content["rollouts"]["stopped"] > 0


def test_validate_passes_a_good_file(command, plain):
    code, out, _ = command("validate", "--dataset", plain, "--replay", 2)
    assert code == 0
    assert out == f"{plain}: valid (checked: checksums, samples, metadata, quality, replay of 2 rows)\n"
    assert command("validate", "--dataset", plain, "--quiet") == (0, "", "")
    code, out, _ = command("validate", "--dataset", plain, "--json", "--check-samples", "--replay", 1)
    assert code == 0
    assert strict_object(out) == {
        "path": str(plain),
        "valid": True,
        "checked": ["checksums", "samples", "replay of 1 row"],
        "failures": [],
        "unchecked": [],
        "notes": [],
    }


@pytest.mark.parametrize("check", ["samples", "metadata", "quality"])
def test_one_check_alone(command, plain, check):
    _, out, _ = command("validate", "--dataset", plain, f"--check-{check}")
    assert f"(checked: checksums, {check})" in out


def test_validate_names_what_is_wrong(command, plain, tmp_path):
    damaged = tmp_path / "a.h5"
    damaged.write_bytes(plain.read_bytes())
    tiny.flip(damaged, tiny.chunk_place(damaged, "outputs/fields", 1))
    for how in ((), ("--quiet",)):
        code, out, _ = command("validate", "--dataset", damaged, *how)
        assert code == 1
        assert "INVALID" in out
        assert "\n  outputs/fields, row 1: chunk" in out
    code, out, _ = command("validate", "--dataset", damaged, "--json")
    assert code == 1
    report = strict_object(out)
    assert not report["valid"]
    assert report["failures"]


@pytest.mark.parametrize("name", ["info", "validate"])
def test_a_missing_dataset_is_named(command, name, tmp_path):
    code, out, err = command(name, "--dataset", tmp_path / "none.h5")
    assert code == 1
    assert "none.h5" in out + err
    assert "Traceback" not in out + err


def test_info_of_a_shard_is_refused(command, plain, tmp_path):
    from test_dataset.test_resume import interrupted

    parts = interrupted(tmp_path / "a.h5")
    code, _, err = command("info", "--dataset", parts / "shards" / "part-000000.h5")
    assert code == 1
    assert "is a shard of an unfinished run" in err


CATALOGUES = {
    "initial-conditions": tiny.TYPES,
    "operators": ("cnn",),
    "noise": ("noise",),
    "policies": ("autoregressive", "convex", "residual"),
    "codecs": ("zstd", "gzip", "lz4", "none"),
    "features": ("spatial_mean", "lyapunov_approx", "tv_monotonicity_highpass"),
}


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_list_prints_every_entry_with_its_options(command, catalogue):
    code, out, err = command("list", catalogue)
    assert (code, err) == (0, "")
    listed = [line for line in out.splitlines() if not line.startswith(" ")]
    assert set(CATALOGUES[catalogue]) <= set(listed)
    code, out, _ = command("list", catalogue, "--json")
    entries = strict_object(out)["entries"]
    assert [entry["name"] for entry in entries] == listed
    for entry in entries:
        assert entry["summary"]
        assert all(option["allowed"] for option in entry["options"])
    assert command("list", catalogue, "--quiet") == (0, "", "")


def test_version(command):
    assert command("--version") == (0, f"spinlock {__version__}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_describes_a_command_with_examples(command, name):
    code, out, _ = command(name, "--help")
    assert code == 0
    for part in ("examples:", f"spinlock {name}", "--verbose", "--quiet", "--json"):
        assert part in out
    assert max(map(len, out.splitlines())) <= 120


def test_help_of_the_program_names_every_command(command):
    code, out, _ = command("--help")
    assert code == 0
    assert all(name in out for name in COMMANDS)
    assert (
        "exit codes: 0 done, 1 failed or found invalid, 2 bad usage or configuration, 130 interrupted" in out
    )


USAGE_FAULTS = {
    ("genrate",): "spinlock: unknown command genrate (did you mean generate?)",
    ("frobnicate",): f"spinlock: unknown command frobnicate; known: {', '.join(COMMANDS)}",
    ("generate", "--confg", "c.yaml"): "spinlock generate: unknown option --confg (did you mean --config?)",
    (
        "generate",
        "--config",
        "c.yaml",
        "--total-sample=3",
    ): "unknown option --total-sample (did you mean --total-samples?)",
    ("generate", "--conf", "c.yaml"): "unknown option --conf (did you mean --config?)",
    ("generate",): "the following arguments are required: --config",
    ("generate", "--config", "c.yaml", "--seed", "x"): "argument --seed: invalid int value: 'x'",
    ("generate", "--config", "c.yaml", "more", "words"): "unexpected more words",
    ("validate", "--dataset", "a.h5", "--replay", "-1"): "argument --replay: '-1' is not allowed",
    ("list", "operator"): "unknown catalogue operator (did you mean operators?)",
    ("list",): "the following arguments are required: CATALOGUE",
    ("info", "--dataset", "a.h5", "--quiet", "--verbose"): "not allowed with argument",
}


@pytest.mark.parametrize("words", USAGE_FAULTS, ids=" ".join)
def test_bad_usage_is_told_with_the_near_miss(command, words):
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert USAGE_FAULTS[words] in err
    assert "--help`." in err
    assert "Traceback" not in err


def test_no_command_prints_the_help(command):
    code, out, err = command()
    assert (code, out) == (2, "")
    assert "COMMAND" in err


def test_a_bad_override_and_a_bad_value_name_where_they_were_said(command, config):
    code, _, err = command(
        "generate", "--config", config, "--set", "simulation.num_timestep=3", "--total-samples", 0
    )
    assert code == 2
    assert "--set simulation.num_timestep" in err
    assert "num_timesteps" in err
    assert "--total-samples" in err
    assert command("generate", "--config", config, "--set", "nonsense")[0] == 2
    code, _, err = command("generate", "--config", config, "--workers", "many")
    assert code == 2
    assert "'many' is not allowed: it must be auto or an integer" in err
    code, _, err = command("generate", "--config", config, "--executor", "rya")
    assert code == 2
    assert "--executor: simulation.parallelism.strategy" in err
    assert "did you mean 'ray'" in err
    assert "one of auto, inline, process, ddp, ray, slurm" in err
    twice = ("--executor", "ray", "--set", "simulation.parallelism.strategy=inline")
    code, _, err = command("generate", "--config", config, *twice)
    assert code == 2
    assert "strategy is given twice, by --executor and by --set" in err


def test_a_missing_configuration_is_named(command, tmp_path):
    code, _, err = command("generate", "--config", tmp_path / "none.yaml")
    assert code == 2
    assert "none.yaml: no such file" in err


def test_a_traceback_comes_only_when_asked_for(command, tmp_path):
    words = ("generate", "--config", tmp_path / "none.yaml")
    assert "Traceback" not in command(*words)[2]
    assert "Traceback" in command(*words, "--verbose")[2]


def test_an_unexpected_error_is_one_line_and_exit_1(command, config, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("spinlock.config.load.load_config", broken)
    monkeypatch.setattr("spinlock.config.load_config", broken, raising=False)
    code, _, err = command("generate", "--config", config)
    assert code == 1
    assert err.startswith("spinlock generate: unexpected ZeroDivisionError: by nothing.")
    assert len(err.splitlines()) == 1


def test_ctrl_c_before_anything_runs_is_130(command, config, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("spinlock.config.load_config", stopped, raising=False)
    code, _, err = command("generate", "--config", config)
    assert code == 130
    assert err == "spinlock generate: interrupted\n"


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1], ids=lambda number: number.name
)
def test_a_signal_ends_generate_with_130_and_words_on_how_to_go_on(command, config, plain, tmp_path, number):
    words = ("generate", "--config", config, "--output", tmp_path / "a.h5")
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    rows = []

    def advance(_):
        rows.append(1)
        if len(rows) > 1:  # the shard of the first row is finished
            signal.raise_signal(number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spinlock.cli.progress.Progress.advance", advance)
        code, out, err = command(*words)
    assert (code, out) == (130, "")
    assert "a.h5 was complete; every finished shard is kept. Run the same command again to go on" in err
    assert "Traceback" not in err
    assert {each: signal.getsignal(each) for each in handlers} == handlers
    code, _, err = command(*words)
    assert code == 0
    assert "going on: " in err
    assert tiny.differing(plain, tmp_path / "a.h5") == []


def test_warnings_are_one_line_and_nothing_stays_installed(command, config, tmp_path):
    logger = logging.getLogger("spinlock")
    before = (logger.level, list(logger.handlers), warnings.showwarning)
    words = ("generate", "--config", config, "--output", tmp_path / "a.h5", "--device", "cuda:9")
    code, _, err = command(*words)
    assert code == 0
    (line,) = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert line.startswith("warning: device 'cuda:9': this machine has no such GPU; the CPU is used. If")
    assert (logger.level, list(logger.handlers), warnings.showwarning) == before
