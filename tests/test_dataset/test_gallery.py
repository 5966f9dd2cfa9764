"""The gallery: exact size, same bytes for the same seed, independent of the selection, nothing blank."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spinlock.cli.program import run
from spinlock.dataset.gallery import TIERS, tier_of, types_shown
from spinlock.initial_conditions import registry
from spinlock.visualization.gallery import (
    HEADING_HEIGHT,
    LABEL_WIDTH,
    SPACING,
    GalleryRow,
    GalleryStyle,
    Section,
    draw_gallery,
)

CELL = 32


def draw(path: Path, *options: str) -> np.ndarray:
    assert (
        run(["visualize-ic-types", "--output", str(path), "--grid-size", str(CELL), "--quiet", *options]) == 0
    )
    return np.asarray(Image.open(path))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--cell-size", "100000x100000"), "pixels"),
        (("--variations", "100000000"), "pixels"),
        (("--output", "{folder}/g.jpg", "--variations", "5000"), "65500"),
        (("--colormap", "viridsi"), "did you mean 'viridis'"),
        (("--device", "foo"), "must be cpu, cuda"),
        (("--device", "cuda:-1"), "must be cpu, cuda"),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    words = ["visualize-ic-types", "--output", str(tmp_path / "g.png"), "--quiet"]
    assert run([*words, *(flag.format(folder=tmp_path) for flag in flags)]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "gap", "margin"), [((), 0, 0), (("--add-labels", "--add-spacing"), SPACING, LABEL_WIDTH)]
)
def test_the_image_has_exactly_the_size_of_its_rows(
    tmp_path: Path, flags: tuple[str, ...], gap: int, margin: int
) -> None:
    image = draw(tmp_path / "g.png", "--tiers", "baseline", "--variations", "2", *flags)
    rows = [name for name in registry if tier_of(name) == "baseline"]
    assert image.shape == (HEADING_HEIGHT + len(rows) * (CELL + gap), margin + 2 * (CELL + gap), 3)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    names = ("--ic-types", "localized", "composite")
    draw(tmp_path / "a.png", *names)
    draw(tmp_path / "b.png", *names)
    draw(tmp_path / "c.png", *names, "--seed", "7")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()


def test_a_picture_does_not_depend_on_what_else_is_shown(tmp_path: Path) -> None:
    alone = draw(tmp_path / "alone.png", "--ic-types", "structured", "--variations", "2")
    among = draw(tmp_path / "among.png", "--ic-types", "localized", "structured", "--variations", "3")
    assert np.array_equal(alone[HEADING_HEIGHT:], among[HEADING_HEIGHT + CELL :, : 2 * CELL])


def test_no_cell_is_blank_and_no_two_are_equal(tmp_path: Path) -> None:
    image = draw(tmp_path / "all.png", "--tiers", "baseline", "--variations", "2")
    cells = [
        image[top : top + CELL, left : left + CELL]
        for top in range(HEADING_HEIGHT, image.shape[0], CELL)
        for left in (0, CELL)
    ]
    assert all(cell.std() > 5 for cell in cells)
    assert len({cell.tobytes() for cell in cells}) == len(cells)


def test_strips_are_as_wide_as_their_channels(tmp_path: Path) -> None:
    image = draw(tmp_path / "s.png", "--ic-types", "localized", "--channels", "strip", "--num-channels", "2")
    assert image.shape[1] == 3 * 2 * CELL


def test_cell_size_is_height_by_width(tmp_path: Path) -> None:
    image = draw(tmp_path / "c.png", "--ic-types", "localized", "--cell-size", "40x60", "--variations", "1")
    assert image.shape == (HEADING_HEIGHT + 40, 60, 3)


def test_tiers_are_shown_in_order_and_names_override_them() -> None:
    assert list(types_shown(("all",))) == [
        tier for tier in TIERS if any(tier_of(n) == tier for n in registry)
    ]
    assert types_shown(("baseline",), ("multiscale_grf_low",)) == {"baseline": ["multiscale_grf_low"]}
    shown = [name for names in types_shown().values() for name in names]
    assert sorted(shown) == sorted(registry)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--ic-types", "localised"), "did you mean 'localized'?"),
        (("--tiers", "tier9"), "did you mean"),
        (("--cell-size", "12"), "128x128"),
        (("--colormap", "virids", "--num-channels", "1"), "did you mean 'viridis'?"),
        (("--variations", "0"), "at least 1"),
        (("--grid-size", "4"), "16"),
    ],
)
def test_what_is_wrong_is_refused_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    path = tmp_path / "g.png"
    assert run(["visualize-ic-types", "--output", str(path), *options]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_suffix_that_is_no_image_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["visualize-ic-types", "--output", str(tmp_path / "g.txt")]) == 2
    assert ".png" in capsys.readouterr().err


@pytest.mark.parametrize(("height", "shown"), [(20, 1), (56, 2), (64, 3), (128, 4)])
def test_a_label_shows_the_lines_that_its_row_has_room_for(height: int, shown: int) -> None:
    picture = np.zeros((height, height, 3), np.uint8)
    lines = ["name", "domain", "range", "std"]

    def drawn(label: list[str]) -> bytes:
        style = GalleryStyle((height, height), labels=True)
        return draw_gallery([Section("tier", [GalleryRow([picture], label)])], style).tobytes()

    assert drawn(lines) == drawn(lines[:shown])
    assert drawn(lines) != drawn(lines[: shown - 1] or ["other"])
