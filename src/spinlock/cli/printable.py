"""Text from files and from elsewhere, made safe to print: a terminal obeys control characters."""

import re

UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, marks that turn the direction of text, halves of characters; not the end of a line."""


def printable(text: object) -> str:
    """Return text in which every character that a terminal would obey is written out, by its code."""
    return UNSAFE.sub(lambda found: repr(found[0])[1:-1], str(text))


def one_line(text: object) -> str:
    """Return printable text in which ends of lines are written out too."""
    return printable(text).replace("\n", "\\n")
