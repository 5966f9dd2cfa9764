"""``dataset.storage.backend`` and the end of ``output_path`` must say the same."""

import sys

import pytest

import tiny
from spinlock.cli.program import run
from spinlock.config import load_config
from spinlock.errors import ConfigError


def loaded(tmp_path, output, backend=None):
    changes = {"dataset.output_path": output} | ({"dataset.storage.backend": backend} if backend else {})
    return load_config(tiny.write_config(tmp_path / "c.yaml", tiny.changed(tiny.PLAIN, changes)))


@pytest.mark.parametrize(
    ("output", "backend"),
    [
        ("a.h5", "hdf5"), ("a.hdf5", "hdf5"), ("a.spin", "spin"), ("a.zarr", "zarr"), ("a.spin", "auto"),
        ("s3://bucket/a.zarr", "zarr"), ("memory://a.zarr", None),
    ],
)  # fmt: skip
def test_a_path_that_goes_with_its_backend_is_taken(tmp_path, output, backend):
    assert loaded(tmp_path, output, backend).dataset.output_path == output


@pytest.mark.parametrize(
    ("output", "backend", "said"),
    [
        ("a.h5", "zarr", r"does not go with dataset\.storage\.backend: zarr; end it in \.zarr"),
        ("a.zarr", "hdf5", r"end it in \.h5 or \.hdf5"),
        ("a.h5", "spin", r"end it in \.spin"),
        ("s3://bucket/a.h5", None, r"is a URL: only a Zarr store can stand there; end it in \.zarr"),
        ("memory://a.spin", "spin", r"is a URL: only a Zarr store can stand there"),
        ("a.nc", None, r"\.zarr store or URL"),
        ("a.h5", "netcdf", "backend"),
    ],
)
def test_a_path_that_does_not_is_refused_with_what_to_write(tmp_path, output, backend, said):
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, output, backend)


def command(tmp_path, output):
    config = tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN)
    return run(["generate", "--config", str(config), "--output", str(output), "--quiet"])


@pytest.mark.parametrize("output", ["a.zarr", "memory://a.zarr"])
def test_a_missing_package_is_named_before_anything_is_computed(tmp_path, monkeypatch, capsys, output):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "zarr", None)
    assert command(tmp_path, output) == 2
    assert 'pip install "spinlock[zarr]"' in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["c.yaml"]


def test_an_unknown_kind_of_url_is_named_before_anything_is_computed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(tmp_path, "nosuch://bucket/a.zarr") == 2
    assert "give a path, or a URL such as s3://" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["c.yaml"]
