"""The registry: options read from annotations, values checked, refusals that help, catalogues."""

import math
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from spinlock.errors import OptionError
from spinlock.numerics.noise import noise
from spinlock.operators import families
from spinlock.registry import (
    AnyOf,
    Entry,
    Integer,
    Option,
    Part,
    Real,
    When,
    check_range,
    options_of,
    summary_of,
)
from spinlock.rollout import policies
from spinlock.shapes import PerSample

FIXED = settings(deadline=None, derandomize=True, database=None)


def sample_part(
    grid: int,
    *,
    length: Annotated[PerSample, Real(0.5, 40.0, unit="px", log=True)] = 4.0,
    exponent: Annotated[float, Real(-2.0, 2.0), When("kernel", ("power",))] = 1.0,
    count: Annotated[PerSample, Integer(1, 9)] = 3,
    width: Annotated[int, Integer(1, 15, unit="px", odd=True)] = 3,
    kernel: Annotated[Literal["rbf", "power", "white"], AnyOf("any")] = "rbf",
    levels: Literal[2, 4, 8] = 4,
    wrap: bool = True,
    centre: Annotated[tuple[float, float], Real(0.0, 1.0)] = (0.5, 0.5),
    scales: Annotated[tuple[int, ...], Integer(1, 64)] = (1, 2),
    names: tuple[Literal["a", "b"], ...] = ("a",),
    ceiling: Annotated[float | None, Real(0.0, 10.0)] = None,
    offset: Annotated[PerSample | None, Real(-1.0, 1.0), When("ceiling")] = None,
    inner: Annotated[dict[str, Any] | None, Part("other")] = None,
) -> None:
    """Declare one option of every kind.

    More is said here.
    """
    del (
        grid,
        length,
        exponent,
        count,
        width,
        kernel,
        levels,
        wrap,
        centre,
        scales,
        names,
        ceiling,
        offset,
        inner,
    )


OPTIONS = options_of(sample_part)
ENTRY = Entry("sample_part", sample_part, OPTIONS, summary_of(sample_part))


def refusal(call):
    with pytest.raises(OptionError) as caught:
        call()
    return str(caught.value)


# --- options from annotations ---


@pytest.mark.parametrize(
    ("name", "kind", "facts"),
    [
        ("length", "real", {"per_sample": True, "rangeable": True, "nullable": False, "default": 4.0}),
        ("exponent", "real", {"per_sample": False, "rangeable": False, "when": When("kernel", ("power",))}),
        ("count", "integer", {"per_sample": True, "rangeable": True}),
        ("width", "integer", {"per_sample": False, "rangeable": False}),
        ("kernel", "choice", {"choices": ("rbf", "power", "white"), "drawn_word": "any", "default": "rbf"}),
        ("levels", "choice", {"choices": (2, 4, 8), "drawn_word": None}),
        ("wrap", "boolean", {"default": True, "rangeable": False}),
        ("centre", "reals", {"length": 2, "per_sample": False}),
        ("scales", "integers", {"length": None}),
        ("names", "choices", {"choices": ("a", "b"), "length": None}),
        ("ceiling", "real", {"nullable": True, "default": None, "rangeable": False}),
        ("offset", "real", {"nullable": True, "rangeable": True, "when": When("ceiling")}),
        ("inner", "part", {"part": "other", "nullable": True}),
    ],
)
def test_every_kind_of_annotation(name, kind, facts):
    option = OPTIONS[name]
    assert (option.name, option.kind) == (name, kind)
    assert {fact: getattr(option, fact) for fact in facts} == facts


def test_only_keyword_only_arguments_are_options_in_their_order():
    assert list(OPTIONS) == [
        "length", "exponent", "count", "width", "kernel", "levels", "wrap", "centre", "scales", "names",
        "ceiling", "offset", "inner",
    ]  # fmt: skip


def test_bounds_and_units_come_along():
    assert OPTIONS["length"].number == Real(0.5, 40.0, unit="px", log=True)
    assert OPTIONS["width"].number == Integer(1, 15, unit="px", odd=True)
    assert OPTIONS["wrap"].number is None


def without_default(*, size: Annotated[int, Integer(1, 2)]) -> None:
    """Have no default."""
    del size


