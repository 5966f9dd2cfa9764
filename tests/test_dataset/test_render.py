"""Clips of datasets: what is asked for stands in the file; what cannot be is refused before any rollout."""

import json
import os
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import tiny
from spinlock.dataset import clips, open_dataset, render
from spinlock.dataset.render import RenderOptions, render_dataset
from spinlock.errors import SpinlockError, StorageError, UsageError
from spinlock.visualization.colour import colour_field
from spinlock.visualization.sheet import enlarged

SMALL = {"n_operators": 2, "steps": 4, "size": (16, 16), "device": "cpu"}


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture
def no_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a rollout was started")

    monkeypatch.setattr(clips, "roll_out_row", forbidden)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".webp"])
def test_every_suffix_makes_a_file_that_plays(everything: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / "new" / f"clip{suffix}"
    with tiny.unchecked_shapes():
        summary = render_dataset(everything, output, RenderOptions(**SMALL), fps=10)
    assert summary.video == str(output)
    assert summary.count == 4
    with Image.open(output) if suffix in (".gif", ".webp") else av.open(str(output)) as file:
        if isinstance(file, Image.Image):
            assert (file.n_frames, file.size) == (4, (summary.width, summary.height))
        else:
            stream = file.streams.video[0]
            assert (stream.width, stream.height) == (summary.width, summary.height)
            assert stream.average_rate == 10
            assert len(list(file.decode(video=0))) == 4
    assert sorted(path.name for path in output.parent.iterdir()) == [output.name]


@pytest.mark.parametrize("what", ["video", "frames", "both"])
def test_a_folder_gets_what_the_format_says(everything: Path, tmp_path: Path, what: str) -> None:
    with tiny.unchecked_shapes():
        summary = render_dataset(everything, tmp_path / "out", RenderOptions(**SMALL), format=what)
    made = {path.name for path in (tmp_path / "out").iterdir()}
    expected = {"video": {"everything.mp4"}, "frames": {"frames"}, "both": {"everything.mp4", "frames"}}
    assert made == expected[what]
    assert (summary.encoder is None) == (what == "frames")
    if what != "video":
        names = sorted(path.name for path in (tmp_path / "out" / "frames").iterdir())
        assert names == [*(f"frame_{number:05d}.png" for number in range(4)), "metadata.json"]
        facts = json.loads((tmp_path / "out" / "frames" / "metadata.json").read_text())
        assert facts["operators"] == list(summary.operators)
        assert facts["time_steps"] == [0, 1, 2, 3]
        assert facts["columns"][:3] == ["realization 0", "realization 1", "mean"]


def test_pictures_beside_a_named_video_have_its_name(everything: Path, tmp_path: Path) -> None:
    with tiny.unchecked_shapes():
        summary = render_dataset(everything, tmp_path / "a.webm", RenderOptions(**SMALL), format="both")
    assert summary.frames == str(tmp_path / "a_frames")
    pictures = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "a_frames").glob("*.png"))]
    films = decoded(tmp_path / "a.webm")
    assert len(pictures) == len(films) == 4
    for picture, film in zip(pictures, films, strict=True):
        assert np.abs(picture.astype(int) - film).mean() < 12  # the same pictures, but for compression


def test_the_first_frame_shows_the_initial_conditions(everything: Path, tmp_path: Path) -> None:
    """One frame: its bounds are its own, so the expected colours follow from the stored inputs alone."""
    options = RenderOptions(
        operator_indices=[3, 8], steps=1, size=(24, 24), aggregates=("mean",), device="cpu"
    )
    with open_dataset(everything) as dataset, tiny.unchecked_shapes():
        clip = clips.make_clip(dataset, [3, 8], options, tmp_path, lambda: None)
        first = clip.frame(0)
        for row, index in enumerate((3, 8)):
            expected = enlarged(colour_field(dataset[index].inputs), (24, 24))
            for column in range(3):
                shown = first[clip.sheet.place(row, column)]
                assert np.abs(shown.astype(int) - expected).max() <= 1
        clip.close()


def test_steps_and_stride_say_which_frames(everything: Path, tmp_path: Path) -> None:
    options = RenderOptions(**{**SMALL, "steps": 11, "stride": 4})
    with tiny.unchecked_shapes():
        render_dataset(everything, tmp_path, options, format="frames")
    assert json.loads((tmp_path / "frames" / "metadata.json").read_text())["time_steps"] == [0, 4, 8]


def test_what_is_more_than_there_is_is_cut_and_said(
    everything: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="spinlock")
    options = RenderOptions(
        **{**SMALL, "n_operators": 50, "steps": 1}, n_realizations=9, display_realizations=7
    )
    with tiny.unchecked_shapes():
        summary = render_dataset(everything, tmp_path, options, format="frames")
    assert summary.operators == tuple(range(12))
    said = " ".join(caplog.messages)
    for words in ("--n-operators 50", "--n-realizations 9", "--display-realizations 7"):
        assert words in said
    facts = json.loads((tmp_path / "frames" / "metadata.json").read_text())
    assert (facts["realizations"], facts["realizations_shown"]) == (3, 3)


