"""Prove that a dataset is what it says: structure, checksums, samples, metadata, quality, replay."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from spinlock.counting import counted
from spinlock.dataset.feature_checks import feature_faults
from spinlock.dataset.finite import finite_frames
from spinlock.dataset.open import Dataset
from spinlock.dataset.rows import draw_faults
from spinlock.dataset.statements import understood
from spinlock.errors import MissingPartError, SpinlockError, UnavailableError
from spinlock.storage import is_taken, location, verify
from spinlock.storage.opening import ways_to_mend

CHECKS = ("samples", "metadata", "quality")

MOST_FAILURES = 100
"""Failures told of one check; more of the same help nobody."""


@dataclass
class Report:
    """What was checked and what failed.

    ``failures`` holds a line each, ``unchecked`` why checks could not be made here, ``notes`` what could not
    be compared.
    """

    path: str
    checked: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether all was checked that was asked for, and nothing failed."""
        return not self.failures and not self.unchecked

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return {
            "path": self.path,
            "valid": self.valid,
            "checked": self.checked,
            "failures": self.failures,
            "unchecked": self.unchecked,
            "notes": self.notes,
        }


def validate(path: str | Path, checks: Sequence[str] = CHECKS, *, replay: int = 0) -> Report:
    """Return a report on a dataset: all checksums, the checks named, and ``replay`` rows made again.

    Damage is reported, not raised. On a damaged file the other checks would only repeat it and are left out.
    Of what cannot be read at all (nothing stands there, it is in use) nothing is checked.
    """
    report = Report(str(path))
    report.checked.append("checksums")
    try:
        dataset = Dataset(path)
    except UnavailableError as error:
        return Report(str(path), failures=[str(error)])
    except SpinlockError as error:
        report.failures += [str(damage) for damage in verify(path)]
        if not report.failures:
            report.failures.append(str(error))
            return report
    else:
        with dataset:  # held open, so that what is checked afterwards is what was verified
            report.failures += [str(damage) for damage in verify(path)]
            if not dataset.is_current:
                report.failures = [f"{path} was replaced while it was validated: run the same command again"]
                return report
            if not report.failures:
                _check(report, dataset, checks, replay)
                return report
    where = location(path)
    if is_taken(where):
        report.notes.append(
            f"the dataset is damaged, so nothing else was checked. What to do: {ways_to_mend(where)}"
        )
    return report


def _check(report: Report, dataset: Dataset, checks: Sequence[str], replay: int) -> None:
    for check in checks:
        report.checked.append(check)
        _run(report, check, _CHECKS[check], dataset)
    if replay:
        from spinlock.dataset.replay import replay_rows

        count = min(replay, len(dataset))
        report.checked.append(f"replay of {counted(count, 'row')}")
        _run(report, "replay", lambda ds: replay_rows(ds, count, report.notes.append), dataset)


def _run(report: Report, name: str, check: Callable[[Dataset], Iterator[str]], dataset: Dataset) -> None:
    failures: list[str] = []
    try:
        with understood(dataset.path):
            failures.extend(check(dataset))  # what was found before an error stays
    except MissingPartError as error:
        report.checked.pop()
        if str(error) not in report.unchecked:
            report.unchecked.append(str(error))
    except SpinlockError as error:
        failures.append(str(error))
    report.failures += [f"{name}: {failure}" for failure in failures[:MOST_FAILURES]]
    if len(failures) > MOST_FAILURES:
        report.failures.append(
            f"{name}: {counted(len(failures) - MOST_FAILURES, 'more failure')} of this check"
        )


def sample_faults(dataset: Dataset) -> Iterator[str]:
    """Yield rows whose fields or features are not finite exactly where ``finite_steps`` says so."""
    simulation = dataset.config.simulation
    last = simulation.num_timesteps
    yield from feature_faults(dataset)
    for sample in dataset:
        usable = finite_frames(dataset.metadata, sample.index)
        if not np.isfinite(sample.inputs).all():
            yield f"row {sample.index}: inputs/fields has values that are not finite"
        yield from _frame_faults(sample.index, "outputs/fields", sample.outputs[:, None], usable, (last,))
        if sample.trajectories is not None:
            yield from _frame_faults(
                sample.index, "outputs/trajectories", sample.trajectories, usable, dataset.timesteps
            )


def _frame_faults(
    row: int, path: str, frames: np.ndarray, usable: np.ndarray, timesteps: Sequence[int]
) -> Iterator[str]:
    finite = np.isfinite(frames).all(axis=(2, 3, 4))
    empty = np.isnan(frames).all(axis=(2, 3, 4))
    expected = np.asarray(timesteps)[None, :] < usable[:, None]
    for realization, column in np.argwhere(np.where(expected, ~finite, ~empty)):
        what = (
            "is not finite" if expected[realization, column] else "is not NaN after its realization stopped"
        )
        yield f"row {row}: {path}, realization {realization}, frame {timesteps[column]} {what}"


def metadata_faults(dataset: Dataset) -> Iterator[str]:
    """Yield rows whose parameters, initial condition or metadata are not those of the draw of their index."""
    plan = dataset.plan
    if replace(plan.layout, features=None) != replace(dataset.layout, features=None):
        yield "the arrays are not laid out as the stored configuration asks"
        return
    params = dataset.points
    if not ((params >= 0) & (params <= 1)).all():
        yield "parameters/params has values outside [0, 1]"
    steps = dataset.config.simulation.num_timesteps
    finite = dataset.metadata["finite_steps"]
    if not ((finite >= 1) & (finite <= steps + 1)).all():
        yield f"metadata/finite_steps has values outside [1, {steps + 1}]"
    for draw in plan.draws(0, len(dataset)):
        yield from draw_faults(dataset, draw)


def quality_faults(dataset: Dataset) -> Iterator[str]:
    """Yield what differs between the recorded quality of the sampling and the quality measured again."""
    from spinlock.dataset.quality import measure

    recorded = json.loads(dataset.attributes["sampling_metrics"])
    measured = measure(dataset.plan).as_dict()
    for name in ("discrepancy_ratio", "correlation_ratio", "imbalance_ratio"):
        was, now = recorded.get(name), measured[name]
        if (was is None) != (now is None) or (
            was is not None and not np.isclose(was, now, rtol=1e-9, atol=1e-12)
        ):
            yield f"{name} is recorded as {was}, measured as {now}"
    yield from measured["failures"]


_CHECKS: dict[str, Callable[[Dataset], Iterator[str]]] = {
    "samples": sample_faults,
    "metadata": metadata_faults,
    "quality": quality_faults,
}
