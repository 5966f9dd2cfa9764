"""How far each realization came: the frames that a dataset holds of it."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def finite_frames(
    metadata: Mapping[str, NDArray[np.int32]], rows: NDArray[np.int64] | int
) -> NDArray[np.int64]:
    """Return how many first frames of each realization are finite as stored, int64 [..., M].

    Frame 0 counts, those that float16 storage could not hold do not.
    """
    finite = metadata["finite_steps"][rows].astype(np.int64)
    if "overflow_steps" not in metadata:
        return finite
    return finite - metadata["overflow_steps"][rows]
