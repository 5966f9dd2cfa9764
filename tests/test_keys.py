"""Keyed randomness: the published vectors, what each number depends on, limits, and distribution.

``PYTHONPATH=src python tests/test_keys.py`` writes tests/golden/keys.json anew. That file fixes the data
format: after a change of it no stored dataset can be replayed, so it changes with the format's version only.
"""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from spinlock.errors import UsageError
from spinlock.keys import (
    MASK,
    MAX_INDEX,
    Key,
    Purpose,
    check_counter,
    check_sites,
    philox4x32,
    site_number,
    uniforms,
    words,
)
from spinlock.numerics.random import normals_from_words, random_words, uniforms_from_words

GOLDEN = Path(__file__).parent / "golden" / "keys.json"

# Random123 1.09, kat_vectors, philox4x32 10
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((MASK,) * 4, (MASK,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]

BASE: dict[str, Any] = {
    "seed": 42,
    "domain": "",
    "purpose": Purpose.NOISE,
    "index": 7,
    "site": 3,
    "step": 11,
    "realization": 5,
}
OTHER: dict[str, list[Any]] = {
    "seed": [0, 43, 42 + 2**32, 2**64 - 1],
    "domain": ["turing_pattern", "turing_patterns", "mixed/turing_pattern"],
    "purpose": [p for p in Purpose if p is not Purpose.NOISE],
    "index": [0, 8, 7 + 2**16, 2**32 - 1],
    "site": [0, 4, 2**16 - 1],
    "step": [0, 12, 2**16 - 1],
    "realization": [0, 6, 2**16 - 1],
}


def drawn(count: int, **changed: Any) -> np.ndarray:
    at = BASE | changed
    key = Key(at["seed"], at["domain"])
    places = {name: at[name] for name in ("site", "step", "realization")}
    return words(key, at["purpose"], [at["index"]], count, **places)[0]


def blocks_of(values: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(block) for block in values.reshape(-1, 4).tolist()]


# --- the bijection ---


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
@pytest.mark.parametrize("array", [lambda v: np.array([v], dtype=np.int64), lambda v: torch.tensor([v])])
def test_random123_known_answers(counter, key, expected, array):
    output = philox4x32(tuple(array(word) for word in counter), key)
    assert tuple(int(word[0]) for word in output) == expected


def test_fewer_rounds_do_not_give_the_known_answers():
    for rounds in range(10):
        output = philox4x32(tuple(np.zeros(1, dtype=np.int64) for _ in range(4)), (0, 0), rounds)
        assert tuple(int(word[0]) for word in output) != VECTORS[0][2]


def test_numpy_and_torch_give_the_same_32_bit_words():
    edges = np.array([0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1], dtype=np.int64)
    counter = tuple(axis.ravel() for axis in np.meshgrid(edges, edges, edges, edges))
    for key in [(0, 0), (MASK, 1), (0x9E3779B9, MASK)]:
        ours = philox4x32(counter, key)
        theirs = philox4x32(tuple(torch.from_numpy(word) for word in counter), key)
        for a, b in zip(ours, theirs, strict=True):
            assert np.array_equal(a, b.numpy())
            assert a.min() >= 0
            assert a.max() <= MASK


def test_a_bit_of_any_counter_word_changes_half_of_the_output_bits():
    counter = tuple(words(Key(1), Purpose.PROBE, range(500), 4).T)
    before = np.stack(philox4x32(counter, (1, 2)))
    for word, bit in itertools.product(range(4), (0, 1, 15, 16, 31)):
        changed = tuple(value ^ ((1 << bit) if w == word else 0) for w, value in enumerate(counter))
        flipped = np.bitwise_count(before ^ np.stack(philox4x32(changed, (1, 2)))).sum()
        # 64,000 bits: the standard deviation of the share is 0.002
        assert flipped / 64_000 == pytest.approx(0.5, abs=0.01)


# --- what a number depends on ---


@pytest.mark.parametrize("coordinate", OTHER)
def test_each_coordinate_matters(coordinate):
    seen = [drawn(64)] + [drawn(64, **{coordinate: value}) for value in OTHER[coordinate]]
    for a, b in itertools.combinations(seen, 2):
        assert not np.any(a == b), "two streams agree in a word at the same place"


def test_no_two_distinct_coordinates_share_a_block():
    names = list(OTHER)
    pairs = itertools.product(*([BASE[name], OTHER[name][0], OTHER[name][-1]] for name in names))
    streams = [drawn(8, **dict(zip(names, values, strict=True))) for values in pairs]
    blocks = [block for stream in streams for block in blocks_of(stream)]
    assert len(blocks) == 2 * 3 ** len(names)
    assert len(set(blocks)) == len(blocks)


def test_rows_are_functions_of_their_own_index():
    indices = np.array([5, 0, 2**32 - 1, 5, 77, 1])
    batch = words(Key(3, "a"), Purpose.CHOICE, indices, 13, site=2, step=9, realization=1)
    for row, index in zip(batch, indices, strict=True):
        alone = words(Key(3, "a"), Purpose.CHOICE, [index], 13, site=2, step=9, realization=1)
        assert np.array_equal(alone[0], row)
    order = np.array([3, 5, 1, 0, 4, 2])
    shuffled = words(Key(3, "a"), Purpose.CHOICE, indices[order], 13, site=2, step=9, realization=1)
    assert np.array_equal(shuffled, batch[order])


def test_longer_arrays_begin_with_shorter_ones():
    longest = drawn(41)
    for count in range(1, 41):
        assert np.array_equal(drawn(count), longest[:count])


def test_a_coordinate_that_is_not_named_is_zero():
    zeros = {"site": 0, "step": 0, "realization": 0}
    for draw in (words, uniforms):
        unnamed = draw(Key(3), Purpose.CHOICE, [5, 6], 9)
        assert np.array_equal(unnamed, draw(Key(3), Purpose.CHOICE, [5, 6], 9, **zeros))
        for name in zeros:
            assert not np.array_equal(unnamed, draw(Key(3), Purpose.CHOICE, [5, 6], 9, **zeros | {name: 1}))


def test_element_e_is_word_e_mod_4_of_block_e_div_4():
    counter = tuple(np.array([c], dtype=np.int64) for c in (2, 11 << 16 | 3, 7, 5 << 16 | Purpose.NOISE))
    block = [int(word[0]) for word in philox4x32(counter, (42, 0))]
    assert drawn(12)[8:].tolist() == block


def test_domains_nest_and_the_empty_one_is_the_root():
    assert Key(5).words == (5, 0)
    assert Key(5 + (9 << 32)).words == (5, 9)
    assert Key(5).within("mixed").within("structured") == Key(5, "mixed/structured")
    names = [f"{a}{b}" for a in "abcdefgh" for b in range(200)]
    assert len({Key(5, name).words for name in names}) == len(names)


def test_uniforms_are_exact_midpoints_inside_the_interval():
    at = {"site": 1, "step": 2, "realization": 3}
    drawn_words = words(Key(8), Purpose.CHOICE, range(50), 9, **at)
    drawn_uniforms = uniforms(Key(8), Purpose.CHOICE, range(50), 9, **at)
    assert drawn_uniforms.dtype == np.float64
    assert np.array_equal(drawn_uniforms * 2**32 - 0.5, drawn_words)
    assert (MASK + 0.5) * 2.0**-32 < 1


# --- limits and sites ---


@pytest.mark.parametrize(
    ("coordinate", "limit"), [("index", 2**32), ("step", 2**16), ("site", 2**16), ("realization", 2**16)]
)
def test_a_coordinate_beyond_its_place_is_an_error(coordinate, limit):
    check_counter(**{coordinate: limit - 1})
    drawn(4, **{coordinate: limit - 1})
    for value in (limit, -1):
        with pytest.raises(UsageError, match=rf"{coordinate} {value} is out of range.*\[0, {limit}\)"):
            check_counter(**{coordinate: value})
        with pytest.raises(UsageError, match="out of range"):
            drawn(4, **{coordinate: value})


def test_one_index_beyond_the_limit_among_many_is_found():
    with pytest.raises(UsageError, match=str(MAX_INDEX)):
        words(Key(0), Purpose.NOISE, [0, MAX_INDEX, 1], 4)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_beyond_64_bits_is_an_error(seed):
    with pytest.raises(UsageError, match=f"seed {seed} is out of range"):
        Key(seed)


def test_sites_have_fixed_numbers_and_a_shared_one_is_refused():
    assert site_number("123456789") == 0xCBF43926 & 0xFFFF  # the published check value of CRC-32
    first: dict[int, str] = {}
    for name in (f"site{k}" for k in itertools.count()):
        if (twin := first.setdefault(site_number(name), name)) != name:
            break
    assert check_sites("part", [name, "phases"]) == {name: site_number(name), "phases": site_number("phases")}
    with pytest.raises(ValueError, match=f"part: sites '{twin}' and '{name}' share the number"):
        check_sites("part", [twin, "phases", name])


# --- distribution ---


def test_three_million_uniforms_are_uniform():
    sample = uniforms(Key(2025), Purpose.CHOICE, range(3000), 1000).ravel()
    assert kstest(sample, "uniform").statistic * math.sqrt(len(sample)) < 1.63  # the 99 % quantile
    assert sample.mean() == pytest.approx(0.5, abs=4 / math.sqrt(12 * len(sample)))
    assert sample.var() == pytest.approx(1 / 12, abs=4 * math.sqrt(1 / 180 / len(sample)))


def test_every_bit_is_balanced():
    sample = words(Key(2026), Purpose.NOISE, range(1000), 400).ravel()
    shares = np.array([(sample >> bit & 1).mean() for bit in range(32)])
    assert np.abs(shares - 0.5).max() < 4.5 * 0.5 / math.sqrt(len(sample))


@pytest.mark.parametrize("coordinate", OTHER)
def test_neighbouring_coordinates_are_uncorrelated(coordinate):
    base = drawn(100_000) / 2.0**32
    for value in OTHER[coordinate]:
        near = drawn(100_000, **{coordinate: value}) / 2.0**32
        assert abs(np.corrcoef(base, near)[0, 1]) < 4.5 / math.sqrt(100_000)


def test_neighbouring_elements_and_indices_are_uncorrelated():
    sample = words(Key(9), Purpose.NOISE, range(300), 400) / 2.0**32
    for a, b in [(sample[:, lag:], sample[:, :-lag]) for lag in (1, 2, 3, 4)] + [(sample[1:], sample[:-1])]:
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4.5 / math.sqrt(a.size)


# --- golden numbers ---

PLACES = [
    ("", Purpose.WEIGHTS, 0, 0, 0, 0),
    ("", Purpose.NOISE, 1, 2, 3, 4),
    ("turing_pattern", Purpose.INITIAL_CONDITION, 2**32 - 1, 2**16 - 1, 2**16 - 1, 2**16 - 1),
    ("mixed/structured", Purpose.CHOICE, 123_456, 0, 77, 1),
]


def golden_numbers() -> list[dict[str, Any]]:
    """Numbers at a few coordinates: integers, and floats as hexadecimal text."""
    records = []
    for seed, place in itertools.product((0, 42, 2**64 - 1), PLACES):
        domain, purpose, index, step, site, realization = place
        key = Key(seed, domain)
        at = {"step": step, "site": site, "realization": realization}
        drawn_words = random_words(
            key, purpose, 8, samples=index, steps=step, site=site, realizations=realization
        )
        records.append(
            {"seed": seed, "domain": domain, "purpose": int(purpose), "index": index}
            | at
            | {
                "words": words(key, purpose, [index], 8, **at)[0].tolist(),
                "uniforms64": [u.hex() for u in uniforms(key, purpose, [index], 8, **at)[0].tolist()],
                "uniforms32": [u.hex() for u in uniforms_from_words(drawn_words, 8)[0].tolist()],
                "normals32": [x.hex() for x in normals_from_words(drawn_words, 8)[0].tolist()],
            }
        )
    return records


def test_numbers_are_those_of_the_first_version():
    stored = json.loads(GOLDEN.read_text())
    for old, new in zip(stored, golden_numbers(), strict=True):
        old_normals, new_normals = (
            np.array([float.fromhex(x) for x in record.pop("normals32")], dtype=np.float32)
            for record in (old, new)
        )
        assert new == old
        assert np.all(np.abs(old_normals - new_normals) <= 4 * np.spacing(np.abs(old_normals)))


def test_purposes_have_the_numbers_of_the_first_version():
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "WEIGHTS": 1,
        "INITIAL_CONDITION": 2,
        "NOISE": 3,
        "DROPOUT": 4,
        "CHOICE": 5,
        "TWIN": 6,
        "SCRAMBLING": 7,
        "PROBE": 8,
    }


def test_no_samples_and_no_elements_are_empty_arrays():
    assert words(Key(0), Purpose.NOISE, [], 5).shape == (0, 5)
    assert words(Key(0), Purpose.NOISE, [1, 2], 0).shape == (2, 0)


def test_what_is_no_integer_or_too_much_is_refused():
    with pytest.raises(UsageError, match="integers, not float64"):
        words(Key(0), Purpose.NOISE, [1.5], 4)
    with pytest.raises(UsageError, match="elements"):
        words(Key(0), Purpose.NOISE, [1], 2**34 + 1)


def test_a_domain_is_hashed_together_with_the_seed():
    one, other = Key(5, "a").words, Key(5, "b").words
    mask = (one[0] ^ other[0]) | (one[1] ^ other[1]) << 32
    assert Key(5 ^ mask, "a").words != other


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden_numbers(), indent=1) + "\n")
