"""Where a dataset stands: a path of this machine, or a URL of a store; which form stands there."""

import re
from pathlib import Path, PosixPath, PurePath
from typing import Literal

Form = Literal["hdf5", "spin", "zarr"]

SUFFIXES: dict[str, Form] = {".h5": "hdf5", ".hdf5": "hdf5", ".spin": "spin", ".zarr": "zarr"}
"""What the end of a name says about the form of a dataset that will be made."""

INDEX_NAME = "index.h5"
"""Stands in every `.spin` directory."""

ZARR_ROOT = "zarr.json"
"""Stands at the root of every Zarr store."""

HERE = ("file", "local")
"""Schemes of URLs that lead to files of this machine."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-:]*):/+(.*)", re.DOTALL)


class Url(PosixPath):
    """A URL where paths are expected: its text is the URL, and no file of this machine stands there."""

    def __str__(self) -> str:
        """Return the URL."""
        text = super().__str__()
        parts = _URL.fullmatch(text)
        return f"{parts[1]}://{parts[2]}" if parts else text

    def __fspath__(self) -> str:
        """Return the URL, which names no file."""
        return str(self)


def location(where: str | Path) -> Path:
    """Return a path, a `Url` where the text is one; the URL of a file of this machine is its path."""
    if isinstance(where, Url):
        return where
    text = str(where)
    parts = _URL.fullmatch(text) if "://" in text else None
    if parts is None:
        return Path(text)
    return Path(f"/{parts[2]}") if parts[1].lower() in HERE else Url(text)


def is_taken(output: Path) -> bool:
    """Return whether something stands at a path or URL."""
    if not isinstance(output, Url):
        return output.exists()
    from spinlock.storage.zarr_store import store_exists

    return store_exists(output)


def form_at(where: Path) -> Form:
    """Return the form of the dataset that stands at a path, by what is there; of nothing, that of a file."""
    if isinstance(where, Url) or (where / ZARR_ROOT).is_file():
        return "zarr"
    if where.is_dir():
        return "zarr" if where.suffix == ".zarr" else "spin"
    return "hdf5"


def form_to_make(where: PurePath) -> Form:
    """Return the form that the end of a name asks for; any other name than those of `SUFFIXES` is a file."""
    return SUFFIXES.get(where.suffix, "hdf5")


def form_for(source: Path, output: Path) -> Form:
    """Return the form of what is written to ``output`` from a dataset: its own at its own place."""
    return form_at(source) if output == source else form_to_make(output)
