"""One mistake in any valid configuration is told with its key, its line and what was meant; no other is."""

import copy
import random
from collections import Counter

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

import tiny
from spinlock.config.load import validated
from spinlock.config.yaml_source import parse_source
from spinlock.errors import ConfigError
from spinlock.testing.configurations import configurations
from test_config.mutations import MUTATIONS, at

UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large]


def valid_configurations(count: int) -> list[dict]:
    """Draw configurations, always the same ones."""
    drawn: list[dict] = []

    @settings(max_examples=count, suppress_health_check=UNHURRIED)
    @given(configurations())
    def collect(values):
        drawn.append(values)

    collect()
    return drawn


def lines_of(text: str) -> dict[tuple, int]:
    """The line of every key and item of YAML text, as the YAML library counts them."""
    found: dict[tuple, int] = {}

    def visit(node: yaml.Node, place: tuple) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, item in node.value:
                found[*place, key.value] = key.start_mark.line + 1
                visit(item, (*place, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                found[*place, number] = item.start_mark.line + 1
                visit(item, (*place, number))

    visit(yaml.compose(text, yaml.SafeLoader), ())
    return found


def written(values: dict) -> str:
    """The values as text, each key and each item on a line of its own."""
    return yaml.safe_dump(values, default_flow_style=False, sort_keys=False, allow_unicode=True, width=10_000)


def load(values: dict) -> None:
    validated(parse_source(written(values), "c.yaml"))


def fault_of(values: dict, name: str, seed: int) -> str:
    """Make the mistake; return what is wrong with how it is told, ``no place`` where none is made."""
    wrong = copy.deepcopy(values)
    expected = MUTATIONS[name](random.Random(seed), wrong)
    if expected is None:
        return "no place"
    place, words = expected
    lines = lines_of(written(wrong))
    line = next((lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in lines), None)
    beginning = f"{f'line {line}: ' if line else ''}{'.'.join(map(str, place))}: "
    try:
        load(wrong)
    except ConfigError as error:
        heading, *told = str(error).splitlines()
        if len(told) != 1 or heading != "c.yaml: 1 error in the configuration":
            return f"told of {beginning}: {error}"
        if not told[0].strip().startswith(beginning):
            return f"told as {told[0]!r}, not of {beginning!r}"
        missing = [word for word in words if word not in told[0]]
        return f"{missing} not in {told[0]!r}" if missing else ""
    return f"accepted: {beginning} {at(wrong, place)!r}"


def check(count: int, seeds: range) -> Counter:
    """Make every mistake in every configuration; return how often each found a place."""
    made: Counter = Counter()
    for values in valid_configurations(count):
        load(values)
        for name in MUTATIONS:
            for seed in seeds:
                fault = fault_of(values, name, seed)
                assert fault in ("", "no place"), f"{name}, {seed}: {fault}"
                made[name] += not fault
    return made


@pytest.fixture(autouse=True)
def unchecked():
    """Checkers of types move Python's generator, which a strategy must leave alone, and take time."""
    with tiny.unchecked_shapes():
        yield


def test_a_mistake_is_told_with_its_key():
    made = check(10, range(1))
    assert set(made) == set(MUTATIONS)
    assert min(made.values()) > 0, made


@pytest.mark.slow
def test_many_mistakes_are_told_with_their_keys():
    made = check(60, range(100, 102))
    assert min(made.values()) >= 5, made