def without_bounds(*, size: float = 1.0) -> None:
    """Have no bounds."""
    del size


def mixed_members(*, flag: bool | str = True) -> None:
    """Be neither a flag nor a word."""
    del flag


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (without_default, "option 'size' has no default"),
        (without_bounds, "option 'size': annotate it with bool, Literal"),
        (mixed_members, "option 'flag': annotate it with bool"),
    ],
)
def test_declarations_that_say_too_little_are_refused(function, message):
    with pytest.raises(TypeError, match=message):
        options_of(function)


def test_a_default_that_is_not_allowed_is_refused():
    def beyond(*, size: Annotated[int, Integer(1, 2)] = 3) -> None:
        """Declare more than is allowed."""
        del size

    message = r"beyond: the default size = 3 is not allowed: it must be an integer in \[1, 2\]"
    with pytest.raises(TypeError, match=message):
        Entry("beyond", beyond, options_of(beyond), "")


# --- allowed values in words ---


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("length", "a number in [0.5, 40] px"),
        ("count", "an integer in [1, 9]"),
        ("width", "an odd integer in [1, 15] px"),
        ("kernel", "one of rbf, power, white, any"),
        ("levels", "one of 2, 4, 8"),
        ("wrap", "true or false"),
        ("centre", "2 values, each a number in [0, 1]"),
        ("scales", "a list of values, each an integer in [1, 64]"),
        ("names", "a list of values, each one of a, b"),
        ("ceiling", "a number in [0, 10] or null"),
        ("inner", "options of other or null"),
    ],
)
def test_allowed_values_in_words(name, words):
    assert OPTIONS[name].allowed() == words


def test_large_integers_are_written_out():
    assert Option("n", "integer", 1, Integer(0, 123_456_789)).allowed() == "an integer in [0, 123456789]"


# --- values ---


@pytest.mark.parametrize(
    ("name", "given", "canonical"),
    [
        ("length", 4, 4.0),
        ("length", 0.5, 0.5),
        ("length", 40.0, 40.0),
        ("length", np.float64(2.0), 2.0),
        ("count", 9, 9),
        ("count", 9.0, 9),
        ("width", 15, 15),
        ("kernel", "any", "any"),
        ("levels", 8, 8),
        ("wrap", False, False),
        ("centre", [0, 1], (0.0, 1.0)),
        ("scales", [64], (64,)),
        ("names", ("b", "a", "b"), ("b", "a", "b")),
        ("ceiling", None, None),
        ("ceiling", 0, 0.0),
        ("inner", {"x": 1}, {"x": 1}),
    ],
)
def test_values_take_their_canonical_form(name, given, canonical):
    checked = OPTIONS[name].check(given)
    assert checked == canonical
    assert type(checked) is type(canonical)
    assert OPTIONS[name].check(checked) == checked


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("length", 0.49), ("length", 41), ("length", math.nan), ("length", math.inf), ("length", "4"),
        ("length", True), ("length", None), ("length", [4.0]), ("length", 10**400),
        ("count", 0), ("count", 10), ("count", 2.5), ("count", math.nan), ("count", math.inf),
        ("count", -math.inf), ("count", True), ("count", "3"), ("count", 1e300),
        ("width", 4), ("width", 4.0), ("width", 17),
        ("kernel", "rbff"), ("kernel", 3), ("kernel", None), ("kernel", ["rbf"]), ("kernel", {}),
        ("levels", 3), ("levels", 4.0), ("levels", "4"), ("levels", True),
        ("wrap", 1), ("wrap", "true"), ("wrap", None),
        ("centre", [0.5]), ("centre", [0.5, 0.5, 0.5]), ("centre", [0.5, 2.0]), ("centre", 0.5),
        ("centre", "ab"), ("scales", []), ("scales", [0]), ("scales", [1, "2"]), ("scales", 3),
        ("scales", None),
        ("names", []), ("names", "a"), ("names", ["c"]),
        ("ceiling", "null"), ("ceiling", -1e-9),
        ("inner", 3), ("inner", ["x"]),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_with_what_is(name, given):
    message = refusal(lambda: OPTIONS[name].check(given))
    assert message.startswith(f"{name} = ")
    assert OPTIONS[name].allowed() in message


