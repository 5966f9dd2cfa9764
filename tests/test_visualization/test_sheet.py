"""Sheets: every cell in its place, texts that never touch anything, only the time changes."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageDraw

from spinlock.visualization.colour import lookup_table
from spinlock.visualization.sheet import BACKGROUND, Sheet, SheetStyle, end_texts, enlarged

HEADINGS = ["realization 0", "realization 1", "mean", "envelope", "pca", "ssim", "overlay"]
REMARKED = [heading == "pca" for heading in HEADINGS]
REMARKS = ["99–100 %" if remarked else "" for remarked in REMARKED]
ENDS = [(-2.7, 3.1), (999.971, 1000.024), (0.0, 0.00023), (-2.5e8, 3e8), None, (-0.12, 1.0), (0.0, 0.0)]
SCALES = [end and (end, lookup_table("viridis")) for end in ENDS]
LABEL = [
    "#1234 dead, chaotic",
    "residual dt 0.0123",
    "128², noise: gj",
    "diverges at t = 37",
    "gaussian_random (gj)",
]
GREEN = (0, 201, 77)


def sheet_of(cell=(32, 32), rows=2, *, spacing=False, shared=False, headings=HEADINGS, scaled=True):
    """Return a sheet whose columns have scales of all kinds, under each cell or shared."""
    count = len(headings)
    scales = SCALES[:count] if scaled else [None] * count
    return Sheet(
        headings,
        [LABEL] * rows,
        SheetStyle(cell, spacing),
        remarked=REMARKED[:count],
        last_time=49_900,
        cell_scales=None if shared else [scales] * rows,
        column_scales=scales if shared else None,
    )


def blank(sheet, rows, columns, cell, colour=GREEN):
    return [[np.full((*cell, 3), colour, np.uint8) for _ in range(columns)] for _ in range(rows)]


def ink(sheet_maker, monkeypatch):
    """Return a sheet and the boxes of the pixels of all texts drawn by it, (left, top, right, bottom)."""
    drawn = []
    text = ImageDraw.ImageDraw.text

    def recorded(draw, place, words, fill, font, anchor=None):
        text(draw, place, words, fill, font, anchor=anchor)
        if words:
            drawn.append((words, draw.textbbox(place, words, font, anchor=anchor)))

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", recorded)
    sheet = sheet_maker()
    rows, columns = len(sheet._tops), len(sheet._lefts) - 1
    sheet.draw(blank(sheet, rows, columns, sheet._style.cell), 49_900, REMARKS[:columns])
    return sheet, drawn


def apart(one, other, pixels):
    """Return whether two boxes are so many pixels apart, along one axis at least."""
    return (
        one[2] + pixels <= other[0]
        or other[2] + pixels <= one[0]
        or one[3] + pixels <= other[1]
        or other[3] + pixels <= one[1]
    )


LAYOUTS = list(itertools.product([(16, 16), (32, 32), (64, 64), (128, 128), (40, 90), (90, 20)], (1, 20)))


@pytest.mark.parametrize(("cell", "rows"), LAYOUTS)
@pytest.mark.parametrize("spacing", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_texts_touch_neither_each_other_nor_cells_nor_the_edge(monkeypatch, cell, rows, spacing, shared):
    sheet, drawn = ink(lambda: sheet_of(cell, rows, spacing=spacing, shared=shared), monkeypatch)
    boxes = [box for _, box in drawn]
    cells = [
        (across.start, down.start, across.stop, down.stop)
        for down, across in (sheet.place(*place) for place in itertools.product(range(rows), range(7)))
    ]
    said = [words for words, _ in drawn]
    assert {*HEADINGS, "t = 49900", "99–100 %", "−2.7", "3.1", "999.971", "1000.02"} <= set(said)
    assert said.count(LABEL[2]) == rows
    assert said.count("−2.5e8") == (1 if shared else rows)
    for one, other in itertools.combinations(boxes, 2):
        assert apart(one, other, 1)
    for one, other in itertools.product(boxes, cells):
        assert apart(one, other, 0)
    for one, other in itertools.combinations(cells, 2):
        assert apart(one, other, 3)
    height, width = sheet.size
    for left, top, right, bottom in boxes + cells:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height


@pytest.mark.parametrize("shared", [False, True])
def test_texts_of_neighbouring_columns_are_words_apart(monkeypatch, shared):
    _, drawn = ink(lambda: sheet_of((16, 16), 1, shared=shared), monkeypatch)
    lines = [(words, box) for words, box in drawn if words in HEADINGS]
    for (_, one), (_, other) in itertools.pairwise(lines):
        assert other[0] - one[2] >= 6
    highs = [box for words, box in drawn if words in ("3.1", "0.00023", "3e8", "1000.02")]
    lows = [box for words, box in drawn if words in ("−2.7", "999.971", "0", "−2.5e8", "−0.12")]
    assert min(low[0] - high[2] for high in highs for low in lows if low[0] > high[2]) >= 6


def test_boxes_that_touch_are_told_from_those_apart():
    assert not apart((0, 0, 10, 10), (10, 5, 20, 9), 1)
    assert apart((0, 0, 10, 10), (11, 5, 20, 9), 1)
    assert not apart((0, 0, 10, 10), (3, 3, 4, 4), 0)


@given(
    st.tuples(st.integers(2, 90), st.integers(2, 90)),
    st.integers(1, 5),
    st.integers(1, 7),
    st.booleans(),
    st.booleans(),
)
def test_sizes_are_even(cell, rows, columns, spacing, shared):
    sheet = sheet_of(cell, rows, spacing=spacing, shared=shared, headings=HEADINGS[:columns])
    assert sheet.size[0] % 2 == sheet.size[1] % 2 == 0
    frame = sheet.draw(blank(sheet, rows, columns, cell), 3, REMARKS[:columns])
    assert frame.shape == (*sheet.size, 3)
    assert frame.dtype == np.uint8


@pytest.mark.parametrize("cell", [(16, 16), (33, 70), (64, 64)])
@pytest.mark.parametrize("spacing", [False, True])
def test_every_cell_stands_in_its_place_and_nowhere_else(cell, spacing):
    rows, columns = 3, 4
    sheet = sheet_of(cell, rows, spacing=spacing, headings=HEADINGS[:columns], scaled=False)
    numbers = np.arange(rows * columns).reshape(rows, columns)
    pictures = [[np.full((*cell, 3), (0, 255, 10 * n), np.uint8) for n in row] for row in numbers]
    frame = sheet.draw(pictures, 7, [""] * columns)
    expected = np.zeros(frame.shape[:2], bool)
    for row, column in itertools.product(range(rows), range(columns)):
        here = np.zeros_like(expected)
        here[sheet.place(row, column)] = True
        assert here.sum() == cell[0] * cell[1]
        assert np.array_equal((frame == pictures[row][column][0, 0]).all(axis=-1), here)
        expected |= here
    empty = sheet.draw([], 7, [""] * columns)
    assert np.array_equal(frame[~expected], empty[~expected])
    assert (empty[expected] == BACKGROUND).all()


def test_columns_keep_their_headings_above_and_rows_their_labels_beside(monkeypatch):
    sheet, drawn = ink(lambda: sheet_of(rows=3), monkeypatch)
    found = {words: box for words, box in drawn if words in HEADINGS}
    for column, heading in enumerate(HEADINGS):
        down, across = sheet.place(0, column)
        assert abs(found[heading][0] - across.start) <= 2
        assert found[heading][3] <= down.start
    tops = sorted(box[1] for words, box in drawn if words == LABEL[0])
    for row, top in enumerate(tops):
        assert 0 <= top - sheet.place(row, 0)[0].start <= 5


@pytest.mark.parametrize("height", [16, 64, 128])
def test_every_line_of_a_label_is_shown(monkeypatch, height):
    _, drawn = ink(lambda: sheet_of((height, height), 1), monkeypatch)
    assert [words for words, _ in drawn if words in LABEL] == LABEL


def test_only_the_time_and_the_remarks_change():
    sheet = sheet_of()
    cells = blank(sheet, 2, 7, (32, 32))
    first, later = sheet.draw(cells, 1, REMARKS), sheet.draw(cells, 49_842, REMARKS)
    rows, columns = np.nonzero((first != later).any(axis=-1))
    assert len(rows) > 10
    assert rows.max() < sheet.place(0, 0)[0].start
    assert columns.max() < sheet.place(0, 0)[1].start
    remarked = sheet.draw(cells, 1, ["3 %" if remark else "" for remark in REMARKS])
    rows, columns = np.nonzero((first != remarked).any(axis=-1))
    _, across = sheet.place(0, REMARKED.index(True))
    assert len(rows) > 10
    assert rows.max() < sheet.place(0, 0)[0].start
    assert across.start <= columns.min()
    assert columns.max() < sheet.place(0, REMARKED.index(True) + 1)[1].start
    assert np.array_equal(sheet.draw(cells, 1, REMARKS), first)


def test_a_scale_shows_its_colormap_from_low_to_high():
    table = lookup_table("magma")
    sheet = Sheet(
        ["mean"],
        [["#0"]],
        SheetStyle((100, 200)),
        remarked=[False],
        last_time=9,
        column_scales=[((0.0, 1.0), table)],
    )
    frame = sheet.draw([], 0, [""])
    below = frame[sheet.place(0, 0)[0].stop :, sheet.place(0, 0)[1]]
    coloured = np.ptp(below.astype(int), axis=-1) > 40
    middle = np.nonzero(coloured.any(axis=1))[0]
    assert len(middle) == 6
    bar = below[middle[2]][np.nonzero(coloured[middle[2]])[0]]
    places = [np.nonzero((table == colour).all(axis=1))[0][0] for colour in bar]
    assert len(bar) > 120
    assert places == sorted(places)
    assert places[-1] - places[0] > 190


# --- enlarging ---


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))
def test_enlarging_repeats_pixels(height, width, down, across):
    small = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    large = enlarged(small, (height * down, width * across))
    assert np.array_equal(large, np.kron(small, np.ones((down, across, 1), np.uint8)))


@given(st.integers(1, 40), st.integers(1, 40))
def test_enlarging_to_any_size_spreads_pixels_evenly_and_makes_no_colours(size, old):
    size = max(size, old)
    small = np.repeat(np.arange(old, dtype=np.uint8)[:, None, None], 3, axis=2).repeat(old, axis=1)
    rows = enlarged(small, (size, size))[:, 0, 0]
    counts = np.bincount(rows, minlength=old)
    assert (np.diff(rows.astype(int)) >= 0).all()
    assert {int(count) for count in counts} <= {size // old, -(-size // old)}


def test_a_picture_of_the_right_size_is_left_alone():
    picture = np.zeros((4, 5, 3), np.uint8)
    assert enlarged(picture, (4, 5)) is picture


# --- the values at the ends of a scale ---


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (-2.71, 3.14, ("−2.7", "3.1")),
        (0.0, 0.00023, ("0", "0.00023")),
        (-253.0, 281.0, ("−250", "280")),
        (-25_000.0, 21_000.0, ("−25000", "21000")),
        (-1e8, 2.13e8, ("−1e8", "2.1e8")),
        (1e-12, 5e-12, ("1e−12", "5e−12")),
        (999.971, 1000.024, ("999.971", "1000.02")),
        (99.0, 105.0, ("99", "105")),
        (-3e-9, 1.0, ("0", "1")),
        (-0.0, 0.0, ("0", "0")),
        (0.94, 1.05, ("0.94", "1.05")),
        (1234.0, 1234.0, ("1234", "1234")),
        (-3e38, 3e38, ("−3e38", "3e38")),
    ],
)
def test_ends_are_short_and_plain(low, high, texts):
    assert end_texts(low, high) == texts


@given(st.floats(-1e30, 1e30), st.floats(1e-5, 1.0))
def test_ends_that_differ_read_differently_and_close_to_what_they_are(low, share):
    high = low + share * max(abs(low), 1e-20)
    texts = end_texts(low, high)
    assert texts[0] != texts[1]
    for text, value in zip(texts, (low, high), strict=True):
        assert float(text.replace("−", "-")) == pytest.approx(value, abs=0.17 * (high - low), rel=5e-6)
