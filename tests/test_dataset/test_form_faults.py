"""A `.spin` directory or a Zarr store whose making is killed, or fails, is old, absent or complete."""

import errno
import json
import os
import random

import pytest

import faults
import tiny
from at_once import launching, untold
from spinlock.dataset.validate import validate
from spinlock.storage.companions import SUFFIXES
from test_dataset.form_scenes import FormScene, comparable, scene

FORMS = ("spin", "zarr")
KINDS = ("generating", "replacing", "extracting")


@pytest.fixture(scope="session")
def form_scenes(lab, tmp_path_factory):
    """Gives the scene of a kind and form, each made once."""
    made: dict[tuple[str, str], FormScene] = {}

    def give(kind: str, form: str) -> FormScene:
        if (kind, form) not in made:
            before = None if kind == "generating" else give("generating", form).reference
            made[kind, form] = scene(lab, tmp_path_factory.mktemp(f"{kind}-{form}"), kind, form, before)
        return made[kind, form]

    return give


def late(one: FormScene) -> list[faults.Event]:
    """The events of each kind from the first on that has to do with the final form, not with shards.

    A store is written by several threads, so that two runs count a few events more or less: the last are
    left out.
    """
    final = ("index.h5", f"{one.output.name}.tmp")
    first = next(e.number for e in one.undisturbed.events if any(part in e.name for part in final))
    last = len(one.undisturbed.events) - 8
    return [event for event in one.kinds if first <= event.number <= last]


def last_rename(one: FormScene) -> faults.Event:
    """The rename by which the dataset takes its place: those of what describes it come after."""
    renames = [event for event in one.undisturbed.events if event.op == "rename"]
    return [event for event in renames if not any(suffix in event.name for suffix in SUFFIXES)][-1]


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("replacing", "zarr"),
        pytest.param("replacing", "spin", marks=pytest.mark.slow),
        pytest.param("extracting", "zarr", marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_the_last_rename_leaves_the_old_or_the_new(form_scenes, kind, form):
    one = form_scenes(kind, form)
    one.kill_at(last_rename(one))


@pytest.mark.parametrize("form", FORMS)
def test_a_kill_at_some_change_loses_nothing(form_scenes, form):
    one = form_scenes("generating", form)
    one.kill_at(random.Random(0).choice(late(one)))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_many_kinds_of_change_loses_nothing(form_scenes, kind, form):
    one = form_scenes(kind, form)
    events = late(one)
    after = [event for event in events if event.number >= last_rename(one).number]
    for event in [*random.Random(1).sample(events, min(4, len(events))), *after[:1]]:
        one.kill_at(event)


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_is_told_and_loses_nothing(form_scenes, form):
    one = form_scenes("generating", form)
    events = [event for event in late(one) if event.op in ("write", "open", "mkdir")]
    event = random.Random(2).choice(events[: len(events) // 2])
    one.set_up()
    ended = one.lab.run(*one.words, below=one.folder, at=event.number, mode="fail from", error=errno.ENOSPC)
    said = (event, ended.code, ended.err)
    assert ended.code == 1, said
    assert "Traceback" not in ended.err, said
    assert os.strerror(errno.ENOSPC) in ended.err, said
    assert "run the same command again" in ended.err, said
    assert one.is_as_before(), said
    assert tiny.temporaries(one.folder) == [], said
    one.goes_on(said)


@pytest.mark.parametrize("form", ["spin", pytest.param("zarr", marks=pytest.mark.slow)])
def test_a_file_gives_way_to_a_directory_all_at_once(lab, tmp_path, form):
    file = tmp_path / "stranger"
    file.write_bytes(b"some file")
    one = scene(lab, tmp_path / "run", "replacing", form, file)
    one.kill_at(last_rename(one))


@pytest.mark.parametrize("form", [pytest.param("spin", marks=pytest.mark.slow), "zarr"])
def test_of_three_runs_at_once_each_sample_is_made_once(form_scenes, tmp_path, form):
    one = form_scenes("generating", form)
    config = one.folder.parent / "c.yaml"
    output = tmp_path / f"a.{form}"
    with launching() as launcher:
        command = ("generate", "--config", config, "--output", output, "--json")
        outcomes = launcher.at_once(tmp_path / "told", *[command] * 3)
    assert untold(outcomes, "another process (pid ") == []
    done = [json.loads(outcome.out) for outcome in outcomes if outcome.code == 0]
    assert sum(summary["made"] or 0 for summary in done) == 2
    assert comparable(output) == one.made
    assert validate(output).failures == []
    assert {path.name for path in tmp_path.iterdir()} == {*tiny.with_companions(output), "told"}


def test_the_control_a_kill_that_never_comes_is_noticed(form_scenes):
    with pytest.raises(AssertionError, match="nothing"):
        form_scenes("generating", "zarr").kill_at(faults.Event(10**6, "write", "nothing"))
