"""The output path: whether a dataset may be made there, and whether there is room."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from spinlock.counting import counted
from spinlock.errors import StorageError, UnavailableError, UnsoundError, UsageError
from spinlock.storage import (
    Url,
    form_at,
    form_to_make,
    is_taken,
    location,
    open_stored,
    read_receipts,
    require_space,
)
from spinlock.storage.companions import SUFFIXES
from spinlock.storage.feature_layout import FeatureLayout
from spinlock.storage.locations import INDEX_NAME, Form

if TYPE_CHECKING:
    from spinlock.execution.plan import Plan

SLACK = 1.02
"""Stored data that does not compress is a little larger than the data."""


LONGEST_NAME = 255 - len(".tmp-") - 32 - max(map(len, SUFFIXES))
"""Bytes of a file name that leave room for what stands beside it, and for a temporary one of that."""


def resolved_output(path: str) -> Path:
    """Return where a dataset will stand: ``~`` is the home folder, a link stands for what it leads to.

    Raises
    ------
    UsageError
        Where there is no such home folder, or links lead in a circle.
    """
    output = location(path)
    if isinstance(output, Url):
        return output
    try:
        output = output.expanduser()
        if os.path.islink(output):  # noqa: PTH114 (whatever the name, it raises nothing)
            output = output.resolve()
    except RuntimeError:
        output = None
    if output is None or os.path.islink(output):  # noqa: PTH114
        what = "there is no such home folder" if path.startswith("~") else "the link leads in a circle"
        raise UsageError(f"{path}: {what}; give another path")
    return output


def check_output(output: Path, plan: "Plan", *, force: bool, fresh: bool) -> bool:
    """Return whether the complete dataset of this plan stands at the path already.

    Raises
    ------
    UsageError
        Where something else stands there and ``force`` is not given, or the path cannot be written.
    """
    check_name(output, form=form_to_make(output))
    require_packages(output)
    if is_taken(output) and not force:
        _require_dataset_of(output, plan)
        if fresh:
            raise UsageError(
                f"{output} is complete; --fresh drops partial work only, --force replaces the dataset"
            )
        return True
    if force:
        _refuse_foreign_folder(output)
    check_writable(output)
    return False


def _require_dataset_of(output: Path, plan: "Plan") -> None:
    """Raise `UsageError` where what stands there is not the dataset of this plan, saying what it is."""
    remedy = "Choose another --output, or replace it with --force; nothing was changed"
    try:
        with open_stored(output) as stored:
            digest = stored.attributes.get("plan_digest") if stored.config else None
            count = counted(stored.layout.samples, "sample")
    except UnavailableError as error:
        raise UsageError(f"{error}. Nothing was changed") from error
    except StorageError as error:
        _refuse_foreign_folder(output)
        raise UsageError(f"{output} exists and {_fault_of(output, error)}. {remedy}") from error
    if digest is None:
        raise UsageError(
            f"{output} exists and is no whole dataset: it has {count} but no configuration, like a shard of "
            f"a run. {remedy}"
        )
    if digest != plan.digest:
        raise UsageError(
            f"{output} exists and is another dataset: {count} of the plan {str(digest)[:16]}, where this run "
            f"has the plan {plan.digest[:16]}. {remedy}"
        )


def _fault_of(output: Path, error: StorageError) -> str:
    """Return what stands at a path where opening it failed, and what can be kept of it."""
    reason = error.reason if isinstance(error, UnsoundError) else str(error)
    has_index = form_at(output) == "spin" and (output / INDEX_NAME).is_file()
    if has_index:
        reason = f"{reason} ({INDEX_NAME})"
    foreign = isinstance(error, UnsoundError) and error.is_foreign
    fault = f"is {'no Spinlock dataset that can be read' if foreign else 'a damaged dataset'}: {reason}"
    if form_at(output) == "zarr" or (foreign and not has_index):
        return fault
    return (
        f"{fault}. With the configuration that made it, --repair keeps what is sound of it and makes the "
        "rest again"
    )


OURS = ("index.h5", "plan.json", "shards", "receipts", "metadata/checksums", "outputs/fields")
"""What stands in a `.spin` directory or a Zarr store that Spinlock made, damaged though it may be."""


def _refuse_foreign_folder(output: Path) -> None:
    """Raise `UsageError` where a folder stands that nothing of Spinlock's is in."""
    if isinstance(output, Url) or not output.is_dir() or not any(output.iterdir()):
        return
    if not any((output / name).exists() for name in OURS):
        raise UsageError(
            f"{output} is a folder that Spinlock did not make: --force replaces datasets only. Choose "
            "another --output, or remove it yourself; nothing was changed"
        )


