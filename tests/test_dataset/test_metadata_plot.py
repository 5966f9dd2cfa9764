"""`info --plot` draws any dataset, refuses what it cannot write, and writes the same bytes each time."""

import json

import numpy as np
import pytest

import tiny
from spinlock.cli.program import run
from spinlock.dataset import open_dataset
from spinlock.dataset.metadata_plot import chosen_rows, principal_plane, write_metadata_plot
from spinlock.errors import StorageError, UsageError

BEGINNINGS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


@pytest.fixture(scope="module")
def forms(plain, tmp_path_factory):
    """The plain dataset as Zarr store too."""
    folder = tmp_path_factory.mktemp("forms")
    with open_dataset(plain) as dataset:
        dataset.copy_to_zarr(folder / "plain.zarr")
    return plain, folder / "plain.zarr"


@pytest.mark.parametrize("suffix", [".png", ".pdf"])  # .svg: in another process below
def test_a_picture_has_the_kind_of_its_suffix_and_the_same_bytes_again(plain, tmp_path, suffix):
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        assert write_metadata_plot(plain, path) == path
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(BEGINNINGS[suffix])
    assert first == second
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_panels_follow_from_the_parameter_space(tmp_path):
    noise = {"type": "continuous", "bounds": [0.01, 0.3], "log_scale": True}
    space = {"parameter_space.stochastic.noise_scale": noise, "features.during_generation": True}
    with open_dataset(tiny.generate(tmp_path / "a.h5", tiny.PLAIN, space)) as dataset:
        panels = {axes.get_title(): axes for axes in dataset.plot_metadata().axes}
        assert set(dataset.parameters) == {"gain", "grid_size", "noise_scale"} <= panels.keys()
    scatter = panels["noise_scale against gain"]
    assert (scatter.get_xscale(), scatter.get_yscale()) == ("linear", "log")
    assert panels["noise_scale"].get_xscale() == "log"
    (points,) = panels["features: principal components of ranks"].collections
    assert len(points.get_offsets()) == 3


def test_each_form_is_drawn(forms, tmp_path):
    """A Zarr store and a file differ in their heading alone."""
    drawn = []
    for path in forms:
        with open_dataset(path) as dataset:
            figure = dataset.plot_metadata()
        heading = figure.get_suptitle()
        assert heading.startswith(path.name)
        assert heading.endswith("3 samples × 2 realizations, 1 step")
        figure.suptitle("")
        drawn.append(figure._repr_png_())
    assert drawn[0] == drawn[1]


def test_info_says_where_the_picture_is(plain, tmp_path, capsys, monkeypatch):
    picture = tmp_path / "a.png"
    assert run(["info", "--dataset", str(plain), "--plot", str(picture)]) == 0
    assert f"plot         {picture}" in capsys.readouterr().out
    monkeypatch.setattr("spinlock.dataset.metadata_plot._drawn", lambda figure, kind: b"")
    assert run(["info", "--dataset", str(plain), "--plot", str(picture), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plot"] == str(picture)


def test_what_cannot_be_written_is_refused_before_the_dataset_is_read(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for output, said in (
        ("a.jpg", "end it in one of .png, .pdf, .svg"),
        ("a", "end it in one of"),
        ("none/a.png", "there is no folder"),
        ("folder.png", "is a directory"),
        (f"{'x' * 300}.png", "too long a file name"),
    ):
        with pytest.raises(UsageError, match=said):
            write_metadata_plot(tmp_path / "missing.h5", tmp_path / output)
    with pytest.raises(StorageError, match=r"missing\.h5 does not exist"):
        write_metadata_plot(tmp_path / "missing.h5", tmp_path / "a.png")


def test_a_picture_that_fails_leaves_the_old_one(plain, tmp_path, monkeypatch):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"older")
    monkeypatch.setattr("spinlock.dataset.metadata_plot.plot_metadata", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_metadata_plot(plain, picture)
    assert picture.read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_another_process_draws_the_same_bytes_without_torch_and_pyplot(plain, tmp_path):
    code = (
        "import sys; from spinlock.cli.program import run; "
        "run(['info', '--dataset', {path!r}, *{more!r}]); "
        "print([name in sys.modules for name in ('torch', 'matplotlib', 'matplotlib.pyplot')])"
    )
    done = tiny.python("-c", code.format(path=str(plain), more=["--quiet"]))
    assert done.stdout == "[False, False, False]\n", done.stderr
    more = ["--quiet", "--plot", str(tmp_path / "b.svg")]
    done = tiny.python("-c", code.format(path=str(plain), more=more), env={"PYTHONHASHSEED": "7"})
    assert (done.stdout, done.stderr) == ("[False, True, False]\n", "")
    write_metadata_plot(plain, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.svg").read_bytes().startswith(BEGINNINGS[".svg"])


def test_rows_shown_are_chosen_by_keys():
    assert chosen_rows(5, 10).tolist() == [0, 1, 2, 3, 4]
    rows = chosen_rows(10**5, 4000)
    assert len(set(rows.tolist())) == 4000
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(rows, chosen_rows(10**5, 4000))
    assert abs(rows.mean() / 10**5 - 0.5) < 5 / np.sqrt(12 * 4000)


def test_the_plane_of_features_finds_two_directions_whatever_their_scale():
    """Two hidden numbers, each seen through five monotone distortions, span the plane, outliers or not."""
    hidden = np.random.default_rng(3).uniform(size=(200, 2))
    seen = [
        f(hidden[:, axis]) for axis in (0, 1) for f in (np.exp, np.square, np.sqrt, lambda x: 1e8 * x, np.tan)
    ]
    values = np.stack([*seen, np.full(200, 7.0)], axis=1).astype(np.float32)
    values[5, 0] = 1e30
    values[9] = np.nan
    points, shares = principal_plane(values)
    assert sum(shares) > 0.95
    assert np.isnan(points[9]).all()
    kept = np.arange(200) != 9
    ranks = np.argsort(np.argsort(hidden[kept], axis=0), axis=0)
    fitted, *_ = np.linalg.lstsq(np.c_[ranks, np.ones(199)], points[kept], rcond=None)
    rest = points[kept] - np.c_[ranks, np.ones(199)] @ fitted
    assert rest.std() < 0.05 * points[kept].std()


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((0, 3)),
        np.ones((9, 4)),
        np.full((9, 4), np.nan),
        np.arange(8).reshape(2, 4),
        np.eye(9)[:, :1],
    ],
)
def test_features_that_span_no_plane_have_none(values):
    assert principal_plane(values.astype(np.float32)) is None


def test_a_damaged_statement_is_named(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "spinlock.storage.stored.StoredDataset.config",
        property(lambda _: {"simulation": {"num_timesteps": 1}, "parameter_space": 7}),
    )
    with pytest.raises(StorageError, match="what it says of itself is malformed"):
        write_metadata_plot(plain, tmp_path / "a.png")
