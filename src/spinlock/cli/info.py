"""``spinlock info``: say what a dataset holds."""

import argparse
import json

SUMMARY = "say what a dataset holds"

DESCRIPTION = """Say what a dataset holds: arrays with axes, types and stored sizes, how it was made, and the
distributions of initial conditions, policies, grids, noise and dynamics. --verbose adds the configuration and
every parameter."""

EXAMPLES = """examples:
  spinlock info --dataset datasets/test_100.h5
  spinlock info --dataset datasets/test_100.h5 --verbose
  spinlock info --dataset datasets/test_100.h5 --json | jq .distributions.dynamics"""


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    command.add_argument("--dataset", required=True, metavar="FILE", help="the dataset file")


def run(options: argparse.Namespace) -> int:
    """Print what the dataset holds."""
    from spinlock.cli.render import render_info
    from spinlock.dataset.describe import describe

    content = describe(options.dataset)
    if options.json:
        print(json.dumps(content))
    elif not options.quiet:
        print(render_info(content, verbose=options.verbose))
    return 0
