"""Real disks that are full, read-only or cleared under a run: a clear message, and the next run ends well."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import faults
import tiny
from spinlock.dataset import DatasetGenerationPipeline
from spinlock.dataset.extract import FeatureExtractionPipeline
from spinlock.dataset.progress import Silent
from spinlock.errors import StorageError

TOLD = r"cannot be written \((.*)\)\. What was committed before stays; .* run the same command again"


@pytest.fixture
def config(tmp_path):
    return tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN)


def is_refused(ended: "subprocess.CompletedProcess[str]", reason: str) -> bool:
    """Whether a run ended as one that cannot write does: one line, exit 1, by itself."""
    return (
        ended.returncode == 1
        and "Traceback" not in ended.stderr
        and "Exception ignored" not in ended.stderr
        and f"cannot be written ({reason})" in ended.stderr.splitlines()[-1]
        and "run the same command again" in ended.stderr.splitlines()[-1]
    )


SMALL_DISK = """
mount -t tmpfs -o size={size} small {folder} || exit 97
{python} -m spinlock generate --quiet --config {config} --output {folder}/a.h5
echo code $?
ls {folder}/a.h5.parts/receipts | wc -l
find {folder} -name '*.tmp-*' | wc -l
mount -o remount,size=64m small {folder}
{python} -m spinlock generate --config {config} --output {folder}/a.h5 > /dev/null
echo code $?
ls -A {folder}
cp {folder}/a.h5 {copy}
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", ["72k", "140k"])
def test_a_disk_that_is_full_and_then_is_not(plain, tmp_path, config, size):
    folder = tmp_path / "disk"
    folder.mkdir()
    script = SMALL_DISK.format(
        size=size, folder=folder, python=sys.executable, config=config, copy=tmp_path / "b.h5"
    )
    if shutil.which("unshare") is None:
        pytest.skip("a disk of its own needs unshare")
    ended = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", script],
        capture_output=True, text=True, check=False, timeout=300, env=tiny.environment(),
    )  # fmt: skip
    if ended.returncode == 97 or "unshare failed" in ended.stderr:
        pytest.skip(f"no disk of its own may be mounted here: {ended.stderr.strip()}")
    first, receipts, temporaries, second, *left = ended.stdout.splitlines()
    assert first == "code 1", ended
    assert "Traceback" not in ended.stderr
    assert "(No space left on device)" in ended.stderr
    assert "run the same command again" in ended.stderr
    assert 0 < int(receipts) <= 3
    assert temporaries == "0"
    assert second == "code 0", ended
    assert f"going on: {receipts} of 3 samples were done before" in ended.stderr
    assert set(left) == tiny.with_companions(folder / "a.h5")
    assert tiny.differing(plain, tmp_path / "b.h5") == []


