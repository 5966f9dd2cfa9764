#!/usr/bin/env python3
"""Build the site of the documentation from clean; a warning is an error.

    python scripts/build_docs.py [FOLDER]

FOLDER is docs/_build/html unless given. A site that stands there is replaced once the one built has no fault.
"""

import argparse
import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]

DOCS = here.parent / "docs"
NEEDED = {
    "sphinx": "sphinx",
    "myst_nb": "myst-nb",
    "furo": "furo",
    "hypothesis": "hypothesis",
    "pandas": "pandas",
}
MARK = ".buildinfo"
"""A file of every site that Sphinx built."""


def build(folder: Path, docs: Path = DOCS) -> int:
    """Build the site into a folder and return Sphinx's exit code."""
    from sphinx.cmd.build import main

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".site-") as name:
        built = Path(name) / "html"
        options = ["--fail-on-warning", "--keep-going", "--quiet", "--builder", "html"]
        code = main([*options, "--doctree-dir", f"{name}/trees", str(docs), str(built)])
        if code == 0:
            shutil.rmtree(folder, ignore_errors=True)
            built.rename(folder)
    return code


def main(words: list[str] | None = None) -> int:
    """Build what the words ask for and return the exit code."""
    parser = argparse.ArgumentParser(
        description="Build the site of the documentation; a warning is an error."
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=DOCS / "_build" / "html", help="default docs/_build/html"
    )
    folder: Path = parser.parse_args(words).folder.resolve()
    if missing := [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]:
        parser.error(f"{', '.join(missing)} not installed: run `pip install -c constraints.txt '.[docs]'`")
    if folder.exists() and not (folder / MARK).is_file():
        parser.error(f"{folder} is there and holds no site: name another folder")
    code = build(folder)
    print(f"{folder / 'index.html'} is written" if code == 0 else "the site has faults", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
