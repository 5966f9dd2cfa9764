"""A Zarr store at a URL: made, read, proved, replaced and given features, with nothing left beside it."""

from pathlib import Path

import pytest
import torch

import tiny
from spinlock.cli.program import run
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.dataset.extract import FeatureExtractionPipeline
from spinlock.dataset.validate import validate
from spinlock.errors import UsageError
from spinlock.torch import SpinlockDataset
from test_dataset.form_scenes import comparable


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A place in memory, and a working directory that must stay empty."""
    import fsspec

    files = fsspec.filesystem("memory")
    files.store.clear()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    yield "memory://bucket"
    assert list(here.iterdir()) == []
    files.store.clear()


def generated(url: str, settings=tiny.PLAIN, **how):
    config = tiny.config_of(Path("../c/a.h5"), settings)
    dataset = config.dataset.model_copy(update={"output_path": url})
    with tiny.unchecked_shapes():
        return DatasetGenerationPipeline(config.model_copy(update={"dataset": dataset}), **how).generate()


@pytest.mark.parametrize("place", ["deep/er/a.zarr", pytest.param("a.zarr", marks=pytest.mark.slow)])
def test_a_store_at_a_url_is_made_read_proved_and_given_features(memory, plain, tmp_path, place):
    url = f"{memory}/{place}"
    assert generated(url).path == url
    assert comparable(url) == comparable(plain)
    assert validate(url, replay=1).failures == []
    assert generated(url).made in (None, 0), "it is complete"
    with open_dataset(url) as dataset:
        assert torch.equal(SpinlockDataset(dataset)[2]["inputs"], SpinlockDataset(plain)[2]["inputs"])
    output = tmp_path / "b.h5"
    FeatureExtractionPipeline(url, output=output).extract()
    FeatureExtractionPipeline(url, output=f"{memory}/b.zarr").extract()
    assert comparable(f"{memory}/b.zarr") == comparable(output)
    with pytest.raises(UsageError, match="exists; choose another --output"):
        FeatureExtractionPipeline(plain, output=url).extract()
    with pytest.raises(UsageError, match="cannot be replaced while it is read"):
        FeatureExtractionPipeline(url).extract()
    assert comparable(url) == comparable(plain)


def test_another_dataset_at_a_url_is_replaced_only_by_force(memory, plain):
    url = f"{memory}/a.zarr"
    generated(url)
    other = tiny.changed(tiny.PLAIN, {"sampling.sobol.seed": 7})
    with pytest.raises(
        UsageError, match=r"is another dataset: 3 samples of the plan [0-9a-f]{16}, where this"
    ):
        generated(url, other)
    assert comparable(url) == comparable(plain)
    generated(url, other, force=True)
    assert comparable(url) != comparable(plain)


def test_what_is_not_ours_at_a_url_is_left_alone(memory):
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe_file("/bucket/a.zarr/notes.txt", b"mine")
    with pytest.raises(UsageError, match=r"a\.zarr exists and is no Spinlock dataset that can be read"):
        generated(f"{memory}/a.zarr")
    assert files.cat_file("/bucket/a.zarr/notes.txt") == b"mine"


def test_a_run_that_died_while_it_wrote_to_a_url_goes_on(memory, plain, monkeypatch):
    """Until its root stands, a store is none: the same command makes it."""
    from spinlock.storage import zarr_writer

    class Died(BaseException):
        pass

    def die(_self):
        raise Died

    url = f"{memory}/a.zarr"
    right = zarr_writer.NewStore.seal
    monkeypatch.setattr(zarr_writer.NewStore, "seal", die)
    with pytest.raises(Died):
        generated(url)
    assert "is not a sound Spinlock dataset" in str(validate(url).failures)
    monkeypatch.setattr(zarr_writer.NewStore, "seal", right)
    assert generated(url).made == 0, "all shards were kept"
    assert comparable(url) == comparable(plain)


def test_a_name_with_a_pattern_in_it_is_only_itself(memory):
    import fsspec

    files = fsspec.filesystem("memory")
    generated(f"{memory}/a1.zarr")
    before = sorted(files.find("/bucket/a1.zarr"))
    generated(f"{memory}/a[12].zarr")
    generated(f"{memory}/a[12].zarr", tiny.changed(tiny.PLAIN, {"sampling.sobol.seed": 7}), force=True)
    assert sorted(files.find("/bucket/a1.zarr")) == before


def test_a_chain_of_urls_is_no_folder_of_this_machine(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN)
    words = ["generate", "--config", "c.yaml", "--output", "simplecache::memory://a.zarr"]
    assert run(words) == 2
    assert "simplecache::memory" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]
