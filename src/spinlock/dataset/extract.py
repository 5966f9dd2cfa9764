"""Features for a dataset that is complete: computed in parts, then joined to a copy that takes its place."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spinlock.config.load import validated_features
from spinlock.config.model import Features
from spinlock.dataset.companions import write_companions
from spinlock.dataset.feature_facts import feature_facts
from spinlock.dataset.feature_rows import FeatureRows
from spinlock.dataset.feature_work import FeatureWork, clear_finished_work
from spinlock.dataset.frames import FrameSource
from spinlock.dataset.open import Dataset
from spinlock.dataset.output import (
    SLACK,
    check_name,
    check_replaceable,
    check_writable,
    require_packages,
    resolved_output,
)
from spinlock.dataset.progress import Progress, Silent
from spinlock.errors import InterruptedRunError, SpinlockError, StorageError, UsageError
from spinlock.execution.devices import prepare_process
from spinlock.execution.environment import numerical_environment
from spinlock.execution.feature_layout import FeatureChoice, feature_layout
from spinlock.storage import FinalFile, Url, is_taken, open_stored, require_space
from spinlock.storage.feature_layout import FeatureLayout
from spinlock.storage.feature_parts import FeatureParts
from spinlock.storage.features import HDF5FeatureReader
from spinlock.storage.locations import form_for


@dataclass(frozen=True)
class ExtractionSummary:
    """A finished extraction in numbers.

    Attributes
    ----------
    path, bytes, samples
        The file with features, its size, N.
    extracted
        Samples that have features; the others were left out.
    version, categories
        Which features.
    origin
        Where the frames came from: stored trajectories, or a replay; empty where all was complete before.
    seconds
        Wall time of this run; None where everything was complete before.
    core_seconds
        Time of all extractions, over all runs.
    """

    path: str
    bytes: int
    samples: int
    extracted: int
    version: str
    categories: tuple[str, ...]
    origin: str
    seconds: float | None
    core_seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON can hold it."""
        return asdict(self)


