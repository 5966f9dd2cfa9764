"""A disk that is full or fails at any call: one message, exit 1, nothing is lost, the next run goes on."""

import errno
import os
import random

import pytest

import faults
import tiny
from spinlock.execution.plan import make_plan
from spinlock.storage import read_receipts
from test_dataset.scenes import SETTINGS, Scene

HARMLESS = ("unlink", "rmdir")
"""Changes after which, failed, a run may end well all the same: what they remove is swept up later."""


UNDESCRIBED = "is complete, but not all that describes it is written beside it ("


def committed(scene: Scene) -> set[int]:
    """The shards whose receipts stand, read back."""
    digest = make_plan(tiny.config_of(scene.folder.with_name("plan") / "a.h5", SETTINGS)).digest
    return set(read_receipts(scene.folder / "a.h5.parts", digest, deep=True).valid)


def is_told(ended: faults.Ended, reason: str, command: str) -> bool:
    """Whether a run said what is wrong, where, why, and what to do, in one line and nothing else."""
    lines = [line for line in ended.err.splitlines() if not line.startswith("warning: ")]
    return (
        len(lines) == 1
        and lines[0].startswith(f"spinlock {command}: ")
        and "/a.h5" in lines[0]
        and f"({reason})" in lines[0]
        and "run the same command again" in lines[0]
    )


def fail_at(scene: Scene, event: faults.Event, mode: str, number: int) -> None:
    scene.set_up()
    ended = scene.lab.run(*scene.words, below=scene.folder, at=event.number, mode=mode, error=number)
    said = (event, ended.code, ended.err)
    assert "Traceback" not in ended.err, said
    command = str(scene.words[0])
    if ended.code == 0:
        assert scene.is_made(), said
        left = scene.names() - tiny.with_companions(scene.output)
        assert not left or "cannot be removed" in ended.err, said
        if not scene.names() >= tiny.with_companions(scene.output):
            assert UNDESCRIBED in ended.err, said
            if command == "extract-features" and not left:
                return  # a second extraction would be refused; `generate` describes the dataset
    else:
        assert ended.code == 1, said
        assert is_told(ended, os.strerror(number), command), said
        assert scene.is_as_before() or scene.is_made(), said
        assert event.op in HARMLESS or tiny.temporaries(scene.folder) == [], said
    if command == "generate" and not scene.output.exists():
        renamed = [
            other.name for other in scene.undisturbed.events[: event.number - 1] if other.op == "rename"
        ]
        assert len(committed(scene)) >= sum("receipts" in name for name in renamed), said
    if not scene.is_finished():
        scene.goes_on(said)


FAULTS = (("fail", errno.EIO), ("fail from", errno.ENOSPC))


@pytest.mark.parametrize(("mode", "number"), FAULTS)
@pytest.mark.parametrize(("name", "count"), [("generating", 3), ("extracting", 1)])
def test_a_fault_of_the_disk_is_told_and_loses_nothing(request, name, count, mode, number):
    scene = request.getfixturevalue(name)
    for event in random.Random(number).sample(scene.kinds, count):
        fail_at(scene, event, mode, number)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "number"), FAULTS)
@pytest.mark.parametrize("name", ["generating", "extracting"])
def test_a_fault_at_every_second_kind_of_change_is_told_and_loses_nothing(request, name, mode, number):
    scene = request.getfixturevalue(name)
    for event in scene.kinds[FAULTS.index((mode, number)) :: 2]:
        fail_at(scene, event, mode, number)
