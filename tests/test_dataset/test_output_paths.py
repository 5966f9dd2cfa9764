"""The output path may lead anywhere that its user may write; nothing else is ever written."""

import os
import re
from pathlib import Path

import h5py
import pytest

import tiny
from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.errors import UsageError
from spinlock.execution.plan import make_plan
from spinlock.storage import open_stored
from spinlock.storage.companions import SUFFIXES
from test_cli.test_hostile_configs import told, tree

ONE = {"sampling.total_samples": 1}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a working directory, a home, other people's files, and links."""
    for name in ("work", "home", "others", "work/sub"):
        (tmp_path / "place" / name).mkdir(parents=True)
    (tmp_path / "place" / "others" / "precious.h5").write_bytes(b"precious")
    (tmp_path / "place" / "work" / "linked").symlink_to(tmp_path / "place" / "others")
    (tmp_path / "place" / "work" / "link.h5").symlink_to(tmp_path / "place" / "others" / "far.h5")
    (tmp_path / "place" / "work" / "loop.h5").symlink_to("loop.h5")
    monkeypatch.chdir(tmp_path / "place" / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "place" / "home"))
    return tmp_path / "place"


def written(place: Path, output: str, **changes: object) -> set[str]:
    """Make a dataset at a path, and return what appeared anywhere but the companions of the dataset.

    Nothing else may have changed.
    """
    before = tree(place)
    path = tiny.write_config(place.parent / "c.yaml", tiny.changed(tiny.PLAIN, ONE | changes))
    config = load_config(path, [("test", "dataset.output_path", output)])
    with tiny.unchecked_shapes():
        summary = DatasetGenerationPipeline(config).generate()
    open_dataset(summary.path).close()
    after = tree(place)
    assert {name: after.get(name) for name in before} == before
    new = set(after) - set(before)
    companions = {name for name in new if name.endswith(SUFFIXES)}
    (dataset,) = {name for name in new if name.endswith((".h5", ".hdf5"))}
    assert {Path(name).name for name in companions} | {Path(dataset).name} == tiny.with_companions(
        Path(dataset)
    )
    assert {Path(name).parent for name in companions} == {Path(dataset).parent}
    return new - companions


@pytest.mark.parametrize(
    ("output", "made"),
    [
        ("a.h5", {"work/a.h5"}),
        ("./a.hdf5", {"work/a.hdf5"}),
        ("new/folder/a.h5", {"work/new", "work/new/folder", "work/new/folder/a.h5"}),
        ("sub/../a.h5", {"work/a.h5"}),
        ("../others/a.h5", {"others/a.h5"}),
        ("~/a.h5", {"home/a.h5"}),
        ("~/deep/a.h5", {"home/deep", "home/deep/a.h5"}),
        ("linked/a.h5", {"others/a.h5"}),
        ("link.h5", {"others/far.h5"}),
        ("a b\n;rm -rf x.h5", {"work/a b\n;rm -rf x.h5"}),
        ("-f.h5", {"work/-f.h5"}),
        ("$HOME.h5", {"work/$HOME.h5"}),
        ("größe.h5", {"work/größe.h5"}),
        (".h5", {"work/.h5"}),
    ],
)
def test_only_the_output_and_its_folders_are_written(place, output, made):
    assert written(place, output) == made


def test_an_absolute_path_is_taken_as_it_is(place):
    assert written(place, str(place / "others" / "a.h5")) == {"others/a.h5"}


def test_names_in_a_configuration_are_no_paths(place):
    """Labels and texts that look like paths or code are stored as they stand."""
    away = str(place / "others" / "away")
    label = f"../../{away}"
    generation = {"method": "sampled", "ic_type_weights": {label: 1.0}, label: {"type": "localized"}}
    changes = {
        "metadata": {"name": f"../{away}", "description": "$(touch ran) `touch ran` %s {0.__class__}"},
        "simulation.input_generation": generation,
    }
    assert written(place, "a.h5", **changes) == {"work/a.h5"}
    with open_dataset("a.h5") as dataset:
        assert dataset[0].metadata["ic_labels"] == label
        assert dataset.config.metadata.description == changes["metadata"]["description"]


REFUSED = {
    "~nobody-of-this-name/a.h5": "there is no such home folder",
    "loop.h5": "the link leads in a circle",
    f"{'x' * 300}/a.h5": "File name too long",
    f"{'x' * 300}.h5": "is too long a file name",
    "sub": "the path of a file that ends in .h5 or .hdf5",
    "sub.h5/": "the path of a file that ends in .h5 or .hdf5",
    "../others/precious.h5": "exists and is no Spinlock dataset that can be read: it is not an HDF5 file",
    "linked/precious.h5": "exists and is no Spinlock dataset that can be read: it is not an HDF5 file",
    "../others/precious.h5/a.h5": "is not a folder",
    "a\udcff.h5": "it must be a path in UTF-8",
    "a\0.h5": "it must be a path in UTF-8",
}


