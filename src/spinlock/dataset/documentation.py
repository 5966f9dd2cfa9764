"""Pages of the documentation that are rendered from the code."""

from spinlock.execution.feature_layout import feature_layout
from spinlock.features.catalogue import SDF_VERSION
from spinlock.storage.describe import describe
from spinlock.storage.schema import STRING_TABLES, Layout, Parameter

FRAMES = 25
"""Frames of the trajectories that the example measures."""

EXAMPLE = Layout(
    samples=100,
    realizations=3,
    channels=3,
    grids=(32, 64),
    timesteps=(0, 8, 16, 24),
    parameters=(
        Parameter("gain", "real"),
        Parameter("grid_size", "integer"),
        Parameter("normalization", "string", 8),
    ),
    string_lengths=tuple((name, 32) for name in STRING_TABLES),
    precision="float16",
    features=feature_layout(FRAMES, SDF_VERSION),
)
"""A small layout that has every array."""

INTRODUCTION = """# Data format

A dataset is one HDF5 file, a `.spin` directory or a Zarr store: [forms.md](forms.md) says which is for what.
All three hold the same arrays under the same names. Row i of every array is draw i. The side of stored
fields is the largest grid, G; a smaller field stands in the corner `[:g, :g]` with g =
`metadata/grid_sizes[i]`, the rest is NaN (tiles of padding are not stored at all).
`spinlock.dataset.open_dataset` crops by itself.

Plain h5py opens the HDF5 file. For zstd and lz4 it needs the filters of hdf5plugin:

```python
import h5py
import hdf5plugin  # registers the filters
import numpy as np

with h5py.File("datasets/test_100.h5") as file:
    grid = file["metadata/grid_sizes"][7]
    field = file["inputs/fields"][7, :, :grid, :grid]
    assert np.isfinite(field).all()
    label = file["metadata/dynamics"][7].decode()
```

Axes carry labels and dimension scales, so xarray opens the file with named dimensions. Text has a fixed
length in UTF-8. `/metadata` has the attributes `config` (JSON: makes the dataset again), `plan_digest`,
`sampling_metrics` (JSON), `provenance` (JSON: environments, versions, timings), `creation_date`,
`version` (of the configuration format), `spinlock_version`, `layout` (JSON) and `first_row`.

`/features` exists where features were measured, during generation or later. Each of its three arrays names
its columns in the attribute `columns`, and the index of each column's feature in `registry_index`: a column's
place is not an index. `/features/sdf` has the attributes `version`, `num_features`, `feature_registry` (JSON:
index by name), `registry_hash` (of the definitions stored), `categories` (JSON: those measured; columns of
the others are NaN), `length_unit`, `time_unit`, `boundary` and `includes_initial_state`; `/features` has
`family_versions` (JSON), `environments` (JSON), `spinlock_version` and `extraction_timestamp`. A row that
was left out is NaN everywhere, its `finite_steps` and `n_realizations` are 0.
`spinlock.features.storage.HDF5FeatureReader` reads all this.

`creation_date`, `extraction_timestamp`, `extraction_time` and the timings in `provenance` are all that
differs between two files of one plan.

`/metadata/checksums` holds a CRC-32 for every chunk and for every row of the tables, and one SHA-256 over
everything else; a flipped bit is found when the file is opened, or when the chunk is first read.

## Arrays

"""

CLOSING = """
`lyapunov` and `dynamics` are those of `src/spinlock/rollout/dynamics.py`. `overflow_steps` exists in
float16 files only: the frames of each realization from the first value beyond the float16 range on, which
are stored as NaN.

Sizes in this table are those of a dataset with 100 samples, 3 realizations, 3 channels, grids of 32 and 64,
features, and every eighth of 24 steps stored as float16.
"""


def data_format_page() -> str:
    """Return docs/data_format.md."""
    return f"{INTRODUCTION}{describe(EXAMPLE)}{CLOSING}"
