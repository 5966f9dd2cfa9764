"""The command line: ``spinlock``, ``python -m spinlock`` and ``scripts/spinlock.py`` are this program."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name and exit with its code."""
    from spinlock.cli.program import run

    sys.exit(run(sys.argv[1:] if arguments is None else [*arguments]))  # `list` is a command here
