"""HDF5 loads libraries for filters that it does not know; no file brings it to do so here."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import h5py
import h5py.h5d as h5d
import h5py.h5g as h5g
import h5py.h5p as h5p
import h5py.h5s as h5s
import h5py.h5t as h5t
import h5py.h5z as h5z
import pytest

import tiny

UNKNOWN = 32999
PLUGIN = """
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) {
    const char *canary = getenv("CANARY");
    if (canary) close(open(canary, O_CREAT | O_WRONLY, 0600));
}
"""
PLAIN = "import h5py, sys\nh5py.File(sys.argv[1])[sys.argv[2]][()]"
LISTED = "import h5py, sys\nlist(h5py.File(sys.argv[1])[sys.argv[2]])"


@pytest.fixture(scope="module")
def plugins(tmp_path_factory) -> Path:
    """A folder with a library that leaves a file behind where it is loaded."""
    folder = tmp_path_factory.mktemp("plugins")
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc to compile a plugin with")
    (folder / "x.c").write_text(PLUGIN)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "libx.so", folder / "x.c"], check=True)
    return folder


def is_loaded(plugins: Path, folder: Path, *words: object) -> bool:
    """Whether HDF5 loads the plugin while Python runs with those arguments."""
    canary = folder / "canary"
    canary.unlink(missing_ok=True)
    tiny.python(*words, env={"CANARY": str(canary), "HDF5_PLUGIN_PATH": str(plugins)})
    return canary.exists()


def filtered_array(path: Path) -> str:
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        creation = h5p.create(h5p.DATASET_CREATE)
        creation.set_chunk((4,))
        creation.set_filter(UNKNOWN, h5z.FLAG_OPTIONAL, (1,))
        space = h5s.create_simple((4,))
        array = h5d.create(file["inputs"].id, b"filtered", h5t.NATIVE_FLOAT, space, creation)
        array.write_direct_chunk((0,), bytes(16))
    return "inputs/filtered"


Filter = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.c_uint,
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


class FilterClass(ctypes.Structure):
    """HDF5's description of a filter."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("id", ctypes.c_int),
        ("encodes", ctypes.c_uint),
        ("decodes", ctypes.c_uint),
        ("name", ctypes.c_char_p),
        ("can_apply", ctypes.c_void_p),
        ("set_local", ctypes.c_void_p),
        ("filter", Filter),
    )


def hdf5_library() -> ctypes.CDLL:
    loaded = {
        line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libhdf5" in line
    }
    names = [name for name in loaded if "_hl" not in name]
    if not names:
        pytest.skip("h5py has HDF5 within itself here")
    return ctypes.CDLL(names[0])


def filtered_group(path: Path) -> str:
    """Add a group whose members are listed in compressed form, by a filter that this process alone knows."""
    library = hdf5_library()
    same = Filter(lambda _flags, _count, _values, size, _room, _buffer: size)
    known = FilterClass(1, UNKNOWN, 1, 1, b"same", None, None, same)
    library.H5Zregister.argtypes = [ctypes.c_void_p]
    library.H5Pset_link_phase_change.argtypes = [ctypes.c_int64, ctypes.c_uint, ctypes.c_uint]
    library.H5Pset_filter.argtypes = [
        ctypes.c_int64, ctypes.c_int, ctypes.c_uint, ctypes.c_size_t, ctypes.c_void_p,
    ]  # fmt: skip
    assert library.H5Zregister(ctypes.byref(known)) >= 0
    try:
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            creation = h5p.create(h5p.GROUP_CREATE)
            assert library.H5Pset_link_phase_change(creation.id, 1, 0) >= 0
            assert library.H5Pset_filter(creation.id, UNKNOWN, 0, 0, None) >= 0
            group = h5py.Group(h5g.create(file["inputs"].id, b"packed", gcpl=creation))
            for number in range(20):
                group.create_group(f"member{number}")
    finally:
        library.H5Zunregister(UNKNOWN)
    return "inputs/packed"


@pytest.mark.slow
@pytest.mark.parametrize(("make", "plainly"), [(filtered_array, PLAIN), (filtered_group, LISTED)])
def test_no_library_is_loaded(plain, plugins, tmp_path, make, plainly):
    path = tmp_path / "a.h5"
    path.write_bytes(plain.read_bytes())
    name = make(path)
    assert is_loaded(plugins, tmp_path, "-c", plainly, path, name)  # control: plain h5py does it
    config = tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN)
    for words in (
        ("-m", "spinlock", "validate", "--dataset", path),
        ("-m", "spinlock", "info", "--dataset", path),
    ):
        assert not is_loaded(plugins, tmp_path, *words), words
    # Writing is another matter: hdf5plugin asks HDF5 for every filter, whatever a file holds.
    run = tiny.spinlock_command("generate", "--repair", "--config", config, "--output", path)
    assert run.returncode == 0, run.stderr
    assert tiny.differing(plain, path) == []
