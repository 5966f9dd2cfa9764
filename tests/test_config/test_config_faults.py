"""Wrong configurations: each told with key, line, near miss and what is allowed, with nothing touched."""

import re
from pathlib import Path

import pytest

from spinlock.cli.program import run
from spinlock.config.load import validated
from spinlock.config.yaml_source import DEEPEST, LARGEST_FILE, Source, parse_source
from spinlock.errors import ConfigError
from test_config.config_texts import TEXT, VALUES, config_of, edited, line_of

TABLE = parse_source(
    Path(__file__).with_name("wrong_configurations.yaml").read_text(encoding="utf-8"), "table"
)
WRONG = TABLE.values

UNREADABLE = {
    "empty file": ("", "holds nothing"),
    "only comments": ("# nothing\n", "holds nothing"),
    "a list": ("- a\n- b\n", "holds a list"),
    "a word": ("spinlock\n", "holds the value 'spinlock'"),
    "unclosed list": ("a: [1, 2\nb: 3\n", "line 2: not valid YAML"),
    "unclosed quote": ('a: 1\nb: "x\n', "not valid YAML"),
    "bad indentation": ("a:\n  b: 1\n c: 2\n", "line 3: not valid YAML"),
    "tab": (
        "a:\n\tb: 1\n",
        "line 2: not valid YAML: found character '\\t' that cannot start any token (indent with spaces",
    ),
    "two documents": (TEXT + "---\n" + TEXT, "`---` begins a second document"),
    "alias": ("a: &x 1\nb: *x\n", "line 1: anchors and aliases (here 'x') are not allowed"),
    "aliases that grow": ("a: &a [1]\nb: &b [*a, *a]\n", "anchors and aliases"),
    "tag": ("a: 1\nb: !!python/object/apply:os.getcwd []\n", "line 2: tags"),
    "nested deep": ("a: " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), f"more than {DEEPEST} levels"),
    "nested very deep": ("a: " + "{x: " * 20000, f"more than {DEEPEST} levels"),
    "huge file": ("a: 1\n" * (LARGEST_FILE // 5 + 1), "larger than"),
    "control character": ("a: 1\nb: \x07\n", "line 2: not a text file"),
}


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a dataset where the configurations would put theirs, and work begun."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.h5").write_bytes(b"another dataset")
    (tmp_path / "small.h5.run").mkdir()
    (tmp_path / "small.h5.run" / "plan.json").write_text("{}")
    return tmp_path


def refused(folder, capsys, *arguments):
    """Run `generate`, which refuses and touches nothing, and return what it says."""
    before = snapshot(folder)
    assert run(["generate", *arguments]) == 2
    assert snapshot(folder) == before
    output = capsys.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    assert not re.search(r"pydantic|[Ii]nput should|NoneType|<class|validation error", output.err)
    return output.err


@pytest.mark.parametrize("name", WRONG)
def test_a_fault_is_told_with_key_line_and_what_is_allowed(name, folder, capsys):
    old, new = WRONG[name]["change"]
    text = edited((old, new))
    line = TEXT[: TEXT.index(old)].count("\n") + 1
    if "at" in WRONG[name]:
        line = WRONG[name]["at"] and line_of(text, WRONG[name]["at"])
    (folder / "c.yaml").write_text(text)
    message = refused(folder, capsys, "--config", "c.yaml")
    assert message.startswith("spinlock generate: c.yaml: 1 error in the configuration\n"), message
    assert f"  {f'line {line}: ' if line else ''}{WRONG[name]['key']}: " in message, message
    for words in WRONG[name]["says"]:
        assert words in message


def test_the_table_of_wrong_configurations_is_sound():
    assert TABLE.faults == ()
    assert len(WRONG) >= 80
    assert len({tuple(case["change"]) for case in WRONG.values()}) == len(WRONG)


def test_a_space_of_null_is_told(folder, capsys):
    text = re.sub(r"parameter_space:\n( .*\n)+", "parameter_space: null\n", TEXT)
    (folder / "c.yaml").write_text(text)
    words = "line 4: parameter_space: is empty: it must be a section with keys from: architecture, operator"
    assert words in refused(folder, capsys, "--config", "c.yaml")