@pytest.mark.parametrize(
    ("given", "near"),
    [("rbff", "rbf"), ("Power", "power"), ("WHITE", "white"), ("anny", "any"), ("qqq", None), (7, None)],
)
def test_near_misses_of_choices(given, near):
    message = refusal(lambda: OPTIONS["kernel"].check(given))
    assert ("did you mean" in message) == (near is not None)
    assert near is None or f"(did you mean {near!r}?)" in message


@FIXED
@given(
    value=st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.floats(), max_size=3)
    )
)
def test_any_value_is_taken_or_refused_in_words(value):
    for option in OPTIONS.values():
        try:
            checked = option.check(value)
        except OptionError as error:
            message = str(error)
        else:
            assert option.check(checked) == checked
            continue
        assert option.allowed() in message


# --- entries ---


def test_given_options_are_checked_and_others_left_out():
    checked = ENTRY.check_options({"length": 2, "centre": [0, 1]})
    assert checked == {"length": 2.0, "centre": (0.0, 1.0)}
    assert ENTRY.check_options({}) == {}


def test_ranges_of_per_sample_numbers():
    checked = ENTRY.check_options({"length_range": [1, 8], "count_range": (2, 2)})
    assert checked == {"length_range": (1.0, 8.0), "count_range": (2, 2)}
    assert [name for name in ENTRY.option_names() if name.endswith("_range")] == [
        "length_range", "count_range", "offset_range",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"length_range": 3},
            "length_range = 3 is not a range: write [low, high], each a number in [0.5, 40] px",
        ),
        ({"length_range": [1, 2, 3]}, "is not a range: write [low, high]"),
        ({"length_range": [8, 1]}, "length_range = [8, 1]: the lower end is above the upper one"),
        (
            {"length_range": [0, 1]},
            "an end of length_range = 0 is not allowed: it must be a number in [0.5, 40] px",
        ),
        (
            {"count_range": [1, 2.5]},
            "an end of count_range = 2.5 is not allowed: it must be an integer in [1, 9]",
        ),
        (
            {"offset_range": [None, 0.5]},
            "an end of offset_range = None is not allowed: it must be a number in [-1, 1]",
        ),
        ({"length": 2, "length_range": [1, 2]}, "length and length_range are both given"),
        ({"width_range": [1, 3]}, "sample_part has no option 'width_range'"),
        ({"kernel_range": ["rbf", "white"]}, "sample_part has no option 'kernel_range'"),
        ({"_range": [0, 1]}, "sample_part has no option '_range'"),
        (
            {"lenght": 2},
            "sample_part has no option 'lenght' (did you mean 'length'?); it has: length, exponent",
        ),
        ({"lenght_range": [1, 2]}, "(did you mean 'length_range'?)"),
        ({3: 2}, "sample_part has no option 3; it has: length"),
        ({None: 2}, "sample_part has no option None; it has"),
    ],
)
def test_refusals_of_options(given, message):
    assert message in refusal(lambda: ENTRY.check_options(given))


def test_an_entry_without_options_says_so():
    entry = Entry("plain", sample_part, {}, "")
    assert refusal(lambda: entry.check_options({"x": 1})) == "plain has no option 'x'; it has: none"


def test_range_of_one_value_is_allowed():
    assert check_range(OPTIONS["length"], "length_range", [2, 2]) == (2.0, 2.0)


@pytest.mark.parametrize(
    "options",
    [options_of(noise), *(entry.options for entry in [*families.entries(), *policies.entries()])],
)
def test_declared_options_allow_their_defaults_and_suggestions(options):
    for option in options.values():
        assert option.check(option.default) == option.default
        suggested = option.number.suggested if option.number else None
        for end in suggested or ():
            assert option.check(end) == end
        assert option.when is None or option.when.option in options


def test_threads_that_ask_at_once_all_see_the_whole_catalogue() -> None:
    asked = """
import sys, threading
sys.setswitchinterval(1e-5)
from spinlock.visualization.aggregates import aggregates
start, seen = threading.Barrier(8), []
def ask():
    start.wait()
    seen.append(len(aggregates))
threads = [threading.Thread(target=ask) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(seen)
"""
    assert tiny.python("-c", asked).stdout.split() == ["[9,", *["9,"] * 6, "9]"]
