"""The schema follows from the layout, survives JSON, and refuses what no file can hold."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinlock.errors import OptionError, StorageError, UnknownNameError
from spinlock.storage.chunks import chunks_in_row, row_windows
from spinlock.storage.describe import describe
from spinlock.storage.schema import (
    CHUNK_BYTES,
    ITEM_SIZES,
    Layout,
    Parameter,
    arrays,
    balanced,
    dimension_sizes,
    field_arrays,
)
from test_storage.dataset_samples import layout_of

grids = st.lists(st.integers(16, 300), min_size=1, max_size=3, unique=True).map(lambda g: tuple(sorted(g)))
precisions = st.sampled_from(["float32", "float16", "bitround:3"])
layouts = st.builds(
    lambda grids, M, C, F, precision: layout_of(
        grids=grids, realizations=M, channels=C, timesteps=tuple(range(F)), precision=precision
    ),
    grids,
    st.integers(1, 40),
    st.integers(1, 8),
    st.integers(0, 30),
    precisions,
)


@given(layouts)
def test_json_gives_the_layout_back(layout):
    assert Layout.from_json(layout.to_json()) == layout


@given(layouts)
def test_chunks_fit_their_array_and_stay_small(layout):
    for spec in field_arrays(layout):
        assert all(1 <= chunk <= size for chunk, size in zip(spec.chunks, spec.shape, strict=True))
        frame = layout.channels * layout.tile**2 * ITEM_SIZES[spec.dtype]
        size = ITEM_SIZES[spec.dtype]
        for chunk in spec.chunks:
            size *= chunk
        assert size <= max(CHUNK_BYTES, frame)
        assert spec.chunks[0] == 1
        assert spec.chunks[-2:] == (layout.tile, layout.tile)
        assert spec.chunks[-3] == layout.channels


@given(layouts)
def test_windows_cover_a_row_exactly_once(layout):
    for spec in field_arrays(layout):
        for grid in layout.grids:
            windows = list(row_windows(spec, grid))
            assert len(windows) == chunks_in_row(spec, grid) == len({window.position for window in windows})
            covered = 0
            for window in windows:
                volume = 1
                for outer, inner in zip(window.row, window.chunk, strict=True):
                    assert 0 < outer.stop - outer.start == inner.stop - inner.start
                    volume *= outer.stop - outer.start
                covered += volume
            lead = 1
            for size in spec.shape[1:-2]:
                lead *= size
            assert covered == lead * grid * grid


@pytest.mark.parametrize(
    ("sizes", "tile"),
    [((64, 128, 256), 64), ((64,), 64), ((48, 64), 48), ((100,), 64), ((32, 128), 32), ((96, 192), 64)],
)
def test_the_tile_rule(sizes, tile):
    assert layout_of(grids=sizes).tile == tile


def test_realizations_share_a_chunk_while_it_is_small():
    assert field_arrays(layout_of(realizations=10, grids=(64,)))[1].chunks == (1, 10, 3, 64, 64)
    assert field_arrays(layout_of(realizations=60, grids=(64,)))[1].chunks == (1, 20, 3, 64, 64)
    assert balanced(100, CHUNK_BYTES) == balanced(100, 5 * CHUNK_BYTES) == 1
    long = layout_of(realizations=4, grids=(64,), timesteps=tuple(range(100)))
    assert field_arrays(long)[2].chunks == (1, 1, 20, 3, 64, 64)
    short = layout_of(realizations=4, grids=(64,), timesteps=(0, 1))
    assert field_arrays(short)[2].chunks == (1, 4, 2, 3, 64, 64)


def test_the_tree_is_the_documented_one():
    tree = {spec.path: spec.dims for spec in arrays(layout_of(timesteps=(0, 4), precision="float16"))}
    columns = ["ic_types", "ic_labels", "ic_options", "rollout_policies", "grid_sizes", "noise_regimes"]
    columns += ["dynamics", "lyapunov", "operator_digests", "checksums/rows"]
    values = ["activation", "gain", "num_layers", "residual"]
    assert tree == {
        "inputs/fields": ("sample", "channel", "y", "x"),
        "outputs/fields": ("sample", "realization", "channel", "y", "x"),
        "outputs/trajectories": ("sample", "realization", "frame", "channel", "y", "x"),
        "outputs/timesteps": ("frame",),
        **{f"metadata/{name}": ("sample",) for name in columns},
        "metadata/finite_steps": ("sample", "realization"),
        "metadata/overflow_steps": ("sample", "realization"),
        "parameters/params": ("sample", "parameter"),
        **{f"parameters/values/{name}": ("sample",) for name in values},
        "metadata/checksums/inputs/fields": ("sample", "input_chunk"),
        "metadata/checksums/outputs/fields": ("sample", "output_chunk"),
        "metadata/checksums/outputs/trajectories": ("sample", "trajectory_chunk"),
    }


@given(layouts)
def test_every_axis_of_every_array_has_its_length(layout):
    sizes = dimension_sizes(layout)
    for spec in arrays(layout):
        assert tuple(sizes[dim] for dim in spec.dims) == spec.shape, spec.path
    assert set(sizes) == {dim for spec in arrays(layout) for dim in spec.dims}


def test_what_is_not_asked_for_is_not_there():
    paths = [spec.path for spec in arrays(layout_of(parameters=()))]
    assert not [path for path in paths if "trajectories" in path or "timesteps" in path or "overflow" in path]
    assert not [path for path in paths if path.startswith("parameters")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 0}, "samples = 0"),
        ({"samples": True}, "samples = True"),
        ({"realizations": 2**20}, "realizations = 1048576"),
        ({"channels": -1}, "channels"),
        ({"grids": ()}, "at least one grid"),
        ({"grids": (64, 32)}, "must be ascending"),
        ({"grids": (32, 32)}, "each value once"),
        ({"grids": (10**6,)}, "grids holds 1000000"),
        ({"timesteps": (3, 1)}, "timesteps"),
        ({"timesteps": (-1,)}, "timesteps"),
        ({"parameters": (Parameter("b", "real"), Parameter("a", "real"))}, "sorted by name"),
        ({"parameters": (Parameter("../x", "real"),)}, "parameter name"),
        ({"parameters": (Parameter("a", "complex"),)}, "kind 'complex'"),  # type: ignore[arg-type]
        ({"parameters": (Parameter("a", "string"),)}, "string length of a"),
        ({"parameters": (Parameter("a", "real", 4),)}, "only string values"),
        ({"string_lengths": (("ic_types", 3),)}, "string_lengths must name"),
        ({"compression_level": 99}, "compression_level 99"),
        ({"precision": "float8"}, "float8"),
    ],
)  # fmt: skip
def test_impossible_layouts_are_refused(change, message):
    with pytest.raises(OptionError, match=message):
        layout_of(**change)


def test_an_unknown_compression_is_refused():
    with pytest.raises(UnknownNameError, match="brotli"):
        layout_of(compression="brotli")


def test_damaged_json_is_refused():
    good = json.loads(layout_of().to_json())
    changes = [{"samples": "4"}, {"extra": 1}, {"parameters": [1]}, {"grids": 4}, {"precision": None}]
    broken = [json.dumps(good | change) for change in changes]
    for text in ["", "[]", "null", "{}", "[" * 100_000, '{"format": 1}', *broken]:
        with pytest.raises(StorageError, match="layout cannot be read"):
            Layout.from_json(text)
    with pytest.raises(StorageError, match="data format 99"):
        Layout.from_json(json.dumps({**good, "format": 99}))


def test_the_description_names_every_array():
    layout = layout_of(timesteps=(0,), precision="float16")
    text = describe(layout)
    for spec in arrays(layout):
        assert f"| `/{spec.path}` |" in text
        assert spec.description in text
    assert text.count("\n") == len(arrays(layout)) + 2


def test_storage_does_not_import_torch():
    code = (
        "import pkgutil, importlib, sys, spinlock.storage as s\n"
        "for m in pkgutil.iter_modules(s.__path__, 'spinlock.storage.'): importlib.import_module(m.name)\n"
        "print(sorted({'torch', 'hdf5plugin', 'numcodecs'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
