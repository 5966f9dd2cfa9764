#!/usr/bin/env python3
"""Write the documentation pages and pictures that are rendered from the code.

    python scripts/render_docs.py [--only NAME ...] [--list]

Without --only all of them, in the order of the list.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
sys.path.append(str(here))  # last: `spinlock.py` beside this file must not hide the package

import concept_pictures
import pictures
import type_pictures

from spinlock.cli.program import build_parser
from spinlock.cli.reference import commands_page
from spinlock.dataset.aggregate_reference import aggregate_reference_page
from spinlock.dataset.configuration_reference import configuration_page
from spinlock.dataset.documentation import data_format_page
from spinlock.dataset.feature_reference import feature_reference_page
from spinlock.dataset.reference import initial_conditions_page

DOCS = here.parent / "docs"

PAGES: dict[str, Callable[[], str]] = {
    "data_format.md": data_format_page,
    "initial_conditions.md": initial_conditions_page,
    "aggregates.md": aggregate_reference_page,
    "features/feature-reference.md": feature_reference_page,
    "reference/configuration.md": configuration_page,
    "reference/commands.md": lambda: commands_page(build_parser()),
}
"""Pages below docs/ and what returns their text; tests/test_docs/test_pages.py compares both."""

PICTURES: dict[str, Callable[[Path], None]] = {
    "gallery": pictures.draw_gallery,
    "types": type_pictures.draw_types,
    "ensembles": pictures.draw_ensembles,
    **concept_pictures.PICTURES,
}
"""Pictures and what draws them into the folder that it is given, docs/images."""


def write_page(path: Path, render: Callable[[], str]) -> None:
    """Write what a function returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(), encoding="utf-8")


def steps(docs: Path = DOCS) -> Mapping[str, Callable[[], object]]:
    """Return what there is to do by name: pages first, then pictures."""
    pages = {name: partial(write_page, docs / name, render) for name, render in PAGES.items()}
    return pages | {name: partial(draw, docs / "images") for name, draw in PICTURES.items()}


def main(words: list[str] | None = None) -> int:
    """Do what the words ask for and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="do these alone")
    parser.add_argument("--list", action="store_true", help="print the names and do nothing")
    options = parser.parse_args(words)
    todo = steps()
    if unknown := set(options.only or ()) - set(todo):
        parser.error(f"nothing is called {', '.join(sorted(unknown))}; the names are {', '.join(todo)}")
    for name in options.only or todo:
        if options.list:
            print(name)
            continue
        start = time.monotonic()
        todo[name]()
        print(f"{name} ({time.monotonic() - start:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
