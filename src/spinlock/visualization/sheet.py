"""A sheet: a row of cells for each operator, with labels, headings, scales and the time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

BACKGROUND, INK, FAINT, HAIRLINE = (255, 255, 255), (20, 20, 20), (110, 110, 110), (225, 225, 225)
FONT_SIZE, SMALL_FONT_SIZE = 13, 10
LINE_HEIGHT, SCALE_HEIGHT, BAR_HEIGHT = 15, 14, 6
EDGE, SPACING, LEAST_SPACING, TEXT_SPACING = 6, 8, 3, 8
"""Pixels around everything, between cells with spacing and without, and between the texts of two columns."""
BETWEEN, LEAST_BAR = 6, 6
"""Pixels between the two values of a scale, with or without a bar, and the shortest bar."""
LONGEST_REMARK = "100–100 %"

Scale = tuple[tuple[float, float], NDArray[np.uint8]]
"""The values at both ends, and the colours between them [n, 3]."""


@dataclass(frozen=True)
class SheetStyle:
    """Size of a cell (height, width) in pixels, and whether there is space between cells."""

    cell: tuple[int, int]
    spacing: bool = False

    @property
    def gap(self) -> int:
        """Pixels between cells."""
        return SPACING if self.spacing else LEAST_SPACING


class Sheet:
    """The layout of a clip, and the part of it that does not change; `draw` adds what does.

    Parameters
    ----------
    headings
        Of each column.
    labels
        The lines of each row's label, the first of them its name.
    style
        Cells and spacing.
    remarked
        Columns that say something new in each frame, under their heading.
    last_time
        The greatest time step to show.
    cell_scales, column_scales
        Scales under each cell, by row and column, or under each column; None for a cell without one.
    """

    def __init__(
        self,
        headings: Sequence[str],
        labels: Sequence[Sequence[str]],
        style: SheetStyle,
        *,
        remarked: Sequence[bool],
        last_time: int,
        cell_scales: Sequence[Sequence[Scale | None]] | None = None,
        column_scales: Sequence[Scale | None] | None = None,
    ) -> None:
        self._style, self._remarked = style, tuple(remarked)
        self._large, self._small = _font(FONT_SIZE), _font(SMALL_FONT_SIZE)
        lines = [line for label in labels for line in label] + [f"t = {last_time}"]
        self._margin = 2 * EDGE + max(_text_width(self._large, line) for line in lines)
        self._header = EDGE + LINE_HEIGHT * (1 + any(remarked))
        self._lefts = self._columns(headings, cell_scales or [], column_scales or [])
        caption = SCALE_HEIGHT if cell_scales else 0
        written = LINE_HEIGHT * max(len(label) for label in labels)
        self._pitch = max(style.cell[0] + caption, written) + style.gap
        rows = len(labels)
        self._tops = [self._header + row * self._pitch for row in range(rows)]
        footer = SCALE_HEIGHT + EDGE if column_scales else 0
        height = self._header + rows * self._pitch + footer
        self.size = height + height % 2, self._lefts[-1] + self._lefts[-1] % 2
        """Height and width in pixels, both even."""
        self._still = self._background(headings, labels, cell_scales, column_scales)

    def _columns(
        self,
        headings: Sequence[str],
        cell_scales: Sequence[Sequence[Scale | None]],
        column_scales: Sequence[Scale | None],
    ) -> list[int]:
        """Return the left edge of every column, and of what follows the last."""
        lefts = [self._margin]
        for place, heading in enumerate(headings):
            scales = [row[place] for row in cell_scales] + list(column_scales[place : place + 1])
            texts = [_scale_width(self._small, scale) for scale in scales if scale]
            texts.append(_text_width(self._large, heading))
            if self._remarked[place]:
                texts.append(_text_width(self._small, LONGEST_REMARK))
            lefts.append(lefts[-1] + max(self._style.cell[1] + self._style.gap, max(texts) + TEXT_SPACING))
        return lefts

    def _background(
        self,
        headings: Sequence[str],
        labels: Sequence[Sequence[str]],
        cell_scales: Sequence[Sequence[Scale | None]] | None,
        column_scales: Sequence[Scale | None] | None,
    ) -> NDArray[np.uint8]:
        image = Image.new("RGB", (self.size[1], self.size[0]), BACKGROUND)
        draw = ImageDraw.Draw(image)
        for left, heading in zip(self._lefts, headings, strict=False):
            draw.text((left, EDGE // 2), heading, INK, self._large)
        for top, label in zip(self._tops, labels, strict=True):
            for number, line in enumerate(label):
                place = EDGE, top + number * LINE_HEIGHT
                draw.text(place, line, FAINT if number else INK, self._large)
            for left in self._lefts[:-1]:
                bottom, right = top + self._style.cell[0], left + self._style.cell[1]
                draw.rectangle((left - 1, top - 1, right, bottom), outline=HAIRLINE)
        scaled = [
            (top + self._style.cell[0], row) for top, row in zip(self._tops, cell_scales or [], strict=False)
        ]
        for top, scales in [*scaled, (self._tops[-1] + self._pitch, column_scales or [])]:
            for place, scale in enumerate(scales):
                if scale:
                    self._draw_scale(image, draw, place, top, scale)
        return np.asarray(image).copy()

    def _draw_scale(
        self, image: Image.Image, draw: ImageDraw.ImageDraw, column: int, top: int, scale: Scale
    ) -> None:
        """Draw low value, bar and high value in one line; without room for a bar, the values alone."""
        left, after = self._lefts[column : column + 2]
        right = left + max(
            min(self._style.cell[1], after - left - TEXT_SPACING), _scale_width(self._small, scale)
        )
        middle = top + SCALE_HEIGHT // 2
        low, high = end_texts(*scale[0])
        draw.text((left, middle), low, FAINT, self._small, anchor="lm")
        draw.text((right, middle), high, FAINT, self._small, anchor="rm")
        first = left + _text_width(self._small, low) + BETWEEN // 2
        room = right - _text_width(self._small, high) - BETWEEN // 2 - first
        if room >= LEAST_BAR:
            steps = np.arange(room) * (len(scale[1]) - 1) // (room - 1)
            bar = np.broadcast_to(scale[1][steps], (BAR_HEIGHT, room, 3))
            image.paste(Image.fromarray(np.ascontiguousarray(bar)), (first, middle - BAR_HEIGHT // 2))

    def place(self, row: int, column: int) -> tuple[slice, slice]:
        """Return where a cell stands in the image, as slices of its height and width."""
        top, left = self._tops[row], self._lefts[column]
        return slice(top, top + self._style.cell[0]), slice(left, left + self._style.cell[1])

    def draw(
        self, cells: Sequence[Sequence[NDArray[np.uint8]]], time: int, remarks: Sequence[str]
    ) -> NDArray[np.uint8]:
        """Return one frame, RGB bytes [*size, 3].

        Parameters
        ----------
        cells
            Pictures [h, w, 3] by row and column; smaller ones are enlarged by repeating pixels.
        time
            The time step.
        remarks
            A text under each heading, empty for none.
        """
        frame = self._still.copy()
        for row, pictures in enumerate(cells):
            for column, picture in enumerate(pictures):
                frame[self.place(row, column)] = enlarged(picture, self._style.cell)
        changing = Image.fromarray(frame[: self._header])
        draw = ImageDraw.Draw(changing)
        draw.text((EDGE, EDGE // 2), f"t = {time}", INK, self._large)
        for left, remark in zip(self._lefts, remarks, strict=False):
            draw.text((left, EDGE // 2 + LINE_HEIGHT), remark, FAINT, self._small)
        frame[: self._header] = np.asarray(changing)
        return frame


def enlarged(picture: NDArray[np.uint8], cell: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture [h, w, 3] at the size of a cell, by repeating pixels."""
    if picture.shape[:2] == cell:
        return picture
    rows, columns = (np.arange(size) * old // size for size, old in zip(cell, picture.shape[:2], strict=True))
    return picture.take(columns, axis=1).take(rows, axis=0)


def end_texts(low: float, high: float) -> tuple[str, str]:
    """Return both ends of a scale with two digits, or more, up to six, where its range is small beside them.

    So 999.97 and 1000.03, not 1000 twice; equal ends have four. Plain below 10⁵, with an exponent above and
    for small numbers; an end that is less than half a step of 256 colours from 0 reads 0.
    """
    digits = 4
    if low < high:
        digits = 2 + int(np.clip(np.log10(3.0 * max(abs(low), abs(high)) / (high - low)), 0, 4))
    low, high = (0.0 if 512 * abs(end) <= high - low else end for end in (low, high))
    return _number_text(low, digits), _number_text(high, digits)


def _number_text(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    if abs(value) < 1e5 and "e+" in text:
        text = f"{float(text):.0f}"
    return text.replace("e+0", "e").replace("e-0", "e-").replace("e+", "e").replace("-", "−")


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which matplotlib brings: it has the minus, dash and Greek letters of the labels."""
    import matplotlib as mpl

    return ImageFont.truetype(f"{mpl.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


def _text_width(font: ImageFont.FreeTypeFont, text: str) -> int:
    return int(np.ceil(font.getlength(text)))


def _scale_width(font: ImageFont.FreeTypeFont, scale: Scale) -> int:
    return sum(_text_width(font, text) for text in end_texts(*scale[0])) + BETWEEN
