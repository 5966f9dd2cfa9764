"""What became of the rollouts of a dataset, as a table."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

HEADING = (
    "what became of the rollouts (stopped: rollouts that left the finite range; overflowed: those that\n"
    "float16 could not hold; each label: its share of the samples in the line)"
)

Line = list[str]


def render_accounting(accounting: Mapping[str, Any]) -> str:
    """Return the counts of every group of samples, a line each, under the labels that occur."""
    from spinlock.cli.printable import one_line

    totals: Mapping[str, int] = accounting["all"]["dynamics"]
    labels = sorted(totals, key=lambda label: (-totals[label], label))
    lines = [[one_line(cell) for cell in line] for line in _lines(accounting, labels)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join([HEADING, *(_aligned(line, widths) for line in lines)])


def _lines(accounting: Mapping[str, Any], labels: list[str]) -> Iterator[Line]:
    counts = ["samples", "rollouts", "stopped"] + ["overflowed"] * (accounting["all"]["overflowed"] > 0)
    yield ["", *counts, *labels]
    yield _line("all", accounting["all"], counts, labels)
    for grouping, groups in accounting["by"].items():
        yield [_heading(grouping, groups, accounting["all"]["samples"])] + [""] * len(counts + labels)
        for group in groups:
            yield _line(f"  {group['value']}", group, counts, labels)


def _heading(grouping: str, groups: Iterable[Mapping[str, Any]], samples: int) -> str:
    """Return the name of a grouping, with the number of samples in it where it leaves some out."""
    counted = sum(group["samples"] for group in groups)
    return grouping if counted == samples else f"{grouping} (acts in {counted} of {samples})"


def _line(name: str, group: Mapping[str, Any], counts: list[str], labels: list[str]) -> Line:
    met = {label: f"{100 * count / group['samples']:.0f} %" for label, count in group["dynamics"].items()}
    return [name, *(str(group[what]) for what in counts), *(met.get(label, "-") for label in labels)]


def _aligned(line: Line, widths: list[int]) -> str:
    name, *numbers = line
    cells = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
    return "  ".join([f"  {name:<{widths[0]}}", *cells]).rstrip()
