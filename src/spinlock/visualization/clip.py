"""A clip: the frames of a sheet of operators, coloured by scales over all of them, made one at a time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.visualization.cells import Cells, Column
from spinlock.visualization.paint import Paint
from spinlock.visualization.scales import ColourMode, ColourStyle, fit_colours
from spinlock.visualization.sheet import Scale, Sheet, SheetStyle

GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
"""The scale of each of red, green and blue."""


def lay_out(
    columns: Sequence[Column],
    labels: Sequence[Sequence[str]],
    last_time: int,
    mode: ColourMode,
    style: SheetStyle,
    scales: Sequence[Sequence[Scale | None]] | None = None,
) -> Sheet:
    """Return the sheet of a clip; before scales are known one as high, and no wider than it will be."""
    scales = scales or [[None] * len(columns) for _ in labels]
    shared = mode == "global"
    return Sheet(
        [column.name for column in columns],
        labels,
        style,
        remarked=[bool(column.aggregate and column.aggregate.remark) for column in columns],
        last_time=last_time,
        cell_scales=None if shared else scales,
        column_scales=scales[0] if shared else None,
    )


class Clip:
    """The frames of a sheet; iterating over it draws them anew.

    Parameters
    ----------
    rows
        The cells of each operator, complete.
    labels
        The lines of each row's label.
    times
        The time step of each frame.
    colours, style
        How values become colours, and how cells stand.
    """

    def __init__(
        self,
        rows: Sequence[Cells],
        labels: Sequence[Sequence[str]],
        times: Sequence[int],
        colours: ColourStyle,
        style: SheetStyle,
    ) -> None:
        self._rows, self._times, self.labels = rows, times, labels
        self._columns = rows[0].columns
        self.headings = [column.name for column in self._columns]
        self.paints = fit_colours(rows, colours)
        scales = [[_scale(paint) for paint in paints] for paints in self.paints]
        self.sheet = lay_out(self._columns, labels, times[-1], colours.mode, style, scales)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame in pixels, both even."""
        return self.sheet.size

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._times)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames, RGB bytes [height, width, 3]; a thread draws one while the last is in use."""
        with ThreadPoolExecutor(1, thread_name_prefix="spinlock") as pool:
            ahead = pool.submit(self.frame, 0)
            for number in range(1, len(self) + 1):
                frame = ahead.result()
                if number < len(self):
                    ahead = pool.submit(self.frame, number)
                yield frame

    def frame(self, number: int) -> NDArray[np.uint8]:
        """Return one frame, RGB bytes [height, width, 3]."""
        pictures = [
            self._pictures(row, paints, number) for row, paints in zip(self._rows, self.paints, strict=True)
        ]
        remarks = [self._remark(place, number) for place in range(len(self._columns))]
        return self.sheet.draw(pictures, self._times[number], remarks)

    def _pictures(self, row: Cells, paints: Sequence[Paint], number: int) -> list[NDArray[np.uint8]]:
        maps = row.maps(number)
        return [paint(maps[column.maps]) for paint, column in zip(paints, row.columns, strict=True)]

    def _remark(self, place: int, number: int) -> str:
        """Return what a column says of a frame: the range of its remarks over the operators, in per cent."""
        said = [100.0 * row.remarks[place, number] for row in self._rows]
        known = [share for share in said if np.isfinite(share)]
        if not known:
            return ""
        low, high = f"{min(known):.0f}", f"{max(known):.0f}"
        return f"{low} %" if low == high else f"{low}–{high} %"

    def bounds(self) -> list[dict[str, Any]]:
        """Return the ends of every scale, by row, under the headings of the columns."""
        return [
            {name: paint.bounds for name, paint in zip(self.headings, paints, strict=True)}
            for paints in self.paints
        ]

    def close(self) -> None:
        """Give the scratch space of all rows back."""
        for row in self._rows:
            row.close()


def _scale(paint: Paint) -> Scale | None:
    if paint.bounds is None:
        return None
    return paint.bounds, GREYS if paint.table is None else paint.table
