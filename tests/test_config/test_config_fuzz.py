"""Whatever is written in a configuration: it is refused as one, or it loads and can be planned."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.config import load_config
from spinlock.config.load import validated
from spinlock.config.yaml_source import Source
from spinlock.errors import ConfigError
from spinlock.execution import make_plan
from test_config.config_texts import TEXT, VALUES, changed

WORDS = (
    "\n| |: |:|- |[|]|{|}|&a |*a|!!set |'|\"|? |---\n|%|@|\t|null|true|1e999|.nan|-1|é|<<: |#|1:2:3|~|=|,|9e"
)
SNIPPETS = (
    *WORDS.split("|"),
    "|",
    "\x00",
    "\ud7ff",
    "\ud800",
    "\\ud800",
    "9" * 5000,
    "0x" + "f" * 5000,
    "[" * 99,
)

NUMBERS = (0, 1, 3, -1, 2**64, 10**30, 10**300, 0.5, 1e308, float("nan"), float("inf"))
SCALARS = (None, True, False, "", " ", "auto", "none", "cuda:1", "x" * 200, "\x00.h5", *NUMBERS)
LISTS = ([], [1], [1, 2], [2, 1], [0.5, 0.5], ["a", "a"], [None], [[]], [1.0, 2], [10**400, 1])
SECTIONS = (
    {},
    {"a": 1},
    {"type": "choice"},
    {"every": 1},
    {"type": "choice", "choices": [1, True, 1.0]},
    {"type": "boolean"},
    {"type": "integer", "bounds": [1, 10**300]},
    {"type": "continuous", "bounds": [1, 10**400]},
)


def told(error):
    """Whether a refusal speaks of the configuration, and not of the library that checks it."""
    return not re.search(r"pydantic|[Ii]nput should|<class|Traceback", str(error))


def outcome(load, name):
    """Return a configuration that can be planned, or None where it is refused with a message."""
    try:
        config = load()
    except ConfigError as error:
        return None if str(error).startswith(name) and told(error) else str(error)
    plan = make_plan(config)
    assert plan.layout.samples == config.sampling.total_samples
    assert next(plan.draws(0, 1)).index == 0
    return None


@st.composite
def mutated_texts(draw):
    """Draw the text with a few passages cut out, doubled or replaced."""
    text = TEXT
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        middles = st.sampled_from((*SNIPPETS, "", text[start:end] * 2)) | st.text(max_size=3)
        text = text[:start] + draw(middles) + text[end:]
    return text


@settings(max_examples=250)
@given(mutated_texts())
def test_mutated_text_is_refused_or_valid(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert outcome(lambda: load_config(file), str(file)) is None


def places(values, prefix=()):
    """Yield the location of every value of nested sections and lists."""
    items = (
        values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    )
    for key, value in items:
        yield (*prefix, key)
        yield from places(value, (*prefix, key))


MUTATIONS = st.tuples(
    st.sampled_from(sorted(places(VALUES), key=str)), st.sampled_from((*SCALARS, *LISTS, *SECTIONS))
)


@settings(max_examples=400)
@given(st.lists(MUTATIONS, min_size=1, max_size=3))
def test_odd_values_are_refused_or_valid(mutations):
    values = changed({})
    for location, value in mutations:
        here = values
        try:
            for part in location[:-1]:
                here = here[part]
            here[location[-1]] = value
        except (TypeError, KeyError, IndexError):
            continue  # an earlier mutation took the place away
    assert outcome(lambda: validated(Source("values", values)), "values: ") is None


def test_both_outcomes_are_met():
    """The control: the text itself loads, and one letter more does not."""
    assert outcome(lambda: validated(Source("values", VALUES)), "values: ") is None
    assert outcome(lambda: validated(Source("values", changed({"sampling.x": 1}))), "other: ") is not None
