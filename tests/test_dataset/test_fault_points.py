"""A run killed at any change it makes on the disk goes on to the same arrays, and leaves nothing behind.

Between two changes the disk is the same, so a kill before each of them is a kill at every moment.
"""

import random
import re

import pytest

import faults
from test_dataset.scenes import Scene

COMPANIONS = ("a.h5.card.md", "a.h5.croissant.json")

COMMITTED = ("open {}.tmp", "write {}.tmp", "close {}.tmp", "fsync {}.tmp", "rename {}")

GENERATED = {
    "mkdir a.h5.parts", "open a.h5.parts/lock", "mkdir a.h5.parts/shards", "mkdir a.h5.parts/receipts",
    "fsync a.h5.parts", "fsync a.h5.parts/shards", "fsync a.h5.parts/receipts", "fsync .",
    "rmdir a.h5.parts/shards", "rmdir a.h5.parts/receipts", "unlink a.h5.parts/plan.json",
    "unlink a.h5.parts/lock", "rmdir a.h5.parts",
    *(f"unlink a.h5.parts/{name}" for name in ("shards/part-000001.h5", "receipts/part-000001.json")),
    *(
        step.format(name)
        for step in COMMITTED
        for name in ("a.h5", *COMPANIONS, "a.h5.parts/plan.json", "a.h5.parts/shards/part-000000.h5",
                     "a.h5.parts/shards/part-000001.h5", "a.h5.parts/receipts/part-000000.json",
                     "a.h5.parts/receipts/part-000001.json")
    ),
}  # fmt: skip
"""What an undisturbed run does, among other things."""

EXTRACTED = {
    "mkdir a.h5.features.parts", "open a.h5.features.parts/lock", "mkdir a.h5.features.parts/part-N",
    "fsync a.h5.features.parts/part-N", "fsync a.h5.features.parts", "fsync .",
    "unlink a.h5.features.parts/part-N/N-N.npz", "rmdir a.h5.features.parts/part-N",
    "unlink a.h5.features.parts/finished.json", "unlink a.h5.features.parts/lock",
    "rmdir a.h5.features.parts",
    *(
        step.format(name)
        for step in COMMITTED
        for name in ("a.h5", *COMPANIONS, "a.h5.features.parts/finished.json",
                     "a.h5.features.parts/part-N/N-N.npz")
    ),
}  # fmt: skip


def numberless(said: str) -> str:
    return re.sub(r"part-[0-9a-f]{16}|\d{10}", lambda m: "part-N" if m[0][0] == "p" else "N", said)


SCENES = ("generating", "replacing", "extracting")


@pytest.mark.parametrize(("scene", "steps"), [("generating", GENERATED), ("extracting", EXTRACTED)])
def test_the_changes_that_are_counted_are_those_of_the_protocol(request, scene, steps):
    said = {numberless(event.said) if scene == "extracting" else event.said
            for event in request.getfixturevalue(scene).undisturbed.events}  # fmt: skip
    assert steps <= said
    assert {op for op, _, _ in (step.partition(" ") for step in said)} == {
        "mkdir", "open", "write", "truncate", "close", "fsync", "rename", "unlink", "rmdir",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "stride"), [("generating", 6), ("extracting", 9)])
def test_a_kill_at_a_kind_of_change_loses_nothing(request, name, stride):
    scene = request.getfixturevalue(name)
    for event in scene.kinds[::stride]:
        scene.kill_at(event)


def from_the_final_file_on(scene: Scene) -> list[faults.Event]:
    """The kinds of changes from the first on that is made to the final file; those before are known."""
    first = next(event.number for event in scene.undisturbed.events if event.said == "open a.h5.tmp")
    return [event for event in scene.kinds if event.number >= first]


def test_a_kill_as_another_dataset_is_replaced_leaves_the_old_or_the_new(replacing):
    for said in ("rename a.h5", "fsync ."):
        replacing.kill_at([event for event in replacing.undisturbed.events if event.said == said][-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_a_kill_at_every_kind_of_change_loses_nothing(request, name):
    scene = request.getfixturevalue(name)
    for event in from_the_final_file_on(scene) if name == "replacing" else scene.kinds:
        scene.kill_at(event)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_a_kill_at_any_moment_or_within_a_write_loses_nothing(request, seed):
    choose = random.Random(seed)
    scene = request.getfixturevalue(choose.choice(SCENES))
    event = choose.choice(scene.undisturbed.events)
    scene.kill_at(event, "tear" if event.op == "write" else "kill")


def test_a_write_torn_in_its_middle_loses_nothing(generating):
    writes = [event for event in generating.kinds if event.op == "write"]
    for event in random.Random(0).sample(writes, 1):
        generating.kill_at(event, "tear")


def test_a_kill_that_never_comes_is_noticed(generating):
    """The control: an event beyond the last one kills nobody."""
    beyond = faults.Event(10**6, "write", "nothing")
    with pytest.raises(AssertionError, match="nothing"):
        generating.kill_at(beyond)
