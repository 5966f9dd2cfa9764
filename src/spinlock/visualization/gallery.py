"""A gallery: rows of pictures under headings, with labels and spacing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

BACKGROUND, INK, FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)
HEADING_HEIGHT, LABEL_WIDTH, SPACING = 28, 250, 6
FONT_SIZE, SMALL_FONT_SIZE = 15, 12
LINE_HEIGHT, FIRST_GAP = SMALL_FONT_SIZE + 6, 4
"""Of a label: rows that are too low for all of its lines show the first ones."""


@dataclass(frozen=True)
class GalleryRow:
    """One row: its pictures RGB [H, W, 3], and the lines of its label, the first of them its name."""

    pictures: Sequence[NDArray[np.uint8]]
    label: Sequence[str]


@dataclass(frozen=True)
class Section:
    """Rows under one heading."""

    heading: str
    rows: Sequence[GalleryRow]


@dataclass(frozen=True)
class GalleryStyle:
    """Size of a cell (height, width) in pixels, and what stands around the cells."""

    cell: tuple[int, int]
    labels: bool = False
    spacing: bool = False

    @property
    def gap(self) -> int:
        """Pixels between cells."""
        return SPACING if self.spacing else 0

    @property
    def margin(self) -> int:
        """Width of the label column."""
        return LABEL_WIDTH if self.labels else 0


def gallery_size(sections: Sequence[Sequence[int]], style: GalleryStyle) -> tuple[int, int]:
    """Return (height, width) in pixels of a gallery, from the number of pictures of each row of each section.

    Height: a heading of 28 px for each section and a cell with its gap for each row. Width: the label column
    of 250 px if there are labels, and a cell with its gap for each picture of the longest row.
    """
    rows = [pictures for section in sections for pictures in section]
    columns = max(rows, default=0)
    height = len(sections) * HEADING_HEIGHT + len(rows) * (style.cell[0] + style.gap)
    return height, style.margin + columns * (style.cell[1] + style.gap)


def draw_gallery(sections: Sequence[Section], style: GalleryStyle) -> Image.Image:
    """Return the gallery as an RGB image."""
    pictures = [[len(row.pictures) for row in section.rows] for section in sections]
    height, width = gallery_size(pictures, style)
    image = Image.new("RGB", (max(width, 1), max(height, 1)), BACKGROUND)
    draw = ImageDraw.Draw(image)
    top = 0
    for section in sections:
        _draw_heading(draw, section.heading, top)
        top += HEADING_HEIGHT
        for row in section.rows:
            if style.labels:
                _draw_label(draw, row.label, top, style.cell[0])
            _paste_row(image, row, top, style)
            top += style.cell[0] + style.gap
    return image


def _draw_heading(draw: ImageDraw.ImageDraw, heading: str, top: int) -> None:
    draw.text((6, top + HEADING_HEIGHT // 2), heading, INK, ImageFont.load_default(FONT_SIZE), anchor="lm")


def _draw_label(draw: ImageDraw.ImageDraw, lines: Sequence[str], top: int, height: int) -> None:
    shown = lines[: max(1, (height - FIRST_GAP) // LINE_HEIGHT)]
    large, small = ImageFont.load_default(FONT_SIZE), ImageFont.load_default(SMALL_FONT_SIZE)
    y = top + (height - LINE_HEIGHT * len(shown) - FIRST_GAP * (len(shown) > 1)) // 2
    for number, line in enumerate(shown):
        draw.text((6, y), line, INK if number == 0 else FAINT, large if number == 0 else small)
        y += LINE_HEIGHT + (FIRST_GAP if number == 0 else 0)


def _paste_row(image: Image.Image, row: GalleryRow, top: int, style: GalleryStyle) -> None:
    left = style.margin
    for picture in row.pictures:
        cell = Image.fromarray(np.ascontiguousarray(picture))
        if cell.size != (style.cell[1], style.cell[0]):
            cell = cell.resize((style.cell[1], style.cell[0]), Image.Resampling.BICUBIC)
        image.paste(cell, (left, top))
        left += style.cell[1] + style.gap