class FeatureExtractionPipeline:
    """Adds features to a complete dataset, or writes a copy with them.

    Parameters
    ----------
    dataset
        The dataset file. It stays as it is until its successor is complete.
    output
        Write a copy there and leave the dataset alone.
    features
        Version and categories; by default those of the configuration that made the dataset.
    categories, sdf_version
        Replace what ``features`` says; ``all`` among the categories means every one.
    batch_size
        Samples computed between two commits; an interrupted run loses at most so many. It changes no bit.
    max_samples
        Extract the first samples only; the rows of the others are NaN.
    device
        auto, cpu, cuda or cuda:1; auto takes the kind of device that made the dataset.
    overwrite
        Replace features that the dataset has, or a file at the output.

    Raises
    ------
    UsageError
        Where a number is not positive.
    """

    def __init__(
        self,
        dataset: str | Path,
        *,
        output: str | Path | None = None,
        features: Features | None = None,
        categories: Sequence[str] | None = None,
        sdf_version: str | None = None,
        batch_size: int = 32,
        max_samples: int | None = None,
        device: str = "auto",
        overwrite: bool = False,
    ) -> None:
        for said, value in (("--batch-size", batch_size), ("--max-samples", max_samples)):
            if value is not None and value < 1:
                raise UsageError(f"{said} {value} is not allowed: it must be 1 or more")
        self.path = resolved_output(str(dataset))
        self.output = self.path if output is None else resolved_output(str(output))
        self.features, self.batch_size, self.max_samples = features, batch_size, max_samples
        self._asked: dict[str, Any] = {} if sdf_version is None else {"sdf_version": sdf_version}
        if categories is not None:
            self._asked["categories"] = "all" if "all" in categories else list(categories)
        self.device, self.overwrite = device, overwrite

    def extract(self, progress: Progress | None = None) -> ExtractionSummary:
        """Compute and store the features, going on where an earlier run stopped, and return a summary.

        Raises
        ------
        UsageError
            Where features or a file would be overwritten unasked, the output cannot be written, or frames
            that are not stored cannot be made again here bit for bit.
        StorageError
            Where the dataset is damaged, or the disk is too small or fails; everything committed stays.
        InterruptedRunError
            After Ctrl-C; everything committed stays.
        """
        try:
            return self._extract(progress or Silent())
        except KeyboardInterrupt:
            raise InterruptedRunError(
                f"interrupted before {self.output} had its features; what was committed is kept, and the "
                "dataset is as it was. Run the same command again to go on"
            ) from None

    def _extract(self, progress: Progress) -> ExtractionSummary:
        started = time.perf_counter()
        progress.stage("planning")
        prepare_process()
        with Dataset(self.path) as dataset:
            section = self.features or dataset.config.features
            choice = FeatureChoice.of(validated_features(section, self._asked))
            asked = {**asdict(choice), "max_samples": self.max_samples}
            check_name(self.output, "--output", form_for(self.path, self.output))
            require_packages(self.output)
            dataset.require_writable_form(self.output)
            work = FeatureWork(self.output)
            cleared = work.is_cleared and not self.overwrite and self._has_features(dataset, choice)
            if cleared or work.is_finished(self._digest_at_output(), asked):
                clear_finished_work(self.output)
                return summarise_features(self.output)
            self._refuse_overwriting(dataset)
            source = FrameSource(dataset, self.device)
            layout = feature_layout(source.count, choice.version)
            limit = min(self.max_samples or len(dataset), len(dataset))
            rows = FeatureRows(dataset, source, choice, layout, limit)
            self._require_space(dataset, layout)
            with work:
                self._refuse_overwriting(dataset)  # again: another run may have been the first
                parts = work.parts(rows.binding)
                rows.compute(parts, self.batch_size, progress)
                progress.stage("writing")
                final = self._join(rows, parts, lambda digest: work.note_finished(digest, asked))
                progress.stage("describing")
                write_companions(self.output, final)
                work.clear()
        try:
            return summarise_features(self.output, source.origin, time.perf_counter() - started)
        except SpinlockError as error:
            raise StorageError(
                f"{self.output} got its features and was replaced by another process right after: run the "
                "same command again"
            ) from error

    def _digest_at_output(self) -> str:
        try:
            with open_stored(self.output) as file:
                return file.digest
        except StorageError:
            return ""

    def _has_features(self, dataset: Dataset, choice: FeatureChoice) -> bool:
        """Return whether the output has the features that are asked for, of as many samples."""
        try:
            made = summarise_features(self.output)
        except (StorageError, KeyError):
            return False
        count = min(self.max_samples or len(dataset), len(dataset))
        return (made.version, set(made.categories), made.extracted) == (
            choice.version, set(choice.categories), count,
        )  # fmt: skip

    def _refuse_overwriting(self, dataset: Dataset) -> None:
        check_writable(self.output, "--output")
        check_replaceable(self.output, "give another --output")
        if self.overwrite:
            return
        if self.output == self.path and dataset.layout.features is not None:
            raise UsageError(
                f"{self.path} has features already (version {dataset.layout.features.version}); replace them "
                "with --overwrite. Nothing was changed"
            )
        if self.output != self.path and is_taken(self.output):
            raise UsageError(
                f"{self.output} exists; choose another --output or replace it with --overwrite. "
                "Nothing was changed"
            )

    def _require_space(self, dataset: Dataset, layout: FeatureLayout) -> None:
        features = len(dataset) * layout.row_bytes(dataset.layout.realizations)
        copied = 0 if isinstance(self.output, Url) else dataset.stored_bytes + features
        instead = "or write the copy with features to another disk (--output)"
        require_space(FeatureWork(self.output).path, int(SLACK * (copied + features)), instead)

    def _join(self, rows: FeatureRows, parts: FeatureParts, sealed: Callable[[str], None]) -> FinalFile:
        """Write the dataset with its features, and put it in its place in one step."""

        def checkpoint(step: str) -> None:
            if step.startswith("sealed "):
                sealed(step.removeprefix("sealed "))
            if step == "rename" and self.output == self.path and not rows.dataset.is_current:
                raise StorageError(
                    f"{self.path} was replaced while its features were computed; nothing was changed. "
                    "Run the same command again"
                )

        environment = numerical_environment(rows.source.device)
        facts = feature_facts(rows.choice, [environment], rows.seconds(parts))
        return rows.dataset.copy_with_features(
            self.output, rows.layout, rows.blocks(parts), facts, checkpoint
        )


def summarise_features(path: Path, origin: str = "", seconds: float | None = None) -> ExtractionSummary:
    """Return the summary of a dataset file with features."""
    with HDF5FeatureReader(path) as reader:
        times = reader.extraction_time
        return ExtractionSummary(
            path=str(path),
            bytes=reader.stored_bytes,
            samples=len(times),
            extracted=int(np.isfinite(times).sum()),
            version=reader.version,
            categories=tuple(json.loads(reader.attributes["categories"])),
            origin=origin,
            seconds=seconds,
            core_seconds=float(np.nansum(times)),
        )
