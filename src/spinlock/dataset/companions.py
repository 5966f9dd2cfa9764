"""The card and the Croissant description, written beside a complete dataset and kept true to it."""

import logging
import shutil
from collections.abc import Callable
from glob import escape
from pathlib import Path

from spinlock.dataset.card import dataset_of_card, render_card
from spinlock.dataset.croissant import HDF5, Resource, dataset_of_croissant, render_croissant
from spinlock.dataset.describe import described
from spinlock.dataset.open import complete_file
from spinlock.dataset.statements import understood
from spinlock.errors import SpinlockError
from spinlock.storage import FinalFile, StoredDataset, Url, commit_text, form_at, system_reason
from spinlock.storage.atomic import write_errors
from spinlock.storage.companions import card_path, croissant_path
from spinlock.storage.hashing import file_sha256
from spinlock.storage.locations import INDEX_NAME, ZARR_ROOT

logger = logging.getLogger("spinlock")

Teller = Callable[[str], str | None]
"""Returns the digest of the dataset that a text is of, None where it is no text of ours."""


def write_companions(output: Path, made: FinalFile | None = None) -> None:
    """Write what stands beside a complete dataset, unless it stands there already; a failure is a warning.

    What another dataset left goes first, and a text that someone changed is left alone. The description holds
    the SHA-256 of the file, which is read once for it unless it is the one ``made`` just now; of a directory,
    that of its index or root. Nothing is written beside a URL.
    """
    if isinstance(output, Url):
        return
    try:
        with complete_file(output) as file:
            due = [path for path, teller in _companions(output) if _is_due(path, teller, file.digest)]
            if due:
                _write(file, due, made)
    except (SpinlockError, OSError) as error:
        reason = error if isinstance(error, SpinlockError) else system_reason(error)
        logger.warning(
            "warning: %s is complete, but not all that describes it is written beside it (%s); "
            "`spinlock generate` with its configuration, once more, writes it", output, reason,
        )  # fmt: skip


def is_described(output: Path) -> bool:
    """Return whether there is nothing to write beside a dataset; `StorageError` where it is no sound one."""
    if isinstance(output, Url):
        return True
    with complete_file(output) as file:
        return not any(_is_due(path, teller, file.digest, quiet=True) for path, teller in _companions(output))


def _companions(output: Path) -> tuple[tuple[Path, Teller], ...]:
    return (card_path(output), dataset_of_card), (croissant_path(output), dataset_of_croissant)


def _is_due(path: Path, teller: Teller, digest: str, *, quiet: bool = False) -> bool:
    """Return whether a companion is to be written: none stands there, or that of another dataset."""
    try:
        of = teller(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        of = None
    if of is None and not quiet:
        logger.warning("warning: %s was changed or is not ours, and stays: delete it to have it anew", path)
    return of not in (None, digest)


def _write(file: StoredDataset, due: list[Path], made: FinalFile | None) -> None:
    """Write companions, the card first: the description takes a pass over the file.

    Who may not read the dataset may not read them.
    """
    for path in due:
        with write_errors(path):
            path.unlink(missing_ok=True)
    content = described(file)
    known = made.sha256 if made is not None and made.digest == file.digest else None
    with understood(file.path):
        for path in due:
            is_card = path == card_path(file.path)
            text = (
                render_card(content) if is_card else render_croissant(content, *_resources(file.path, known))
            )
            commit_text(path, text)
            if file.path.is_file():
                shutil.copymode(file.path, path)


def _resources(output: Path, sha256: str | None) -> tuple[Resource, list[str]]:
    """Return the file of a dataset that is read first, and patterns of the others."""
    form = form_at(output)
    inner, media_type, others = {
        "hdf5": ("", HDF5, []),
        "spin": (INDEX_NAME, HDF5, [f"{escape(output.name)}/**"]),
        "zarr": (ZARR_ROOT, "application/vnd+zarr", [f"{escape(output.name)}/**"]),
    }[form]
    path = output / inner if inner else output
    name = f"{output.name}/{inner}" if inner else output.name
    return Resource(name, path.stat().st_size, media_type, sha256 or file_sha256(path)), others
