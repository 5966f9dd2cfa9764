"""The guide: its pictures are drawn and shown, its tables are those of the code, its repair mends."""

import re
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

import tiny
from spinlock.cli.program import run
from spinlock.features import registry as features
from spinlock.initial_conditions import registry as initial_conditions
from spinlock.numerics.noise import NoiseModel
from spinlock.operators import families
from spinlock.registry import options_of
from spinlock.rollout import policies
from spinlock.rollout.dynamics import LABELS
from spinlock.rollout.policies import update_policy

DOCS = tiny.ROOT / "docs"
IMAGES = DOCS / "images"
FOLDERS = ("start", "concepts", "how_to")
PICTURE_BYTES = 600_000

sys.path.append(str(tiny.ROOT / "scripts"))
concept_pictures = import_module("concept_pictures")

SHOWN = re.compile(r"!\[[^\]]+\]\(([^)]+\.png)\)")


def page(name: str) -> str:
    return (DOCS / name).read_text()


def named(text: str, column: int = 0) -> set[str]:
    """Return the words in backquotes of a column of the tables of a page."""
    rows = [line.split("|")[1 + column] for line in text.splitlines() if line.startswith("| `")]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row)}


def test_every_picture_of_concepts_is_shown_and_small() -> None:
    shown = {
        Path(path).name
        for file in (DOCS / "concepts").glob("*.md")
        for path in SHOWN.findall(file.read_text())
    }
    drawn = {name.replace("-", "_") for name in concept_pictures.PICTURES}
    assert {f"{name}.png" for name in drawn} <= shown
    sizes = [(IMAGES / f"{name}.png").stat().st_size for name in drawn]
    assert sum(sizes) < PICTURE_BYTES


def test_every_page_stands_in_the_index_of_its_folder() -> None:
    for folder in FOLDERS:
        index = page(f"{folder}/index.md")
        listed = set(index.split("```{toctree}")[1].split("```")[0].split())
        written = {file.stem for file in (DOCS / folder).glob("*.md")} - {"index"}
        assert written <= listed, folder


def test_tables_of_concepts_are_those_of_the_code() -> None:
    assert named(page("concepts/dynamics.md")) == set(LABELS)
    assert named(page("concepts/rollouts.md")) == {"update_policy", *policies}
    noise_types = {"gaussian", "laplace", "multiplicative", "dropout"}
    assert noise_types | {"noise_type", "state", "hidden", "output"} == named(page("concepts/noise.md"))
    assert set(NoiseModel.__dataclass_fields__) <= set(re.findall(r"`(\w+)`", page("concepts/noise.md")))
    assert set(options_of(families["cnn"].function)) == named(page("concepts/operators.md"))
    assert {entry.category for entry in features.entries()} <= named(page("concepts/ensembles.md"))
    assert f"There are {len(initial_conditions)} kinds" in page("concepts/initial_conditions.md")
    assert f"There are {len(features)} in seven" in page("concepts/ensembles.md")


def test_the_table_of_python_entry_points_names_what_exists() -> None:
    calls = set(re.findall(r"`(spinlock(?:\.\w+)+)", page("how_to/python.md")))
    assert len(calls) > 20
    missing = [call for call in calls if not found(call)]
    assert missing == []
    assert not found("spinlock.dataset.open_datasets")


def found(path: str) -> bool:
    """Whether a dotted path is a module, or a name of one."""
    try:
        import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        try:
            return hasattr(import_module(module), name)
        except ModuleNotFoundError:
            return False
    return True


@pytest.mark.parametrize("turn", [1, 2])
def test_a_part_that_one_test_registers_is_unknown_to_the_next(turn: int) -> None:
    assert "stay" not in policies, f"turn {turn}"

    @update_policy
    def stay(x: Tensor, y: Tensor) -> Tensor:
        """Stay: x' = x."""
        return x

    assert "stay" in policies


def test_repair_mends_what_validate_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "d.h5"
    tiny.generate(output, tiny.PLAIN)
    sound = tiny.arrays(output)
    tiny.flip(output, tiny.chunk_place(output, "outputs/fields", 1))
    arguments = ["generate", "--quiet", "--config", str(output.with_suffix(".yaml")), "--output", str(output)]
    assert run(["validate", "--dataset", str(output)]) == 1
    assert "outputs/fields, row 1: chunk" in capsys.readouterr().out
    assert run([*arguments, "--repair"]) == 0
    assert run(["validate", "--dataset", str(output)]) == 0
    mended = tiny.arrays(output)
    assert all(tiny.same_bits(sound[name], mended[name]) for name in sound)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(concept_pictures.PICTURES) - {"edge-of-chaos"}))
def test_pictures_are_drawn_by_the_code(name: str, tmp_path: Path) -> None:
    """They may differ in fonts and, elsewhere, in what chaos makes of rounding; not in what they show."""
    with tiny.unchecked_shapes():
        concept_pictures.PICTURES[name](tmp_path)
    (drawn,) = tmp_path.glob("*.png")
    made, kept = (np.asarray(Image.open(path).convert("L"), float) for path in (drawn, IMAGES / drawn.name))
    assert made.shape == kept.shape
    assert np.abs(made - kept).mean() < 16
    assert np.abs(made - kept[::-1]).mean() > 16
