"""A dataset from a stranger, its checksums right, runs no code, touches no other file, takes little memory.

What is wrong with it is said in plain text.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import h5py.h5d as h5d
import h5py.h5p as h5p
import h5py.h5s as h5s
import h5py.h5t as h5t
import h5py.h5z as h5z
import numpy as np
import pytest

import tiny
from spinlock.config import config_from_stored
from spinlock.config.digest import plan_digest
from spinlock.storage.digest import seal

TESTS = Path(__file__).resolve().parents[1]
ESCAPE = "\x1b]0;owned\x07\x1b[2J\r"
DEEP = "[" * 100_000

Change = Callable[[h5py.File], object]


def attribute(name: str, value: object, path: str = "metadata") -> Change:
    return lambda file: file[path].attrs.__setitem__(
        name, np.bytes_(value.encode()) if isinstance(value, str) else value
    )


def stated(name: str, change: Callable[[dict], object]) -> Change:
    """Change what a JSON attribute of /metadata holds."""

    def edit(file: h5py.File) -> None:
        value = json.loads(file["metadata"].attrs[name])
        changed = change(value)
        text = json.dumps(value if changed is None else changed)
        file["metadata"].attrs[name] = np.bytes_(text)

    return edit


def table(path: str, value: object) -> Change:
    return lambda file: file[path].__setitem__(0, value)


def nested(file: h5py.File) -> None:
    here = file
    for _ in range(3000):
        here = here.create_group("g")


def cycle(file: h5py.File) -> None:
    file["inputs/again"] = file["/"]


def external_storage(file: h5py.File) -> None:
    pipe = str(Path(file.filename).with_name("pipe"))
    file.create_dataset("inputs/outside", (4,), "f4", external=[(pipe, 0, 16)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(Path(file.filename).with_name("pipe")), "x", (4,))
    file.create_virtual_dataset("inputs/virtual", layout)


def unknown_filter(file: h5py.File) -> None:
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk((4,))
    creation.set_filter(32000, h5z.FLAG_OPTIONAL, (1,))
    h5d.create(file["inputs"].id, b"filtered", h5t.NATIVE_FLOAT, h5s.create_simple((4,)), creation)


def huge_array(file: h5py.File) -> None:
    h5d.create(file["inputs"].id, b"huge", h5t.NATIVE_FLOAT, h5s.create_simple((10**15,)))


def huge_chunks(file: h5py.File) -> None:
    file.create_dataset("inputs/huge", (10**15,), "f4", chunks=(2**26,))


def variable(file: h5py.File) -> None:
    file["metadata"].attrs["note"] = "text of variable length"


def variable_array(file: h5py.File) -> None:
    file["inputs/texts"] = ["a", "b"]


def references(file: h5py.File) -> None:
    file["metadata"].attrs["pointer"] = file["inputs/fields"].ref
    file.create_dataset("inputs/regions", (1,), h5py.regionref_dtype)[0] = file["inputs/fields"].regionref[0]


def big_attribute(file: h5py.File) -> None:
    file["metadata"].attrs["big"] = np.bytes_("x" * (8 << 20))


def many_attributes(file: h5py.File) -> None:
    for number in range(600):
        file["metadata"].attrs[f"a{number}"] = number


def named(name: str) -> Change:
    return lambda file: file.create_group(b"inputs/" + name.encode())


def replanned(change: Callable[[dict], object]) -> Change:
    """Change the configuration, and the digest of its plan with it."""

    def edit(file: h5py.File) -> None:
        stated("config", change)(file)
        config = config_from_stored(json.loads(file["metadata"].attrs["config"]))
        file["metadata"].attrs["plan_digest"] = np.bytes_(plan_digest(config))

    return edit


def without(name: str) -> Change:
    return lambda file: file["metadata"].attrs.__delitem__(name)


HEAPS = "metadata/checksums"
REFUSED: dict[str, Change] = {
    "external link": lambda f: f.__setitem__("inputs/link", h5py.ExternalLink("pipe", "/x")),
    "external link for an array": lambda f: (
        f.__delitem__("inputs/fields"),
        f.__setitem__("inputs/fields", h5py.ExternalLink("pipe", "/x")),
    ),
    "soft link": lambda f: f.__setitem__("inputs/link", h5py.SoftLink("/outputs/fields")),
    "dangling link": lambda f: f.__setitem__("inputs/link", h5py.SoftLink("/../../etc/passwd")),
    "external storage": external_storage,
    "virtual array": virtual,
    "named type": lambda f: f.__setitem__("inputs/type", np.dtype("f4")),
    "cycle": cycle,
    "unknown filter": unknown_filter,
    "variable attribute": variable,
    "references": references,
    "deep groups": nested,
    "huge array": huge_array,
    "layout of many samples": stated("layout", lambda v: v.update(samples=10**12)),
    "layout of many more samples": stated("layout", lambda v: v.update(samples=2**32)),
    "layout of many channels": stated("layout", lambda v: v.update(channels=10**9)),
    "layout of many frames": stated("layout", lambda v: v.update(timesteps=[*range(2**17)])),
    "layout of wide texts": stated(
        "layout", lambda v: v["string_lengths"].__setitem__(0, ["dynamics", 2**60])
    ),
    "layout without sense": attribute("layout", "[1, 2]"),
    "deep layout": attribute("layout", DEEP),
    "layout that is a number": attribute("layout", 3),
    "layout with parameters named as paths": stated(
        "layout", lambda v: v["parameters"][0].update(name="../x")
    ),
    "heaps without sense": attribute("heaps", '{"a": 1}', HEAPS),
    "heaps of all the file": attribute("heaps", json.dumps([[0, 10**12, 0]] * 1000), HEAPS),
    "heaps of negative size": attribute("heaps", "[[-5, -5, 0]]", HEAPS),
    "deep heaps": attribute("heaps", DEEP, HEAPS),
    "config that is no JSON": attribute("config", "nonsense"),
    "config that is a list": attribute("config", "[]"),
    "config that is a number": attribute("config", 7),
    "deep config": attribute("config", DEEP),
    "config without sections": attribute("config", '{"simulation": {"num_timesteps": 1}}'),
    "config of endless rollouts": stated("config", lambda v: v["simulation"].update(num_timesteps=10**12)),
    "config of endless samples": stated("config", lambda v: v["sampling"].update(total_samples=10**15)),
    "config of huge grids": stated(
        "config",
        lambda v: v["parameter_space"]["operator"].update(
            grid_size={"type": "integer", "bounds": [1, 10**9]}
        ),
    ),
    "plan of huge grids": replanned(
        lambda v: v["parameter_space"]["operator"].update(grid_size={"type": "integer", "bounds": [8, 10**9]})
    ),
    "plan of many realizations": replanned(lambda v: v["simulation"].update(num_realizations=10**4)),
    "plan of many samples": replanned(lambda v: v["sampling"].update(total_samples=10**8)),
    "config that names a module": stated(
        "config", lambda v: v["simulation"]["input_generation"].update(method="os:system")
    ),
    "config with plugins": stated("config", lambda v: v.update(plugins=["os"], version="2.0")),
    "provenance that is no JSON": attribute("provenance", "{"),
    "provenance without environments": attribute("provenance", '{"timings": {}}'),
    "provenance of numbers": attribute("provenance", '{"environments": [1], "timings": {}}'),
    "no provenance": without("provenance"),
    "no date": without("creation_date"),
    "date that is a number": attribute("creation_date", 5),
    "no metrics": without("sampling_metrics"),
    "metrics that are a list": attribute("sampling_metrics", "[]"),
    "metrics without sense": attribute("sampling_metrics", '{"verdict": "fine", "discrepancy_ratio": "x"}'),
    "text that is no UTF-8": table("metadata/ic_types", b"\xff\xfe"),
    "text with escapes": table("metadata/ic_types", np.bytes_(ESCAPE)),
    "options that are no JSON": table("metadata/ic_options", b"{"),
    "options that are a number": table("metadata/ic_options", b"3"),
    "a grid that is none": table("metadata/grid_sizes", -5),
    "a grid of another row": table("metadata/grid_sizes", 2**31 - 1),
    "frames that are none": table("metadata/finite_steps", -(2**31)),
    "a point outside": table("parameters/params", np.nan),
}
"""What `validate` refuses; every checksum that can be right is right."""

READ: dict[str, Change] = {
    "huge chunked array": huge_chunks,
    "array of variable texts": variable_array,
    "big attribute": big_attribute,
    "many attributes": many_attributes,
    "name with escapes": named(ESCAPE),
    "name with dots": named(".. "),
    "name of two lines": named("x\nall is well: valid"),
    "date with escapes": attribute("creation_date", ESCAPE),
    "description with escapes": stated("config", lambda v: v["metadata"].update(description=ESCAPE)),
    "path to write to": stated("config", lambda v: v["dataset"].update(output_path="/owned/x.h5")),
}
"""What may be read, as long as nothing comes of it."""


def resealed(path: Path, change: Change) -> None:
    """Change a file and make its checksums right again, where that is possible."""
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)
        try:
            seal(file)
        except Exception:  # what HDF5 or Spinlock will not read is sealed by no one
            file.flush()


@pytest.fixture(scope="module")
def told(plain, tmp_path_factory) -> dict[str, dict]:
    """What became of every file, by its name; the first is sound."""
    folder = tmp_path_factory.mktemp("strangers")
    os.mkfifo(folder / "pipe")  # whoever opens it waits for ever
    changes = {"sound": lambda file: None, **REFUSED, **READ}
    paths = {}
    for number, (name, change) in enumerate(changes.items()):
        paths[name] = folder / f"{number}.h5"
        paths[name].write_bytes(plain.read_bytes())
        resealed(paths[name], change)
    run = subprocess.run(
        [sys.executable, "-m", "test_dataset.reading_strangers", *map(str, paths.values())],
        env=tiny.environment(PYTHONPATH=f"{tiny.SOURCE}{os.pathsep}{TESTS}"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()][1:]
    reached = list(changes)[len(lines) : len(lines) + 1]
    assert run.returncode == 0, f"code {run.returncode} at {reached}: {run.stderr[-2000:]}"
    return dict(zip(changes, lines, strict=True))


def check_harmless(outcome: dict) -> None:
    for what in ("validate", "info", "use", "features", "repair"):
        assert "CRASH" not in (outcome[what] or ""), (what, outcome[what])
    assert outcome["noted"] == []
    assert not set(outcome["told"]) & set("\x1b\x07\r")


def test_a_sound_file_is_read(told):
    outcome = told["sound"]
    check_harmless(outcome)
    assert outcome["failures"] == []
    assert (outcome["validate"], outcome["info"], outcome["use"]) == (None, None, None)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_found_and_harms_nobody(told, name):
    outcome = told[name]
    check_harmless(outcome)
    assert outcome["validate"] is None
    assert outcome["failures"]


@pytest.mark.parametrize("name", READ)
def test_what_is_read_harms_nobody(told, name):
    check_harmless(told[name])
    assert not Path("/owned").exists()
