"""The Croissant description: valid by the package of its makers, and true."""

import hashlib
import json
import socket

import h5py
import pytest

import tiny
from spinlock.dataset.croissant import HDF5, Resource, dataset_of_croissant, render_croissant
from spinlock.dataset.describe import describe
from spinlock.storage.companions import croissant_path

croissant = pytest.importorskip("mlcroissant")

RESOURCE = Resource("x.h5", 1, HDF5, "0" * 64)

pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network is not needed")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def description(everything):
    return croissant.Dataset(jsonld=str(croissant_path(everything)))


def test_it_is_valid(description):
    issues = description.metadata.ctx.issues
    assert issues.errors == set()
    assert {warning.split('"')[1].rpartition("/")[2] for warning in issues.warnings} == {
        "license",
        "datePublished",
    }


def test_a_stated_license_is_in_it(plain):
    content = describe(plain)
    content["config"]["metadata"] = {"license": "cc-by-4.0", "name": "Näme", "description": "What for."}
    described = json.loads(render_croissant(content, RESOURCE))
    assert described["license"] == "cc-by-4.0"
    assert described["name"] == "Näme"
    assert described["description"].startswith("What for. 3 stochastic")
    metadata = croissant.Metadata.from_json(ctx=croissant.Context(), json_=described)
    assert metadata.ctx.issues.errors == set()


@pytest.mark.parametrize(("suffix", "inner"), [("spin", "index.h5"), ("zarr", "zarr.json")])
def test_that_of_a_directory_is_valid_and_names_its_files(tmp_path, suffix, inner):
    output = tiny.generate(tmp_path / f"x.{suffix}", tiny.PLAIN)
    issues = croissant.Dataset(jsonld=str(croissant_path(output))).metadata.ctx.issues
    assert issues.errors == set()
    first, others = json.loads(croissant_path(output).read_text())["distribution"]
    content = (output / inner).read_bytes()
    assert first["contentUrl"] == f"{output.name}/{inner}"
    assert (first["contentSize"], first["sha256"]) == (
        f"{len(content)} B",
        hashlib.sha256(content).hexdigest(),
    )
    assert others["@type"] == "cr:FileSet"
    assert list(tmp_path.glob(others["includes"]))


def test_a_broken_description_is_refused(plain):
    """The control: the package would notice."""
    described = json.loads(render_croissant(describe(plain), RESOURCE))
    described["recordSet"][0]["data"][0].popitem()
    with pytest.raises(croissant.ValidationError):
        croissant.Metadata.from_json(ctx=croissant.Context(), json_=described)


def test_its_records_are_read_and_are_those_of_the_file(description, everything):
    records = {record["arrays/path"]: record for record in description.records("arrays")}
    with h5py.File(everything) as file:
        for path, record in records.items():
            assert record["arrays/shape"] == ",".join(map(str, file[path].shape))
            assert record["arrays/bytes"] == file[path].nbytes
        labels = file["metadata/dynamics"].asstr()[:].tolist()
        gains = file["parameters/values/gain"][:]
    assert {"inputs/fields", "outputs/fields", "metadata/ic_types", "parameters/values/gain"} <= set(records)
    told = {r["dynamics/label"]: r["dynamics/samples"] for r in description.records("dynamics")}
    assert told == {label: labels.count(label) for label in labels}
    (gain,) = (r for r in description.records("parameters") if r["parameters/name"] == "gain")
    assert (gain["parameters/minimum"], gain["parameters/maximum"]) == (gains.min(), gains.max())


def test_the_file_is_that_which_it_describes(description, everything):
    (file,) = description.metadata.distribution
    assert file.content_url == everything.name
    assert file.content_size == f"{everything.stat().st_size} B"


def test_it_tells_of_which_dataset_it_is(everything):
    text = croissant_path(everything).read_text(encoding="utf-8")
    assert dataset_of_croissant(text) == describe(everything)["digest"]
    assert str(everything.parent) not in text
    assert dataset_of_croissant(tiny.PLAIN["version"]) is None


def test_an_edited_description_stays_and_is_told_of(tmp_path, caplog):
    output = tiny.generate(tmp_path / "x.h5", tiny.PLAIN)
    path = croissant_path(output)
    text = path.read_text().replace('"Spinlock 1', '"My group, Spinlock 1')
    path.write_text(text)
    assert dataset_of_croissant(text) is None
    tiny.generate(output, tiny.PLAIN, {"sampling.sobol.seed": 5}, force=True)
    assert path.read_text() == text
    assert "was changed or is not ours, and stays" in caplog.text
