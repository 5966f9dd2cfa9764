"""The card of a dataset: its numbers are those of the file, and what stands beside a file is its own."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

import tiny
from spinlock.cli.program import run
from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline, FeatureExtractionPipeline, open_dataset
from spinlock.dataset import companions as writing
from spinlock.dataset.card import SIZES, dataset_of_card, render_card
from spinlock.dataset.citation import AUTHORS, TITLE, YEAR
from spinlock.dataset.companions import is_described, write_companions
from spinlock.dataset.describe import describe
from spinlock.dataset.markdown import compact, literal, plain, table
from spinlock.errors import StorageError, UsageError
from spinlock.execution.plan import make_plan
from spinlock.execution.run_directory import RunDirectory
from spinlock.storage.companions import card_path, croissant_path


def header(card: str):
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)[1])


def rows(card: str, heading: str) -> list[list[str]]:
    """The cells of all tables of a section."""
    section = card.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines]


def cells(card: str, heading: str) -> dict[str, list[str]]:
    return {first: rest for first, *rest in rows(card, heading)}


# --- what it says ---


@pytest.fixture(scope="module")
def card(everything):
    with open_dataset(everything) as dataset:
        return dataset.card()


def test_the_card_beside_a_dataset_is_the_one_it_gives(everything, card):
    assert card_path(everything).read_text(encoding="utf-8") == card
    assert render_card(describe(everything)) == card


def test_the_header_has_the_fields_of_dataset_cards(card):
    fields = header(card)
    assert fields["pretty_name"] == "everything.h5"
    assert fields["size_categories"] == ["n<1K"]
    assert fields["task_categories"] == ["time-series-forecasting"]
    assert fields["annotations_creators"] == ["machine-generated"]
    assert fields["source_datasets"] == ["original"]
    assert "license" not in fields
    assert {"spinlock", "synthetic", "residual", "convex"} <= set(fields["tags"])


def test_labels_of_the_configuration_stand_in_the_card(tmp_path):
    labels = {"name": 'a "name": | *x*', "description": "<b>for</b>\nus", "license": "cc-by-4.0"}
    path = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, {"metadata": labels})
    card = card_path(path).read_text(encoding="utf-8")
    assert header(card)["pretty_name"] == labels["name"]
    assert header(card)["license"] == "cc-by-4.0"
    assert '\n# a "name": \\| \\*x\\*\n' in card
    assert "\n\\<b\\>for\\</b\\> us\n" in card


@pytest.mark.parametrize(
    ("samples", "category"), [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**7, "10M<n<100M")]
)
def test_the_size_category_holds_the_number(everything, samples, category):
    content = describe(everything) | {"samples": samples}
    assert header(render_card(content))["size_categories"] == [category]
    assert category in dict(SIZES).values()


def test_sizes_of_arrays_are_those_of_the_file(everything, card):
    told = cells(card, "What it holds")
    with h5py.File(everything) as file:
        for name in ("inputs/fields", "outputs/trajectories", "metadata/lyapunov"):
            array = file[name]
            kind, axes, *_ = told[f"`{name}`"]
            assert kind == array.dtype.name
            assert [int(axis.split()[-1]) for axis in axes.split(" × ")] == list(array.shape)
        assert told["`parameters/values/`"][0] == f"{len(file['parameters/values'])} arrays"


def test_distributions_are_those_of_the_file(everything, card):
    with h5py.File(everything) as file:
        types = file["metadata/ic_types"].asstr()[:].tolist()
        labels = file["metadata/dynamics"].asstr()[:].tolist()
        gains = file["parameters/values/gain"][:]
        finite = file["metadata/finite_steps"][:]
        exponents = file["metadata/lyapunov"][:]
    told = cells(card, "Distributions")
    for name in set(types):
        assert f"{name}: {types.count(name)} (" in told["initial conditions"][0]
    shown = [float(value) for value in told["`gain`"]]
    assert shown == [float(f"{v:.4g}") for v in (gains.min(), np.median(gains), gains.max())]
    assert {k: v[0] for k, v in cells(card, "Dynamics").items() if k in labels} == {
        label: str(labels.count(label)) for label in labels
    }
    whole = int((finite == 18).sum())
    assert f"{whole} of 36 rollouts (" in card
    quantiles = np.quantile(exponents[np.isfinite(exponents)], [0.05, 0.25, 0.5, 0.75, 0.95])
    assert ", ".join(f"{value:.4g}" for value in quantiles) in card
    stopped = f"- {36 - whole} of 36 rollouts ("
    assert (stopped in card.replace("\\", "")) == (whole < 36)


def test_it_says_how_it_was_made_and_that_makes_it_again(everything, card, tmp_path):
    told = cells(card, "How it was made")
    with open_dataset(everything) as dataset:
        assert told["plan digest"] == [f"`{dataset.attributes['plan_digest']}`"]
        assert told["dataset digest"] == [f"`{dataset.digest}`"]
        assert told["root seed"] == ["43"]
        stored = dataset.attributes["config"]
    assert told["configuration, SHA-256 as stored"] == [f"`{hashlib.sha256(stored.encode()).hexdigest()}`"]
    config = re.search(r"```json\n(.*?)\n```", card, re.DOTALL)[1]
    assert max(map(len, config.splitlines())) < 110
    (tmp_path / "config.yaml").write_text(config)
    with open_dataset(everything) as dataset:
        assert make_plan(load_config(tmp_path / "config.yaml")).digest == dataset.attributes["plan_digest"]
    assert str(everything.parent) not in card


def test_the_code_that_it_gives_runs(everything, card, monkeypatch):
    monkeypatch.chdir(everything.parent)
    (code,) = re.findall(r"```python\n(.*?)\n```", card, re.DOTALL)
    exec(compile(code, "card", "exec"), {})


def test_limits_are_those_of_the_dataset(everything, plain):
    """The counterpart of each: a dataset without the limit does not state it."""
    whole, final = (
        card_path(path).read_text(encoding="utf-8").split("## Limits")[1] for path in (everything, plain)
    )
    assert "are stored, a choice" not in whole
    assert "are too short to tell" in final
    assert "are too short to tell" not in whole
    assert "float16" not in whole
    content = describe(plain)
    content["config"]["simulation"]["num_timesteps"] = 20
    assert "frames between frame 0 and frame 20 are not stored" in render_card(content)
    content["timesteps"] = [0, 10, 20]
    assert "3 of 21 frames are stored" in render_card(content)
    content["accounting"]["all"]["overflowed"] = 4
    assert "4 rollouts went beyond the range of float16" in render_card(content)
    content["config"]["dataset"]["storage"]["precision"] = "float16"
    assert "Computed in float32, stored as float16" in render_card(content)


def test_the_words_of_the_citation_are_those_of_the_project():
    cited = yaml.safe_load((tiny.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["title"] == TITLE
    assert [author["name"] for author in cited["authors"]] == [AUTHORS]
    assert int(str(cited["date-released"])[:4]) == YEAR


def test_texts_of_strangers_are_no_markup():
    assert plain("a|b\n# <i>_x_ `y` snake_case") == "a\\|b \\# \\<i\\>\\_x\\_ \\`y\\` snake_case"
    assert literal("a`b|c\x1b") == "`a'b\\|c `"
    assert table(("a",), [["1"]]).splitlines() == ["| a |", "| --- |", "| 1 |"]


def test_a_configuration_is_written_in_few_lines_and_reads_back():
    value = {"a": {"b": [1, 2], "c": {"x" * 50: "y" * 50}}, "d": None, "e": {}}
    assert json.loads(compact(value)) == value
    assert compact({"b": [1, 2]}) == '{"b": [1, 2]}'


# --- where it stands, and of which dataset ---


@pytest.fixture
def made(plain, tmp_path):
    """A copy of a dataset with what stands beside it."""
    for name in tiny.with_companions(plain):
        shutil.copy(plain.with_name(name), tmp_path / name)
    return tmp_path / plain.name


def again(output: Path, changes=None, **how):
    with tiny.unchecked_shapes():
        return DatasetGenerationPipeline(tiny.config_of(output, tiny.PLAIN, changes), **how).generate()


def of(output: Path) -> tuple[str, str]:
    """The digests of the datasets that the companions are of."""
    description = json.loads(croissant_path(output).read_text(encoding="utf-8"))
    assert description["distribution"][0]["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    told = dataset_of_card(card_path(output).read_text(encoding="utf-8"))
    return str(told), description["identifier"].removeprefix("spinlock:").partition(":")[0]


def digest(output: Path) -> str:
    with open_dataset(output) as dataset:
        return dataset.digest


def test_generate_says_where_the_card_is(made, tmp_path, capsys):
    config = tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN)
    assert run(["generate", "--config", str(config), "--output", str(made)]) == 0
    assert f"card           {card_path(made)}" in re.sub(
        r"card +", "card           ", capsys.readouterr().out
    )
    assert again(made).card == str(card_path(made))


@pytest.mark.parametrize("lost", [card_path, croissant_path])
def test_what_is_missing_is_written_when_the_dataset_is_complete(made, lost):
    lost(made).unlink()
    kept = made.stat().st_mtime_ns
    assert again(made).seconds is None
    assert of(made) == (digest(made),) * 2
    assert made.stat().st_mtime_ns == kept
    assert {path.name for path in made.parent.iterdir()} == {*tiny.with_companions(made), "plain.yaml"}


def test_a_forced_run_replaces_what_stood_beside_the_old_dataset(made):
    before = digest(made)
    again(made, {"sampling.sobol.seed": 5}, force=True)
    assert digest(made) != before
    assert of(made) == (digest(made),) * 2


def test_a_card_of_another_dataset_does_not_stay(made):
    """The user removed the dataset, not its companions, and makes another one there."""
    made.unlink()
    again(made, {"sampling.sobol.seed": 5})
    assert of(made) == (digest(made),) * 2


def test_features_change_what_stands_beside(made):
    FeatureExtractionPipeline(made).extract()
    assert of(made) == (digest(made),) * 2
    card = card_path(made).read_text(encoding="utf-8")
    assert cells(card, "Features")["features"] == ["153 (version 2.0.0)"]
    copy = made.with_name("copy.h5")
    FeatureExtractionPipeline(made, output=copy, max_samples=2, overwrite=True).extract()
    assert of(copy) == (digest(copy),) * 2
    assert "Only 2 of 3 samples have features" in card_path(copy).read_text(encoding="utf-8")


def test_a_card_that_someone_changed_stays(made, caplog):
    changed = card_path(made).read_text(encoding="utf-8") + "\nOur own words.\n"
    card_path(made).write_text(changed, encoding="utf-8")
    again(made)
    assert caplog.text == ""
    again(made, {"sampling.sobol.seed": 5}, force=True)
    assert card_path(made).read_text(encoding="utf-8") == changed
    assert f"{card_path(made)} was changed or is not ours, and stays" in caplog.text
    assert digest(made) in croissant_path(made).read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["a diary", "{}", "[]", '{"identifier": 7}', "\udcff"])
def test_files_of_others_stay(made, content, caplog):
    croissant_path(made).write_bytes(content.encode(errors="surrogateescape"))
    write_companions(made)
    assert croissant_path(made).read_bytes() == content.encode(errors="surrogateescape")
    assert "was changed or is not ours" in caplog.text


def test_a_run_killed_before_the_card_writes_it_afterwards(tmp_path, monkeypatch):
    output = tmp_path / "a.h5"
    monkeypatch.setattr(writing, "described", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(Exception, match="interrupted"):
        again(output)
    monkeypatch.undo()
    assert output.is_file()
    assert not card_path(output).exists()
    assert again(output).seconds is None
    assert of(output) == (digest(output),) * 2


def test_what_cannot_be_written_is_a_warning_and_costs_nothing(made, caplog):
    for path in (card_path(made), croissant_path(made)):
        path.unlink()
        path.mkdir()
    summary = again(made, {"sampling.sobol.seed": 5}, force=True)
    assert summary.made == 3
    assert summary.card is None
    assert caplog.text.count("was changed or is not ours") == 2
    digest(made)


def test_a_failing_disk_is_a_warning(made, monkeypatch, caplog):
    def refuse(path, text):
        raise StorageError(f"{path} cannot be written (No space left on device)")

    monkeypatch.setattr(writing, "commit_text", refuse)
    card_path(made).unlink()
    assert again(made).card is None
    assert "is complete, but not all that describes it is written beside it" in caplog.text
    assert not is_described(made)
    monkeypatch.undo()
    again(made)
    assert is_described(made)


def test_who_may_not_read_a_dataset_may_not_read_its_card(made):
    made.chmod(0o600)
    card_path(made).unlink()
    again(made)
    assert card_path(made).stat().st_mode & 0o777 == 0o600


def test_two_datasets_in_a_folder_have_each_its_own(made):
    other = made.with_name("plain.hdf5")
    again(other, {"sampling.sobol.seed": 5})
    assert of(made) == (digest(made),) * 2
    assert of(other) == (digest(other),) * 2


def test_no_dataset_takes_the_place_of_a_companion(made):
    with pytest.raises(UsageError, match="are those of what stands beside a dataset"):
        FeatureExtractionPipeline(made, output=card_path(made)).extract()


def test_temporary_files_of_a_killed_writer_are_swept(made):
    left = [Path(f"{path(made)}.tmp-{'0' * 32}") for path in (card_path, croissant_path)]
    for path in left:
        path.write_text("half")
    card_path(made).unlink()
    again(made)
    assert [path for path in left if path.exists()] == []


def test_another_process_at_work_there_is_left_alone(made):
    card_path(made).unlink()
    with RunDirectory(made, make_plan(tiny.config_of(made, tiny.PLAIN, {"sampling.sobol.seed": 5}))):
        write = again  # the plan that stands there is not locked out of what is complete
        assert write(made).seconds is None
        assert not card_path(made).exists()
