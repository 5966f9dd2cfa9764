"""``visualize-dataset`` on the command line: the documented commands run as they are written."""

import json
import shlex
from dataclasses import fields
from pathlib import Path

import av
import pytest

import tiny
from spinlock.cli.program import build_parser, run
from spinlock.dataset.render_options import RenderOptions

SETTINGS = {
    "parameter_space.operator.grid_size.choices": [16],
    "parameter_space.stochastic": {"noise_scale": {"type": "continuous", "bounds": [0.01, 0.1]}},
    "parameter_space.rollout": {
        "update_policy": {"type": "choice", "choices": ["autoregressive", "residual", "convex"]}
    },
    "sampling.total_samples": 6,
    "simulation.num_realizations": 6,
    "simulation.num_channels": 3,
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.generate(tmp_path_factory.mktemp("shown") / "D.h5", tiny.PLAIN, SETTINGS)


def spinlock(words: str, dataset: Path, folder: Path) -> int:
    with tiny.unchecked_shapes(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return run([str(dataset) if word == "D" else word for word in shlex.split(words)])


LONG = """visualize-dataset --dataset D --output visualizations/ --format video --n-realizations 5
--n-operators 5 --size 256x256 --steps 100 --fps 20 --seed 7 --display-realizations 3
--color-norm-mode per-operator
--aggregates mean entropy spectral --add-spacing --normalization none --verbose"""


def test_the_long_command_makes_a_video_of_five_rows_and_six_columns(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spinlock(LONG, dataset, tmp_path) == 0
    out = capsys.readouterr().out
    video = tmp_path / "visualizations" / "D.mp4"
    assert list(video.parent.iterdir()) == [video]
    assert "visualizations/D.mp4 written" in out
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 20
        assert stream.width % 2 == stream.height % 2 == 0
        assert stream.height >= 5 * 256
        assert 6 * 256 <= stream.width <= 6 * 256 + 300
        assert sum(1 for _ in container.decode(stream)) == 100


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "visualize-dataset --dataset D --output evolution.mp4",
        """visualize-dataset --dataset D --output analysis.mp4 --aggregates entropy spectral pca
        --color-norm-mode per-operator --display-realizations 2""",
    ],
)
def test_the_short_commands_run(dataset: Path, tmp_path: Path, words: str) -> None:
    assert spinlock(f"{words} --quiet", dataset, tmp_path) == 0
    (video,) = tmp_path.iterdir()
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 500
        assert container.streams.video[0].average_rate == 30


def test_negative_numbers_are_values(dataset: Path, tmp_path: Path) -> None:
    words = "visualize-dataset --dataset D --output a.gif --steps 1 --quiet --clamp-min -1e-3 --clamp-max .5"
    assert spinlock(words, dataset, tmp_path) == 0


def test_an_empty_output_is_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spinlock("visualize-dataset --dataset D --output ''", dataset, tmp_path) == 2
    assert "--output is empty" in capsys.readouterr().err


def test_the_defaults_and_choices_of_the_command_are_those_of_the_function() -> None:
    parser = build_parser("visualize-dataset")
    given = vars(parser.parse_args(["visualize-dataset", "--dataset", "D", "--output", "o"]))
    for option in fields(RenderOptions):
        value = given[option.name]
        expected = "64x64" if option.name == "size" else option.default
        assert (tuple(value) if isinstance(value, list) else value) == expected, option.name


def test_json_tells_what_was_made(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "visualize-dataset --dataset D --output a.webm --steps 3 --operator-indices -1 2 --json"
    assert spinlock(words, dataset, tmp_path) == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert summary["operators"] == [5, 2]
    assert summary["count"] == 3
    assert summary["video"] == "a.webm"
    assert summary["encoder"] in ("libsvtav1", "libvpx-vp9")
    assert captured.err.splitlines()[:2] == ["rolling out", "rendering"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--size 64", "write height x width in pixels"),
        ("--size 64x", "write height x width in pixels"),
        ("--aggregates mean median", "unknown aggregate 'median'"),
        ("--operator-indices 6", "holds 6 operators, 0 to 5"),
        ("--color-norm-mode percell", "did you mean per-cell?"),
        ("--stesp 4", "did you mean --steps?"),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    assert spinlock(f"visualize-dataset --dataset D --output a.mp4 {words}", dataset, tmp_path) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_catalogue_lists_nine_aggregates(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "aggregates", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)["entries"]
    names = "mean variance stddev envelope overlay entropy pca ssim spectral"
    assert sorted(entry["name"] for entry in entries) == sorted(names.split())