def require_packages(output: Path) -> None:
    """Raise `UsageError` where packages are missing that are needed to make a dataset there."""
    if form_to_make(output) == "zarr":
        from spinlock.storage.zarr_store import require_zarr

        require_zarr(output)


def check_name(output: Path, said: str = "dataset.output_path", form: Form = "hdf5") -> None:
    """Raise `UsageError` where nothing of that form can have that name; ``said`` is where it was given."""
    if isinstance(output, Url):
        return
    if output.name.endswith(SUFFIXES):
        raise UsageError(
            f"{said} {output}: names that end in {' or '.join(SUFFIXES)} are those of what stands beside a "
            "dataset; choose another name"
        )
    if len(output.name.encode()) > LONGEST_NAME:
        raise UsageError(f"{said}: {output.name[:40]}… is too long a file name: {LONGEST_NAME} bytes at most")
    try:
        output.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UsageError(f"{said} {output}: {error.strerror}; choose another path") from None
    if form == "hdf5" and output.is_dir():
        raise UsageError(f"{said} {output} is a directory; give the name of a file in it")


def check_writable(output: Path, said: str = "dataset.output_path") -> None:
    """Raise `UsageError` where nothing can be made in its folder."""
    if isinstance(output, Url):
        return
    existing = output.absolute().parent
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(
            f"{said} {output}: {existing} "
            f"{'cannot be written to' if existing.is_dir() else 'is not a folder'}; choose another folder"
        )


def check_replaceable(output: Path, remedy: str) -> None:
    """Raise `UsageError` where a file stands there that is read-only; ``remedy`` is what to do."""
    if output.exists() and not os.access(output, os.W_OK):
        raise UsageError(f"{output} is read-only; {remedy}. Nothing was changed")


def needed_bytes(data_bytes: float, committed: int = 0, form: Form = "hdf5") -> int:
    """Return the disk space a run still needs: the data twice while finalizing, less what is committed.

    The shards of a `.spin` directory are not copied.
    """
    return max(0, int((1 if form == "spin" else 2) * SLACK * data_bytes) - committed)


def require_disk(plan: "Plan", output: Path, added: FeatureLayout | None = None, share: float = 1.0) -> None:
    """Raise `StorageError` where the disk is too small for the shards to come and what is made of them.

    With features that were added, their parts and a file without them stand there as well. A share of all
    rows is not joined to a dataset.
    """
    from spinlock.execution.estimate import estimate
    from spinlock.execution.run_directory import run_directory_path

    place = run_directory_path(output) if isinstance(output, Url) else output
    if share < 1:
        require_space(place, int(SLACK * share * estimate(plan).data_bytes))
        return
    receipts = read_receipts(run_directory_path(output), plan.digest).valid.values()
    committed = sum(receipt.size for receipt in receipts)
    data_bytes = estimate(plan).data_bytes
    needed = needed_bytes(data_bytes, committed, form_to_make(output))
    if added is not None:
        features = plan.total_samples * added.row_bytes(plan.layout.realizations)
        needed += int(SLACK * (data_bytes + 2 * features))
    require_space(place, needed)
