"""The output path may lead anywhere that its user may write; nothing else is ever written."""

import os
import re
from pathlib import Path

import pytest

import tiny
from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.errors import UsageError
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
    "../others/precious.h5": "exists and is another dataset, or a damaged one, or none at all",
    "linked/precious.h5": "exists and is another dataset, or a damaged one, or none at all",
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make files there, and must not")
def test_the_folder_of_processes_holds_no_dataset(place):
    path = tiny.write_config(place.parent / "c.yaml", tiny.changed(tiny.PLAIN, ONE))
    code, _, err = told("generate", "--config", str(path), "--output", "/proc/a.h5", "--quiet")
    assert code in (1, 2)
    assert "Traceback" not in err
    assert "unexpected" not in err