def test_the_text_they_are_made_from_is_right():
    assert validated(Source("text", VALUES)).metadata.name == "small"


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_configuration_at_all_is_told(name, folder, capsys):
    text, words = UNREADABLE[name]
    (folder / "c.yaml").write_text(text)
    message = refused(folder, capsys, "--config", "c.yaml")
    assert message.startswith("spinlock generate: c.yaml")
    assert words in message


def test_files_that_cannot_be_read_are_told(folder, capsys):
    (folder / "picture.yaml").write_bytes(b"\x89PNG\xff\xfe")
    (folder / "first.yaml").write_text(TEXT)
    (folder / "empty").mkdir()
    assert "picture.yaml: not a text file" in refused(folder, capsys, "--config", "picture.yaml")
    assert "no such file (did you mean 'first.yaml'?)" in refused(folder, capsys, "--config", "frist.yaml")
    assert "did you mean 'first.yaml'?" in refused(folder, capsys, "--config", "first")
    assert "(there are: first.yaml, picture.yaml)" in refused(folder, capsys, "--config", "zzz.json")
    assert "a directory" in refused(folder, capsys, "--config", "empty")
    assert "cannot be read: Not a directory" in refused(folder, capsys, "--config", "first.yaml/c.yaml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--total-samples", "0"], "--total-samples: sampling.total_samples: 0 is not allowed"),
        (["--total-samples", "many"], "--total-samples: invalid int value"),
        (["--num-timesteps", "70000"], "--num-timesteps: simulation.num_timesteps: 70000 is not allowed"),
        (["--device", "gpu"], "--device: simulation.device: 'gpu' is not allowed"),
        (["--workers", "none"], "--workers: simulation.parallelism.workers: 'none' is not allowed"),
        (["--seed", "-1"], "--seed: sampling.sobol.seed: -1 is not allowed"),
        (["--output", "x.txt"], "--output: dataset.output_path: 'x.txt' is not allowed"),
        (
            ["--set", "sampling.total_sample=3"],
            "--set sampling.total_sample: unknown key",
        ),
        (["--set", "sampling"], "write key=value"),
        (["--set", "sampling.total_samples=[1"], "--set sampling.total_samples, line 1: not valid YAML"),
        (["--totl-samples", "3"], "did you mean --total-samples?"),
    ],
)
def test_a_fault_of_a_flag_is_told_with_the_flag(arguments, words, folder, capsys):
    (folder / "c.yaml").write_text(TEXT)
    assert words in refused(folder, capsys, "--config", "c.yaml", *arguments)


def test_all_faults_are_told_in_the_order_of_the_file(folder, capsys):
    text = edited(
        ("[1, 2]", "[2, 1]"),
        ("gelu", "gleu"),
        ("alpha:", "alhpa:"),
        ("total_samples: 4", "total_samples: 0"),
        ("num_channels: 1", "num_chanels: 1"),
        ("localized: 1", "localised: 1"),
        ("length_scale: 0.2", "length_scale: 9"),
        ("zstd", "zip"),
    )
    (folder / "c.yaml").write_text(text)
    message = refused(folder, capsys, "--config", "c.yaml")
    assert "8 errors in the configuration" in message
    lines = [int(number) for number in re.findall(r"^  line (\d+): ", message, re.MULTILINE)]
    wanted = ("[2, 1]", "gleu", "alhpa", "total_samples", "chanels", "localised", "length_scale", "zip")
    assert lines == [line_of(text, passage) for passage in wanted]


@pytest.mark.parametrize(
    "change",
    [
        ("update_policy:", "update_polcy:"),
        ("autoregressive, convex", "autoregressive, convx"),
        ("choices: [autoregressive, convex]", "choices: convex"),
    ],
)
def test_a_parameter_is_not_called_idle_for_a_slip_elsewhere(change):
    with pytest.raises(ConfigError) as caught:
        validated(Source("text", parse_source(edited(change), "text").values))
    assert "1 error" in str(caught.value)
    assert "never acts" not in str(caught.value)


def test_long_values_are_cut():
    with pytest.raises(ConfigError) as caught:
        config_of({"simulation.num_channels": "x" * 5000})
    assert len(str(caught.value)) < 300
