"""Videos and frames of a dataset's ensembles: checked, rolled out once, drawn and encoded frame by frame."""

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spinlock import __version__
from spinlock.dataset.clips import check_pixels, least_size, make_clip, shown_realizations
from spinlock.dataset.open import Dataset
from spinlock.dataset.output import LONGEST_NAME, check_name, check_writable, resolved_output
from spinlock.dataset.progress import Progress, Silent
from spinlock.dataset.render_options import FORMATS, Format, RenderOptions, check_rate
from spinlock.dataset.selection import checked_rows, select_rows
from spinlock.errors import InterruptedRunError, UsageError
from spinlock.registry import unknown_name
from spinlock.visualization.clip import Clip
from spinlock.visualization.encoders import (
    VIDEO_SUFFIXES,
    EncoderChoice,
    FrameWriter,
    VideoWriter,
    choose_encoder,
)

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

logger = logging.getLogger("spinlock")


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
        For a suffix that is no video's, an unknown format, a place that cannot be written, or one where a
        dataset stands.
    """
    if format not in FORMATS:
        raise unknown_name("--format", format, FORMATS)
    if not str(output):
        raise UsageError("--output is empty; give a file or a folder")
    path = resolved_output(str(output))
    if path.suffix and not path.is_dir() and not str(output).endswith("/"):
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            raise UsageError(
                f"--output {path}: end a file in one of {', '.join(VIDEO_SUFFIXES)}, or give a folder"
            )
        video, frames = path, path.with_name(f"{path.stem}_frames")
    else:
        video, frames = path / f"{dataset.stem}.mp4", path / "frames"
    made = Targets(video if format != "frames" else None, frames if format != "video" else None)
    check_writable(video, "--output")
    if made.video:
        check_name(made.video, "--output")
        _refuse_dataset(made.video)
    if made.frames:
        FrameWriter.check_folder(made.frames)
        if len(made.frames.name.encode()) > LONGEST_NAME:
            raise UsageError(f"--output {path}: {made.frames.name[:40]}… is too long a name for a folder")
    return made


def _refuse_dataset(path: Path) -> None:
    """Raise `UsageError` where an HDF5 file stands: a video never replaces a dataset."""
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
                raise UsageError(f"--output {path} is a dataset, not a video; choose another --output")


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
        Where the dataset is incomplete or damaged, the disk too small, or a row made again differs.
    InterruptedRunError
        After Ctrl-C; older files at the output stay as they were.
    """
    started = time.perf_counter()
    options, progress = options or RenderOptions(), progress or Silent()
    check_rate(fps)
    places = targets(Path(path), output, format)
    with Dataset(path) as dataset, contextlib.ExitStack() as cleared:
        rows = _rows(dataset, options)
        _require_encoder(places.video, least_size(dataset, rows, options), fps)
        _make_folder(places.folder, cleared)
        try:
            progress.stage("rolling out")
            progress.begin(len(rows) * len(options.times), 0)
            clip = make_clip(dataset, rows, options, places.folder, progress.advance)
            cleared.callback(clip.close)
            encoder = _write(clip, places, fps, _metadata(dataset, rows, options, clip, fps), progress)
        except KeyboardInterrupt:
            raise InterruptedRunError(f"interrupted: nothing was written to {output}") from None
    return _summary(places, encoder, clip, fps, rows, time.perf_counter() - started)


def _require_encoder(video: Path | None, size: tuple[int, int], fps: int) -> None:
    if video:
        choose_encoder(video.suffix.lower(), size, fps)


def _make_folder(folder: Path, cleared: contextlib.ExitStack) -> None:
    """Make a folder; those made here that are still empty when ``cleared`` ends go again."""
    for missing in [place for place in (*reversed(folder.parents), folder) if not place.exists()]:
        missing.mkdir(exist_ok=True)
        cleared.callback(_remove_empty, missing)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _summary(
    places: Targets, encoder: EncoderChoice | None, clip: Clip, fps: int, rows: list[int], seconds: float
) -> RenderSummary:
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
        seconds=seconds,
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
    check_pixels(min(options.n_operators, there), dataset, options)
    return select_rows(dataset, options.n_operators, options.sampling_method, options.seed)


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
    progress.stage("rendering")
    progress.begin(len(clip), 0)
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
        if video:
            video.finish()  # before anything is put in place: what can still fail does so here
    return video.encoder if video else None
