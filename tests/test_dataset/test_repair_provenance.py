"""Where kept rows were computed is believed where the sealed digest proves it, or this machine agrees."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from spinlock.dataset import open_dataset
from spinlock.dataset.statements import ENVIRONMENT, environments_of, timings_of
from spinlock.dataset.validate import validate
from spinlock.errors import UsageError
from spinlock.execution.environment import numerical_environment
from spinlock.storage.digest import seal
from test_dataset.repairs import copy, edited, made, repair, sound, told

pytestmark = pytest.mark.usefixtures("few_shards")

__all__ = ["copy", "made", "sound", "told"]


CHECKSUMS = "metadata/checksums"

UNPROVEN = {
    "no environment": {"environments": []},
    "one that lacks keys": {"environments": [{"device": "cpu"}]},
    "one with more keys": {"environments": [dict.fromkeys([*sorted(ENVIRONMENT), "more"], "x")]},
    "one of numbers": {"environments": [dict.fromkeys(sorted(ENVIRONMENT), 1)]},
    "a foreign one": {"environments": [dict.fromkeys(sorted(ENVIRONMENT), "EVIL64")]},
    "no timings": {"timings": [1.0]},
}


def provenance_of(path: Path) -> dict:
    with open_dataset(path) as dataset:
        return json.loads(dataset.attributes["provenance"])


def state(path: Path, provenance: dict, *, sealed: bool = False) -> None:
    """Let a file say that; its checksums are right afterwards if it is sealed anew."""

    def change(file):
        file["metadata"].attrs["provenance"] = np.bytes_(json.dumps(provenance))
        if sealed:
            seal(file)

    edited(path, change)
    assert bool(validate(path).failures) != sealed


def elsewhere(path: Path, *environments: dict[str, str]) -> None:
    """Let a sealed file say that it was made on other machines."""
    provenance = provenance_of(path)
    here = provenance["environments"][0]
    state(path, provenance | {"environments": [here | changes for changes in environments]}, sealed=True)


def lose_row_checksum(path: Path) -> None:
    """Damage what proves rows, and no row."""
    edited(path, lambda f: f[f"{CHECKSUMS}/rows"].__setitem__(6, 7))


def test_rows_made_elsewhere_are_mixed_with_new_ones_only_if_asked(sound, copy, made):
    elsewhere(copy, {"instruction_set": "AVX9"})
    damaged = copy.read_bytes()
    with open_dataset(sound) as dataset:
        (here,) = json.loads(dataset.attributes["provenance"])["environments"]
    tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 0))
    with pytest.raises(
        UsageError, match=r"would mix environments.*AVX9.*make all of it again here with --force"
    ):
        repair(copy)
    assert made == []
    assert not list(copy.parent.glob("*.parts/shards/*"))
    repair(copy, allow_mixed=True)
    assert made == [0]
    with open_dataset(copy) as dataset:
        known = json.loads(dataset.attributes["provenance"])["environments"]
    assert known == sorted([here, here | {"instruction_set": "AVX9"}], key=lambda one: sorted(one.items()))
    assert tiny.differing(sound, copy) == []
    assert damaged != copy.read_bytes()


def test_damage_outside_all_rows_mixes_nothing(sound, copy, made):
    elsewhere(copy, {"instruction_set": "AVX9"})
    lose_row_checksum(copy)
    repair(copy)
    assert made == []
    assert tiny.differing(sound, copy) == []
    assert validate(copy).failures == []
    assert [one["instruction_set"] for one in provenance_of(copy)["environments"]] == ["AVX9"]


def test_a_dataset_that_mixed_machines_says_so_afterwards(sound, copy, made):
    elsewhere(copy, {"instruction_set": "AVX9"}, {"instruction_set": "AVX8"})
    lose_row_checksum(copy)
    repair(copy)
    with open_dataset(copy) as dataset:
        (known,) = json.loads(dataset.attributes["provenance"])["environments"]
        assert not dataset.same_environment
    assert known["instruction_set"] == "AVX8 and AVX9"


def test_rows_of_an_unknown_place_are_kept_only_if_asked(sound, copy, made):
    edited(copy, lambda f: f["metadata"].attrs.__delitem__("provenance"))
    tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 6))
    repair(copy, allow_mixed=True)
    assert made == [1]
    assert tiny.differing(sound, copy) == []
    with open_dataset(copy) as dataset:
        environments = json.loads(dataset.attributes["provenance"])["environments"]
    assert {"unknown"} in [set(one.values()) for one in environments]


def test_what_the_samples_took_is_kept_with_them(copy):
    before = provenance_of(copy)["timings"]
    lose_row_checksum(copy)
    repair(copy)
    after = provenance_of(copy)["timings"]
    assert after.keys() == before.keys()
    assert all(abs(after[stage] - before[stage]) <= 0.002 for stage in before)


def test_a_changed_letter_is_not_believed(sound, copy, made, told):
    provenance = provenance_of(copy)
    (here,) = provenance["environments"]
    state(copy, provenance | {"environments": [here | {"device_model": "EVIL64"}]})
    repair(copy)
    assert sorted(made) == [0, 1, 2]
    assert "does not say any more where its samples were computed" in told()
    assert provenance_of(copy)["environments"] == [here]
    assert tiny.differing(sound, copy) == []


@pytest.mark.parametrize("name", UNPROVEN)
@pytest.mark.slow
def test_no_malformed_statement_is_believed(sound, copy, made, name):
    state(copy, provenance_of(copy) | UNPROVEN[name])
    repair(copy, allow_mixed=True)
    assert made == []
    assert tiny.differing(sound, copy) == []
    assert validate(copy).failures == []
    (known,) = provenance_of(copy)["environments"]
    here = numerical_environment(torch.device("cpu"))
    assert known == (here if name == "no timings" else dict.fromkeys(sorted(ENVIRONMENT), "unknown"))


@pytest.mark.parametrize("seconds", [-1e300, math.nan, math.inf, 1.0])
def test_times_that_nothing_proves_are_dropped(sound, copy, made, seconds):
    provenance = provenance_of(copy)
    state(copy, provenance | {"timings": dict.fromkeys(provenance["timings"], seconds)})
    repair(copy)
    assert made == []
    assert provenance_of(copy)["timings"] == {}
    assert provenance_of(copy)["environments"] == provenance["environments"]
    assert tiny.differing(sound, copy) == []


def test_a_statement_about_an_environment_has_its_keys_and_texts():
    here = numerical_environment(torch.device("cpu"))
    assert here.keys() == ENVIRONMENT
    assert environments_of([here]) == [here]
    for wrong in (
        [],
        {},
        None,
        "cpu",
        [here, {}],
        [{"dev": "cpu"}],
        [here | {"torch": 2}],
        [here | {"x": "y"}],
    ):
        with pytest.raises(ValueError, match="names no environments"):
            environments_of(wrong)


def test_a_statement_about_times_has_seconds():
    assert timings_of({"rollout": 1, "encoding": 0.0}) == {"rollout": 1.0, "encoding": 0.0}
    for wrong in (None, [1.0], {"a": -1e300}, {"a": math.nan}, {"a": math.inf}, {"a": "1"}, {"a": True}):
        with pytest.raises(ValueError, match="timings that are no seconds"):
            timings_of(wrong)
