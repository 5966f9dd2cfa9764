"""Close a file for good, also where HDF5 cannot write what it still holds of it.

By itself HDF5 then closes the descriptor and keeps the file: it tries again later, at the end of the process
at the latest, and crashes there or writes to whatever has the descriptor's number by then.
"""

import os
import tempfile
from contextlib import suppress

import h5py


def close(file: h5py.File) -> None:
    """Close a file that was flushed; what closing raises is raised once the file is given up."""
    descriptor = file.id.get_vfd_handle()
    try:
        file.close()
    except (OSError, RuntimeError):
        if file and not _is_open(descriptor):
            _give_up(file, descriptor)
        raise


def abandon(file: h5py.File) -> None:
    """Close a file whose content does not matter any more; what HDF5 still writes goes into memory."""
    with suppress(OSError, RuntimeError, ValueError):
        _give_up(file, file.id.get_vfd_handle())


def _give_up(file: h5py.File, descriptor: int) -> None:
    """Close a file, with something in the place of its descriptor that takes all that is written."""
    for nowhere in (_memory, _null):
        if file:
            _close_into(file, descriptor, nowhere())


def _close_into(file: h5py.File, descriptor: int, nowhere: int) -> None:
    ours = os.fstat(nowhere)
    if nowhere != descriptor:
        try:
            os.dup2(nowhere, descriptor, inheritable=False)
        finally:
            os.close(nowhere)
    with suppress(OSError, RuntimeError):
        file.close()
    with suppress(OSError):
        if os.path.samestat(os.fstat(descriptor), ours):  # HDF5 had closed its own before
            os.close(descriptor)


def _memory() -> int:
    """Return a file that has no place in any folder."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("spinlock")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _null() -> int:
    """Return what takes files of any size, which memory does not if files may not be large."""
    return os.open(os.devnull, os.O_RDWR)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
