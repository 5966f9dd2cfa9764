"""Catalogues of named functions: loading, near misses, duplicates, plugins."""

import sys

import pytest

from spinlock import registry as registry_module
from spinlock.errors import UnknownNameError, UsageError
from spinlock.operators import families
from spinlock.registry import Entry, Registry, near_miss, options_of, summary_of, unknown_name
from spinlock.rollout import policies


def sample_part():
    """Stand for a part of a catalogue."""


# --- names ---


@pytest.mark.parametrize(
    ("word", "near"),
    [("turing_patern", "turing_pattern"), ("TURING_PATTERN", "turing_pattern"), ("zzz", None), (None, None)],
)
def test_near_miss(word, near):
    assert near_miss(word, ["turing_pattern", "dla_cluster"]) == near


def test_unknown_name_lists_what_is_known():
    error = unknown_name("colour", "gren", ["red", "green"])
    assert str(error) == "unknown colour 'gren' (did you mean 'green'?); known: green, red"
    assert isinstance(error, UsageError)
    assert isinstance(error, KeyError)


def test_summary_is_the_first_paragraph_on_one_line():
    def wrapped():
        """Say something that
        takes two lines.

        And more.
        """

    assert summary_of(wrapped) == "Say something that takes two lines."


def test_a_part_without_documentation_is_refused():
    with pytest.raises(TypeError, match=r"test_registry.*has no docstring"):
        summary_of(lambda: None)


# --- catalogues ---


class Plugin:
    """What an entry point gives."""

    def __init__(self, load):
        self.load = load


def entry_named(name, function=sample_part):
    return Entry(name, function, {}, "")


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """A catalogue over a package of two modules that count their imports, without entry points."""
    package = tmp_path / "catalogue_of_tests"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for module in ("first", "second"):
        note = f"vars(catalogue_of_tests).setdefault('seen', []).append('{module}')\n"
        (package / f"{module}.py").write_text("import catalogue_of_tests\n" + note)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry_module, "entry_points", lambda *, group: [])
    yield Registry("colour", "catalogue_of_tests")
    for name in [name for name in sys.modules if name.startswith("catalogue_of_tests")]:
        del sys.modules[name]


def seen():
    return sys.modules["catalogue_of_tests"].__dict__["seen"]


def test_a_catalogue_imports_its_package_once_when_it_is_read(catalogue):
    catalogue.add(entry_named("red"))
    assert "catalogue_of_tests" not in sys.modules
    assert catalogue["red"].name == "red"
    assert (list(catalogue), len(catalogue), "red" in catalogue, "blue" in catalogue) == (
        ["red"],
        1,
        True,
        False,
    )
    assert seen() == ["first", "second"]


def test_names_and_entries_are_sorted(catalogue):
    for name in ("red", "blue", "green"):
        catalogue.add(entry_named(name))
    assert list(catalogue) == [entry.name for entry in catalogue.entries()] == ["blue", "green", "red"]
    catalogue.remove("green")
    assert list(catalogue) == ["blue", "red"]


def test_unknown_entries_are_refused_with_the_near_miss(catalogue):
    catalogue.add(entry_named("green"))
    with pytest.raises(UnknownNameError) as caught:
        catalogue["grene"]
    assert str(caught.value) == "unknown colour 'grene' (did you mean 'green'?); known: green"


def test_plugins_of_the_entry_point_group_are_loaded(catalogue, monkeypatch):
    groups = []

    def found(*, group):
        groups.append(group)
        return [Plugin(lambda: catalogue.add(entry_named("plugged")))]

    monkeypatch.setattr(registry_module, "entry_points", found)
    assert "plugged" in catalogue
    assert groups == ["catalogue_of_tests"]


def test_a_plugin_may_look_into_the_catalogue(catalogue, monkeypatch):
    catalogue.add(entry_named("red"))
    plugin = Plugin(lambda: catalogue.add(entry_named("after_" + catalogue["red"].name)))
    monkeypatch.setattr(registry_module, "entry_points", lambda *, group: [plugin])
    assert list(catalogue) == ["after_red", "red"]


def test_a_plugin_that_fails_is_not_passed_over_the_second_time(catalogue, monkeypatch):
    def broken():
        raise ImportError("no such library")

    monkeypatch.setattr(registry_module, "entry_points", lambda *, group: [Plugin(broken)])
    for _ in range(2):
        with pytest.raises(ImportError, match="no such library"):
            len(catalogue)


def test_one_name_for_two_functions_is_refused(catalogue):
    def other():
        """Be another function of this file."""

    catalogue.add(entry_named("red"))
    catalogue.add(entry_named("red"))
    with pytest.raises(UsageError, match=r"colour 'red' is declared twice: .*sample_part and .*other"):
        catalogue.add(entry_named("red", other))
    assert catalogue["red"].function is sample_part


def test_the_catalogues_of_dynamics_are_complete():
    assert "cnn" in families
    assert list(policies) == ["autoregressive", "convex", "residual"]
    assert all(
        entry.summary.endswith(".") and entry.options == options_of(entry.function)
        for entry in families.entries()
    )
