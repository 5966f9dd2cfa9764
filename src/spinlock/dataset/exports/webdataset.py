"""WebDataset: tar files of numbered samples, ``<split>-000000.tar``; members are .npy arrays and a .json."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from spinlock.dataset.exports.request import Request, Written
from spinlock.dataset.sample import Sample

ROWS_PER_TAR = 1000


def write_webdataset(request: Request, folder: Path) -> Written:
    """Write tar files of at most 1,000 rows each; the same rows give the same bytes.

    A row with index i has the members ``<i>.inputs.npy``, ``.outputs.npy``, ``.trajectories.npy`` where those
    are stored, and ``.json`` with parameters and metadata. Row indices have ten digits.
    """
    files = rows_written = 0
    for split, rows in request.splits.items():
        for number, first in enumerate(range(0, rows.size, ROWS_PER_TAR)):
            with tarfile.open(folder / f"{split}-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
                for row in rows[first : first + ROWS_PER_TAR].tolist():
                    _add(tar, request.dataset[row])
                    rows_written += 1
            files += 1
    return Written({"files": files, "samples": rows_written})


def _add(tar: tarfile.TarFile, sample: Sample) -> None:
    arrays = {"inputs": sample.inputs, "outputs": sample.outputs, "trajectories": sample.trajectories}
    for name, values in arrays.items():
        if values is not None:
            content = io.BytesIO()
            np.save(content, values, allow_pickle=False)
            _add_member(tar, f"{sample.index:010d}.{name}.npy", content.getvalue())
    facts = {"index": sample.index, "parameters": sample.parameters, "metadata": sample.metadata}
    _add_member(tar, f"{sample.index:010d}.json", json.dumps(facts, default=_plain, sort_keys=True).encode())


def _add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist()
