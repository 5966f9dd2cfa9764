"""``spinlock list``: print a catalogue."""

import argparse
import json

SUMMARY = "print a catalogue: what can be named in a configuration"

SCHEMA = "config-schema"

CATALOGUES = (
    "initial-conditions",
    "operators",
    "noise",
    "policies",
    "codecs",
    "features",
    "aggregates",
    SCHEMA,
)

DESCRIPTION = """Print a catalogue: what can be named in a configuration, with options, allowed values and
defaults. --verbose adds sources and other facts."""

EXAMPLES = """examples:
  spinlock list initial-conditions
  spinlock list operators --json
  spinlock list config-schema > datasets/schema.json   (JSON Schema, for editors)"""


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    command.add_argument("catalogue", choices=CATALOGUES, metavar="CATALOGUE", help=", ".join(CATALOGUES))


def run(options: argparse.Namespace) -> int:
    """Print the catalogue."""
    if options.catalogue == SCHEMA:
        from spinlock.config import config_schema

        print(json.dumps(config_schema(), indent=None if options.json else 2))
        return 0
    from spinlock.cli.render import render_catalogue
    from spinlock.dataset.catalogues import catalogue

    content = catalogue(options.catalogue)
    if options.json:
        print(json.dumps({"catalogue": options.catalogue, "entries": content}))
    elif not options.quiet:
        print(render_catalogue(content, verbose=options.verbose))
    return 0
