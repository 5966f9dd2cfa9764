"""Videos and frames of a dataset's ensembles: checked, rolled out once, drawn and encoded frame by frame."""

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spinlock import __version__
from spinlock.dataset.clips import make_clip, shown_realizations
from spinlock.dataset.open import Dataset
from spinlock.dataset.output import check_name, check_writable
from spinlock.dataset.progress import Progress, Silent
from spinlock.dataset.render_options import FORMATS, Format, RenderOptions
from spinlock.dataset.selection import checked_rows, select_rows
from spinlock.errors import InterruptedRunError, UsageError
from spinlock.registry import unknown_name
from spinlock.visualization.cells import Column, columns_of
from spinlock.visualization.clip import Clip
from spinlock.visualization.encoders import (
    VIDEO_SUFFIXES,
    EncoderChoice,
    FrameWriter,
    VideoWriter,
    choose_encoder,
)

logger = logging.getLogger("spinlock")

MOST_PIXELS = 2**26
"""Of one frame."""


@dataclass(frozen=True)
class RenderSummary:
    """A finished clip in numbers.

    Attributes
    ----------
    video, frames
        What was written: the file, and the folder of pictures; None for what was not asked for.
    encoder
        What encoded the video; None without one.
    passed_over
        Encoders that were tried first, and why they were not taken.
    count, fps
        Frames, and frames a second.
    height, width
        Of a frame in pixels.
    operators
        The rows shown, from top to bottom.
    seconds
        Wall time.
    """

    video: str | None
    frames: str | None
    encoder: str | None
    passed_over: dict[str, str]
    count: int
    fps: int
    height: int
    width: int
    operators: tuple[int, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON can hold it."""
        return asdict(self)


@dataclass(frozen=True)
class Targets:
    """Where the video and the pictures go; None for what is not asked for."""

    video: Path | None
    frames: Path | None

    @property
    def folder(self) -> Path:
        """The folder they stand in, and scratch files beside them."""
        path = self.video or self.frames
        assert path is not None
        return path.parent


def targets(dataset: Path, output: str | Path, format: Format) -> Targets:  # noqa: A002 (the option's name)
    """Return where to write: a suffix names the video, a folder takes ``<dataset>.mp4`` and ``frames/``.

    Raises
    ------
    UsageError
        For a suffix that is no video's, an unknown format, or a place that cannot be written.
    """
    if format not in FORMATS:
        raise unknown_name("--format", format, FORMATS)
    path = Path(output).expanduser()
    if path.suffix and not path.is_dir() and not str(output).endswith("/"):
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            raise UsageError(
                f"--output {path}: end a file in one of {', '.join(VIDEO_SUFFIXES)}, or give a folder"
            )
        video, frames = path, path.with_name(f"{path.stem}_frames")
    else:
        video, frames = path / f"{dataset.stem}.mp4", path / "frames"
    made = Targets(video if format != "frames" else None, frames if format != "video" else None)
    if made.video:
        check_name(made.video, "--output")
    check_writable(video, "--output")
    if made.frames:
        FrameWriter.check_folder(made.frames)
    return made


def render_dataset(
    path: str | Path,
    output: str | Path,
    options: RenderOptions | None = None,
    *,
    format: Format = "video",  # noqa: A002 (the option's name)
    fps: int = 30,
    progress: Progress | None = None,
) -> RenderSummary:
    """Render rows of a complete dataset, as a video, as pictures, or as both, and return a summary.

    Parameters
    ----------
    path
        The dataset file.
    output
        A file ending in .mp4, .webm, .gif or .webp, or a folder.
    options
        What to show, and how.
    format
        ``video``, ``frames`` (PNG pictures with metadata.json) or ``both``.
    fps
        Frames a second of the video.

    Raises
    ------
    UsageError
        Where anything asked for is not allowed or cannot be written; nothing is rolled out before.
    StorageError
        Where the dataset is incomplete or damaged, the disk is too small, or a row made again is not what is
        stored.
    InterruptedRunError
        After Ctrl-C; older files at the output stay as they were.
    """
    started = time.perf_counter()
    options, progress = options or RenderOptions(), progress or Silent()
    if fps < 1:
        raise UsageError(f"--fps {fps} is not allowed: it must be at least 1")
    places = targets(Path(path), output, format)
    with Dataset(path) as dataset, contextlib.ExitStack() as cleared:
        rows = _rows(dataset, options)
        smallest = _smallest_size(rows, _columns(dataset, options), options)
        if places.video:
            choose_encoder(places.video.suffix.lower(), smallest, fps)
        places.folder.mkdir(parents=True, exist_ok=True)
        progress.stage("rolling out")
        progress.begin(len(rows) * len(options.times), 0)
        try:
            clip = make_clip(dataset, rows, options, places.folder, progress.advance)
            cleared.callback(clip.close)
            progress.stage("rendering")
            progress.begin(len(clip), 0)
            encoder = _write(clip, places, fps, _metadata(dataset, rows, options, clip, fps), progress)
        except KeyboardInterrupt:
            raise InterruptedRunError(f"interrupted: nothing was written to {output}") from None
    return RenderSummary(
        video=str(places.video) if places.video else None,
        frames=str(places.frames) if places.frames else None,
        encoder=encoder.name if encoder else None,
        passed_over=dict(encoder.skipped) if encoder else {},
        count=len(clip),
        fps=fps,
        height=clip.size[0],
        width=clip.size[1],
        operators=tuple(rows),
        seconds=time.perf_counter() - started,
    )


def _rows(dataset: Dataset, options: RenderOptions) -> list[int]:
    """Return the rows to show, and say where less is there than was asked for."""
    there, realizations = len(dataset), dataset.config.simulation.num_realizations
    entering, _ = shown_realizations(dataset, options)
    if not options.operator_indices and options.n_operators > there:
        logger.info("--n-operators %d: the dataset holds %d; all are shown", options.n_operators, there)
    if (options.n_realizations or 0) > realizations:
        logger.info("--n-realizations %d: there are %d; all are taken", options.n_realizations, realizations)
    if options.display_realizations > entering:
        logger.info("--display-realizations %d: %d are shown", options.display_realizations, entering)
    if options.operator_indices:
        return checked_rows(dataset, options.operator_indices)
    return select_rows(dataset, options.n_operators, options.sampling_method, options.seed)


def _columns(dataset: Dataset, options: RenderOptions) -> tuple[Column, ...]:
    _, shown = shown_realizations(dataset, options)
    return columns_of(shown, options.aggregates, dataset.config.simulation.num_channels)


def _smallest_size(rows: Sequence[int], columns: Sequence[Column], options: RenderOptions) -> tuple[int, int]:
    """Return the size of a frame before its labels and scales are known.

    Raises
    ------
    UsageError
        Where not even that can be drawn.
    """
    height, width = len(rows) * options.size[0], len(columns) * options.size[1]
    if height * width > MOST_PIXELS:
        raise UsageError(
            f"a frame would have more than {width} × {height} pixels, and {MOST_PIXELS:,} in all can be "
            "drawn: take fewer --n-operators, or a smaller --size"
        )
    return height + height % 2, width + width % 2


def _metadata(
    dataset: Dataset, rows: Sequence[int], options: RenderOptions, clip: Clip, fps: int
) -> dict[str, Any]:
    """Return what a folder of pictures says of itself."""
    entering, shown = shown_realizations(dataset, options)
    return {
        "dataset": dataset.path.name,
        "digest": dataset.digest,
        "spinlock_version": __version__,
        "operators": list(rows),
        "labels": clip.labels,
        "columns": clip.headings,
        "bounds": clip.bounds(),
        "realizations": entering,
        "realizations_shown": shown,
        "time_steps": list(options.times),
        "fps": fps,
        "height": clip.size[0],
        "width": clip.size[1],
        "options": asdict(options),
    }


def _write(
    clip: Clip, places: Targets, fps: int, metadata: dict[str, Any], progress: Progress
) -> EncoderChoice | None:
    """Draw every frame once and give it to all writers; return what encoded the video."""
    with contextlib.ExitStack() as writers:
        video = frames = None
        if places.video:
            encoder = choose_encoder(places.video.suffix.lower(), clip.size, fps)
            video = writers.enter_context(VideoWriter(places.video, clip.size, fps, encoder))
        if places.frames:
            frames = writers.enter_context(FrameWriter(places.frames))
            frames.describe(metadata)
        for frame in clip:
            if video:
                video.write(frame)
            if frames:
                frames.write(frame)
            progress.advance()
    return video.encoder if video else None