def test_the_picture_does_not_depend_on_threads(
    everything: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = []
    for cores in (1, 3):
        monkeypatch.setattr(clips, "usable_cores", lambda cores=cores: cores)
        with tiny.unchecked_shapes():
            render_dataset(everything, tmp_path / str(cores), RenderOptions(**SMALL), format="frames")
        pictures.append([path.read_bytes() for path in sorted((tmp_path / str(cores)).rglob("*.png"))])
    assert pictures[0] == pictures[1]


WRONG = [
    ({"aggregates": ("entropie",)}, {}, "did you mean 'entropy'?"),
    ({"aggregates": ("mean", "mean")}, {}, "mean is given twice"),
    ({"operator_indices": (0, 12)}, {}, "holds 12 operators, 0 to 11"),
    ({"size": (0, 4)}, {}, "--size"),
    ({"size": (20000, 20000)}, {}, "pixels"),
    ({"color_norm_mode": "percell"}, {}, "did you mean 'per-cell'?"),
    ({"normalization": "z"}, {}, "zscore"),
    ({"sampling_method": "sobel"}, {}, "did you mean 'sobol'?"),
    ({"colormap": "virids"}, {}, "did you mean 'viridis'?"),
    ({"clamp_min": 2.0, "clamp_max": 1.0}, {}, "must be less than"),
    ({"clamp_min": float("nan")}, {}, "--clamp-min"),
    ({"steps": 0}, {}, "--steps 0"),
    ({"steps": 10**6}, {}, "--steps 1000000"),
    ({"stride": 0}, {}, "--stride 0"),
    ({"n_operators": 0}, {}, "--n-operators 0"),
    ({"n_realizations": 0}, {}, "--n-realizations 0"),
    ({"display_realizations": -1}, {}, "--display-realizations -1"),
    ({"device": "gpu"}, {}, "must be cpu, cuda"),
    ({}, {"fps": 0}, "--fps 0"),
    ({}, {"format": "film"}, "--format"),
    ({}, {"fps": 12.5}, "--fps 12.5"),
    ({}, {"output": "a.avi"}, ".mp4, .webm, .gif, .webp"),
]


@pytest.mark.usefixtures("no_rollout")
@pytest.mark.parametrize(("options", "how", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_bad_input_is_refused_before_any_rollout(
    everything: Path, tmp_path: Path, options: dict, how: dict, words: str
) -> None:
    how = {"output": "a.mp4", **how}
    with pytest.raises(UsageError) as caught:
        render_dataset(everything, tmp_path / how.pop("output"), RenderOptions(**{**SMALL, **options}), **how)
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_rollout")
@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(everything: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UsageError, match="cannot be written to"):
        render_dataset(everything, tmp_path / "closed" / "a.mp4", RenderOptions(**SMALL))


@pytest.mark.usefixtures("no_rollout")
def test_a_file_in_the_place_of_a_folder_is_refused(everything: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        render_dataset(everything, tmp_path / "file" / "a.mp4", RenderOptions(**SMALL))


@pytest.mark.usefixtures("no_rollout")
def test_pictures_never_replace_what_is_not_pictures(everything: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="frames"):
        render_dataset(everything, tmp_path, RenderOptions(**SMALL), format="frames")
    assert [path.name for path in (tmp_path / "frames").iterdir()] == ["thesis.tex"]


@pytest.mark.usefixtures("no_rollout")
def test_a_dataset_is_never_replaced_by_its_video(everything: Path, tmp_path: Path) -> None:
    named = tmp_path / "named.mp4"
    named.write_bytes(everything.read_bytes())
    for source, output in ((named, named), (everything, named), (named, tmp_path)):
        with pytest.raises(UsageError, match="is a dataset, not a video"):
            render_dataset(source, output, RenderOptions(**SMALL))
    assert named.read_bytes() == everything.read_bytes()


def test_what_a_link_leads_to_is_written(everything: Path, tmp_path: Path) -> None:
    (tmp_path / "link.gif").symlink_to(tmp_path / "target.gif")
    (tmp_path / "target.gif").write_bytes(b"older")
    with tiny.unchecked_shapes():
        render_dataset(everything, tmp_path / "link.gif", RenderOptions(**{**SMALL, "steps": 1}))
    assert (tmp_path / "link.gif").is_symlink()
    assert (tmp_path / "target.gif").read_bytes().startswith(b"GIF89a")


@pytest.mark.usefixtures("no_rollout")
def test_sizes_and_names_that_only_the_layout_knows_are_refused_before_any_rollout(
    everything: Path, tmp_path: Path
) -> None:
    flat = {**SMALL, "size": (1, 8000), "n_operators": 12, "aggregates": ("mean", "pca", "ssim")}
    with pytest.raises(UsageError, match=r"no encoder makes a \.webp"):
        render_dataset(everything, tmp_path / "a.webp", RenderOptions(**flat))
    with pytest.raises(UsageError, match="too long a name"):
        render_dataset(everything, tmp_path / f"{'a' * 215}.mp4", RenderOptions(**SMALL), format="frames")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_rollout")
def test_an_incomplete_dataset_is_refused(everything: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.h5"
    cut.write_bytes(everything.read_bytes()[:5000])
    with pytest.raises(StorageError, match=r"cut\.h5"):
        render_dataset(cut, tmp_path / "a.mp4", RenderOptions(**SMALL))
    with pytest.raises(SpinlockError, match=r"none\.h5"):
        render_dataset(tmp_path / "none.h5", tmp_path / "a.mp4", RenderOptions(**SMALL))


@pytest.mark.usefixtures("no_rollout")
def test_a_disk_that_is_too_small_is_refused(
    everything: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spinlock.storage.space.free_space", lambda _: 1000)
    with pytest.raises(StorageError, match="the disk is too small"):
        render_dataset(everything, tmp_path / "a.mp4", RenderOptions(**SMALL))


@pytest.mark.parametrize("error", [KeyboardInterrupt, StorageError])
def test_an_older_file_outlives_a_clip_that_fails(
    everything: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    output = tmp_path / "a.mp4"
    output.write_bytes(b"older")
    frame = render.Clip.frame

    def failing(self, number):
        if number == 2:
            raise error("now")
        return frame(self, number)

    monkeypatch.setattr(render.Clip, "frame", failing)
    with tiny.unchecked_shapes(), pytest.raises(SpinlockError):
        render_dataset(everything, output, RenderOptions(**SMALL), format="both")
    with tiny.unchecked_shapes(), pytest.raises(SpinlockError):
        render_dataset(everything, tmp_path / "new" / "folder" / "a.mp4", RenderOptions(**SMALL))
    assert output.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [output]


def test_a_video_that_cannot_be_finished_leaves_the_older_frames(
    everything: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tiny.unchecked_shapes():
        render_dataset(everything, tmp_path, RenderOptions(**{**SMALL, "steps": 1}), format="both")
    older = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}

    def failing(_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(render.VideoWriter, "finish", failing)
    with tiny.unchecked_shapes(), pytest.raises(StorageError, match="the disk is full"):
        render_dataset(everything, tmp_path, RenderOptions(**SMALL), format="both")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == older


def test_a_disk_that_fills_up_is_named_and_nothing_stays(
    everything: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = [], os.pwrite

    def full(*call):
        written.append(1)
        if len(written) > 20:  # states and cells alike
            raise OSError(28, "No space left on device")
        return write(*call)

    monkeypatch.setattr(os, "pwrite", full)
    with tiny.unchecked_shapes(), pytest.raises(StorageError, match="No space left on device"):
        render_dataset(everything, tmp_path / "a.mp4", RenderOptions(**SMALL))
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_one_row_ends_the_others_and_leaves_nothing(
    everything: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roll_out = clips.roll_out_row

    def failing(dataset, row, *rest):
        if row == 5:
            raise StorageError("row 5")
        return roll_out(dataset, row, *rest)

    monkeypatch.setattr(clips, "roll_out_row", failing)
    options = RenderOptions(**{**SMALL, "operator_indices": [2, 5, 7]})
    with tiny.unchecked_shapes(), pytest.raises(StorageError, match="row 5"):
        render_dataset(everything, tmp_path / "a.mp4", options)
    assert list(tmp_path.iterdir()) == []


def test_a_row_can_be_animated_and_plotted(everything: Path, tmp_path: Path) -> None:
    with open_dataset(everything) as dataset, tiny.unchecked_shapes():
        animation = dataset.animate(4, steps=5, size=(16, 16), aggregates=("pca",))
        figure = dataset.plot(4)
        with pytest.raises(IndexError):
            dataset.plot(12)
        with pytest.raises(IndexError):
            dataset.animate(12)
        with pytest.raises(UsageError, match="no row is given"):
            dataset.animate([])
        for wrong in ({"n_operators": 3}, {"step": 3}, {"steps": 3.0}, {"size": 64}, {"aggregates": "mean"}):
            with pytest.raises(UsageError):
                dataset.animate(4, **wrong)
        with pytest.raises(UsageError, match="--fps"):
            dataset.animate(4, fps=12.5)
        assert dataset.animate(np.int64(4), steps=1, size=(16, 16)).frames == 1
    assert animation._repr_html_().startswith("<video controls")
    animation.save(tmp_path / "a.mp4")
    assert len(decoded(tmp_path / "a.mp4")) == 5
    assert decoded(tmp_path / "a.mp4")[0].shape == (*animation.size, 3)
    with pytest.raises(UsageError, match=r"\.mp4"):
        animation.save(tmp_path / "a.gif")
    assert figure._repr_png_().startswith(b"\x89PNG")
