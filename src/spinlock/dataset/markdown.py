"""Pieces of Markdown: texts of strangers made plain, tables, lists, blocks of code."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Rows = Sequence[Sequence[str]]

MEANINGFUL = re.compile(r"([\\`*_\[\]<>|#~$&])")
"""Characters that Markdown or HTML would obey."""

INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")

BETWEEN_LETTERS = re.compile(r"(?<=\w)\\_(?=\w)")
"""An underscore within a word is no markup."""

MOST_SHARES = 16
"""Values told one by one; the rarer ones are counted."""


def plain(text: object) -> str:
    """Return text of any origin on one line, in which nothing is markup."""
    marked = MEANINGFUL.sub(r"\\\1", INVISIBLE.sub(" ", str(text)))
    return BETWEEN_LETTERS.sub("_", marked)


def literal(text: object) -> str:
    """Return text of any origin as it is, set in type for code."""
    return f"`{INVISIBLE.sub(' ', str(text)).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def table(heads: Sequence[str], rows: Rows) -> str:
    """Return a table; cells are Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def bullets(items: Iterable[str]) -> str:
    """Return a list."""
    return "\n".join(f"- {item}" for item in items)


def code(text: str, language: str) -> str:
    """Return a block of code, fenced by more backticks than stand in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def compact(value: Any, width: int = 96, depth: int = 0) -> str:
    """Return JSON in which what fits into a line of ``width`` characters stands on one."""
    line = json.dumps(value, ensure_ascii=False)
    if depth + len(line) <= width or not isinstance(value, dict) or not value:
        return line
    margin = " " * (depth + 2)
    items = (
        f"{margin}{json.dumps(key, ensure_ascii=False)}: {compact(one, width, depth + 2)}"
        for key, one in value.items()
    )
    return "{\n" + ",\n".join(items) + "\n" + " " * depth + "}"


def number(value: float) -> str:
    """Return a number in four digits; an integer whole."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def share(count: int, total: int) -> str:
    """Return a share in per cent, with one decimal below 10 %."""
    percent = 100 * count / total if total else 0.0
    return f"{percent:.1f} %" if 0 < percent < 10 else f"{percent:.0f} %"


def shares(counts: Mapping[str, int]) -> str:
    """Return how many samples have each value, the most frequent first: ``16²: 4 (80 %), 24²: 1 (20 %)``."""
    total = sum(counts.values())
    order = sorted(counts, key=lambda name: (-counts[name], name))
    told = [f"{plain(name)}: {counts[name]:,} ({share(counts[name], total)})" for name in order[:MOST_SHARES]]
    rest = [f"{len(order) - MOST_SHARES} others"] if len(order) > MOST_SHARES else []
    return ", ".join(told + rest)