@pytest.mark.parametrize("where", ["in a shard", pytest.param("at the end", marks=pytest.mark.slow)])
def test_a_file_that_may_not_grow(plain, tmp_path, config, where):
    """What HDF5 cannot write must not be tried again when the process ends, which would crash it."""
    limit = 20_000 if where == "in a shard" else plain.stat().st_size - 1
    output = tmp_path / "a.h5"
    ended = subprocess.run(
        [sys.executable, "-m", "spinlock", "generate", "--config", config, "--output", output],
        capture_output=True, text=True, check=False, timeout=300, env=tiny.environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert is_refused(ended, "File too large"), ended
    assert len(list((tmp_path / "a.h5.parts" / "receipts").iterdir())) == (3 if where == "at the end" else 0)
    assert tiny.temporaries(tmp_path) == []
    tiny.generate(output, tiny.PLAIN)
    assert tiny.differing(plain, output) == []


class After(Silent):
    """Does something to the disk when so many samples are computed."""

    def __init__(self, count: int, act: Callable[[], None]) -> None:
        self.count, self.act = count, act

    def advance(self) -> None:
        self.count -= 1
        if self.count == 0:
            self.act()


@contextmanager
def read_only(folder: Path, act: list[Callable[[], None]]) -> Iterator[None]:
    """Make a folder read-only when ``act`` is called; writable again at the end."""
    if os.geteuid():
        act.append(lambda: folder.chmod(0o555))
        back = lambda: folder.chmod(0o755)  # noqa: E731
    else:
        tried = shutil.which("chattr") and subprocess.run(
            ["chattr", "+i", folder.parent], capture_output=True, check=False
        )
        if not tried or tried.returncode:
            pytest.skip("root ignores modes, and this file system has no immutable folders")
        subprocess.run(["chattr", "-i", folder.parent], check=True)
        act.append(lambda: subprocess.run(["chattr", "+i", folder], check=True) and None)
        back = lambda: subprocess.run(["chattr", "-i", folder], check=True)  # noqa: E731
    try:
        yield
    finally:
        back()


def generate(output: Path, progress: Silent) -> None:
    with tiny.unchecked_shapes():
        DatasetGenerationPipeline(tiny.config_of(output, tiny.PLAIN)).generate(progress)


@pytest.mark.parametrize("name", ["shards", "receipts"])
def test_a_folder_made_read_only_under_a_run(plain, tmp_path, name):
    output, act = tmp_path / "a.h5", []
    folder = tmp_path / "a.h5.parts" / name
    folder.parent.mkdir()
    with read_only(folder, act):
        with pytest.raises(StorageError, match=TOLD) as told:
            generate(output, After(2, act[0]))
        assert str(folder) in str(told.value)
        assert "(Operation not permitted)" in str(told.value) or "(Permission denied)" in str(told.value)
        assert len(list((folder.parent / "receipts").glob("*.json"))) == 1
        assert not output.exists()
    tiny.generate(output, tiny.PLAIN)
    assert tiny.differing(plain, output) == []
    assert not folder.parent.exists()


REMOVED = {
    "shards/part-000000.h5": "lacks 1 shard, the first is 0; run the same command again",
    "receipts/part-000001.json": "lacks 1 shard, the first is 1; run the same command again",
    "plan.json": "",
    "lock": "",
    "shards": r"part-000002\.h5 cannot be written \(No such file or directory\)",
    ".": r"part-000002\.h5 cannot be written \(No such file or directory\)",
    "..": r"part-000002\.h5 cannot be written \(No such file or directory\)",
}
"""What is removed under a run, and what the run says; nothing where it ends well all the same."""


@pytest.mark.parametrize("name", REMOVED)
def test_what_is_removed_under_a_run_is_named_and_made_again(plain, tmp_path, name):
    output = tmp_path / "folder" / "a.h5"
    victim = Path(os.path.normpath(tmp_path / "folder" / "a.h5.parts" / name))

    def remove() -> None:
        assert victim.exists()
        shutil.rmtree(victim) if victim.is_dir() else victim.unlink()

    if REMOVED[name]:
        with pytest.raises(StorageError, match=REMOVED[name]) as told:
            generate(output, After(3, remove))
        assert "run the same command again" in str(told.value)
        assert not output.exists()
        tiny.generate(output, tiny.PLAIN)
    else:
        generate(output, After(3, remove))
    assert tiny.differing(plain, output) == []
    assert not output.with_name("a.h5.parts").exists()


def test_an_output_whose_place_is_taken_under_the_run_is_named(plain, tmp_path):
    output = tmp_path / "a.h5"
    with pytest.raises(StorageError, match=r"a\.h5 cannot be written \(Is a directory\)"):
        generate(output, After(3, output.mkdir))
    assert tiny.temporaries(tmp_path) == []
    output.rmdir()
    tiny.generate(output, tiny.PLAIN)
    assert tiny.differing(plain, output) == []


@pytest.mark.parametrize("victim", ["parts", "dataset", "other dataset"])
def test_what_is_removed_under_an_extraction(plain, tmp_path, victim):
    dataset = Path(shutil.copy(plain, tmp_path / "a.h5"))
    work = tmp_path / "a.h5.features.parts"

    def act() -> None:
        if victim == "parts":
            shutil.rmtree(work)
        else:
            dataset.unlink()
        if victim == "other dataset":
            dataset.write_text("a diary")

    said = TOLD if victim == "parts" else "was replaced while its features were computed; nothing was changed"
    with pytest.raises(StorageError, match=said), tiny.unchecked_shapes():
        FeatureExtractionPipeline(dataset, batch_size=1).extract(After(2, act))
    assert tiny.temporaries(tmp_path) == []
    if victim == "other dataset":
        assert dataset.read_text() == "a diary"
    if victim != "parts":
        assert dataset.exists() == (victim == "other dataset")
        shutil.copy(plain, dataset)
    with tiny.unchecked_shapes():
        summary = FeatureExtractionPipeline(dataset).extract()
    assert summary.extracted == 3
    assert not work.exists()


ABANDONED = """
import json, sys
from pathlib import Path
import h5py
from spinlock.errors import StorageError
from spinlock.storage.shards import writing
from spinlock.storage.tree import create_file

path = Path(sys.argv[1])
def held():
    return h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)

said = []
if sys.argv[2] == "writing":
    try:
        with writing(path, lambda: create_file(path)) as file:
            for k in range(200):
                file.create_group(f"group {k}")
    except StorageError as error:
        said.append(str(error))
else:
    file = create_file(path)
    for k in range(200):
        file.create_group(f"group {k}")
    try:
        file.close()
    except RuntimeError as error:
        said.append(str(error))
print(json.dumps([held(), len(said)]), flush=True)
"""


def filling_up(folder: Path) -> dict[str, str]:
    """The environment of a process for which the disk is full from the sixth change of a file on."""
    faults.write_page(folder / "page", 6, "fail from", errno.ENOSPC)
    return {
        "LD_PRELOAD": str(faults.compiled(folder)),
        "FAULTS_PAGE": str(folder / "page"),
        "FAULTS_BELOW": str(folder),
        "FAULTS_LOG": str(folder / "log"),
    }


def test_a_file_that_cannot_be_written_is_not_kept_by_the_library(tmp_path):
    ended = tiny.python("-c", ABANDONED, tmp_path / "a.h5", "writing", env=filling_up(tmp_path))
    assert (ended.returncode, json.loads(ended.stdout)) == (0, [0, 1]), ended.stderr


def test_a_file_that_is_only_closed_is_kept_by_the_library(tmp_path):
    """The control: HDF5 closes the descriptor, keeps the file and would try again later."""
    ended = tiny.python("-c", ABANDONED, tmp_path / "a.h5", "close", env=filling_up(tmp_path))
    with suppress(json.JSONDecodeError):
        assert json.loads(ended.stdout) == [1, 1]
