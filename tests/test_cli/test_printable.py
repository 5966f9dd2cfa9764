"""What a terminal would obey is written out before it is printed, wherever it came from."""

import logging

import pytest

from spinlock.cli.printable import one_line, printable
from spinlock.cli.program import _Lines
from spinlock.cli.render import render_validation, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jx", "\\x1b[2Jx"),
        ("a\rb", "a\\rb"),
        ("a\tb", "a\\tb"),
        ("\x07\x00\x7f\x9b", "\\x07\\x00\\x7f\\x9b"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udc80", "\\udc80"),
        ("größer ≥ 0, ℝ²", "größer ≥ 0, ℝ²"),
        ("two\nlines", "two\nlines"),
        (3, "3"),
    ],
)
def test_control_characters_are_written_out(text, shown):
    assert printable(text) == shown
    assert one_line(text) == shown.replace("\n", "\\n")


def test_a_name_forges_no_line():
    assert table([("name\nforged", "value\n  all is well")]).count("\n") == 0
    report = {
        "path": "a\nb.h5: valid",
        "valid": False,
        "checked": ["checksums"],
        "notes": [],
        "failures": ["x\ny"],
        "unchecked": [],
    }
    lines = render_validation(report).split("\n")
    assert [line for line in lines if not line.startswith((" ", "a"))] == []


def test_log_lines_are_printable():
    record = logging.LogRecord("spinlock", logging.INFO, __file__, 1, "made \x1b]0;x\x07", (), None)
    assert _Lines("%(message)s").format(record) == "made \\x1b]0;x\\x07"