@pytest.mark.parametrize(
    "output", REFUSED, ids=lambda path: f"{path:.24}".encode("ascii", "replace").decode().replace("\0", "NUL")
)
def test_other_paths_are_refused_and_nothing_is_written(place, output):
    path = tiny.write_config(place.parent / "c.yaml", tiny.changed(tiny.PLAIN, ONE))
    before = tree(place)
    with pytest.raises(UsageError, match=re.escape(REFUSED[output])):
        DatasetGenerationPipeline(load_config(path, [("test", "dataset.output_path", output)])).generate()
    code, out, err = told("generate", "--config", str(path), f"--output={output}", "--quiet")
    assert (code, out) == (2, "")
    assert REFUSED[output] in err
    assert "Traceback" not in err
    assert tree(place) == before


SEED = {"sampling.sobol.seed": 7}


@pytest.mark.parametrize("end", ["h5", "spin", "zarr"])
def test_another_dataset_is_told_by_its_plan_and_its_samples(tmp_path, end):
    output = tmp_path / f"a.{end}"
    tiny.generate(output, tiny.PLAIN)
    with open_stored(output) as stored:
        theirs = stored.attributes["plan_digest"]
    ours = make_plan(tiny.config_of(output, tiny.PLAIN, SEED)).digest
    assert ours != theirs
    told = f"another dataset: 3 samples of the plan {theirs[:16]}, where this run has the plan {ours[:16]}"
    with pytest.raises(UsageError, match=told):
        tiny.generate(output, tiny.PLAIN, SEED)
    tiny.generate(output, tiny.PLAIN)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def change_a_table(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["metadata/lyapunov"][0] = 3.0


def break_the_index(path: Path) -> None:
    (path / "index.h5").write_bytes(b"broken")


def break_the_root(path: Path) -> None:
    cut_short(path / "zarr.json")


KEEPS = "With the configuration that made it, --repair keeps what is sound of it"


@pytest.mark.parametrize(
    ("end", "harm", "told", "kept"),
    [
        ("h5", cut_short, "is a damaged dataset: it is cut short", True),
        ("h5", change_a_table, "is a damaged dataset: metadata/lyapunov changed since it was written", True),
        (
            "h5",
            lambda path: path.write_bytes(b""),
            "is no Spinlock dataset that can be read: it is empty",
            False,
        ),
        ("spin", break_the_index, r"it is not an HDF5 file, or its beginning is damaged \(index.h5\)", True),
        ("zarr", break_the_root, "is a damaged dataset: zarr cannot read it", False),
    ],
)
def test_a_damaged_dataset_is_told_with_its_fault(tmp_path, end, harm, told, kept):
    """What stands there stays, and `--repair` is offered where it keeps something."""
    output = tmp_path / f"a.{end}"
    tiny.generate(output, tiny.PLAIN)
    harm(output)
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=told) as error:
        tiny.generate(output, tiny.PLAIN)
    assert (KEEPS in str(error.value)) is kept
    assert tree(tmp_path) == before


@pytest.mark.parametrize("end", ["spin", "zarr"])
def test_a_folder_of_other_things_is_none_of_ours(tmp_path, end):
    output = tmp_path / f"a.{end}"
    output.mkdir()
    with pytest.raises(
        UsageError, match=r"is no Spinlock dataset that can be read: .* or replace it with --force"
    ):
        tiny.generate(output, tiny.PLAIN)
    (output / "notes.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(UsageError, match="is a folder that Spinlock did not make"):
            DatasetGenerationPipeline(tiny.config_of(output, tiny.PLAIN), force=force).generate()


def test_a_dataset_that_may_not_be_read_now_is_not_called_damaged(tmp_path, monkeypatch):
    output = tmp_path / "a.h5"
    tiny.generate(output, tiny.PLAIN)

    def in_use(*_args):
        raise BlockingIOError("in use")

    monkeypatch.setattr("spinlock.storage.opening.h5py.File", in_use)
    with pytest.raises(UsageError, match=r"is in use: another program has it open for writing.*Nothing was"):
        tiny.generate(output, tiny.PLAIN)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make files there, and must not")
def test_the_folder_of_processes_holds_no_dataset(place):
    path = tiny.write_config(place.parent / "c.yaml", tiny.changed(tiny.PLAIN, ONE))
    code, _, err = told("generate", "--config", str(path), "--output", "/proc/a.h5", "--quiet")
    assert code in (1, 2)
    assert "Traceback" not in err
    assert "unexpected" not in err
