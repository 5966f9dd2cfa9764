"""``spinlock info``: say what a dataset holds."""

import argparse
import json

SUMMARY = "say what a dataset holds"

DESCRIPTION = """Say what a dataset holds: arrays with axes, types and stored sizes, how it was made, and the
distributions of initial conditions, policies, grids, noise and dynamics. --verbose adds the configuration and
every parameter. --plot draws what was sampled and what became of it: the dynamics by initial condition and
policy, finite steps, Lyapunov exponents, parameters, and features where there are any."""

EXAMPLES = """examples:
  spinlock info --dataset datasets/test_100.h5
  spinlock info --dataset datasets/test_100.h5 --verbose
  spinlock info --dataset datasets/test_100.h5 --plot datasets/metadata.png
  spinlock info --dataset datasets/test_100.h5 --json | jq .distributions.dynamics"""


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    from spinlock.cli.common_options import add_dataset

    add_dataset(command)
    command.add_argument("--plot", metavar="PICTURE", help="draw the metadata to a .png, .pdf or .svg file")


def run(options: argparse.Namespace) -> int:
    """Print what the dataset holds."""
    from spinlock.cli.render import render_info
    from spinlock.dataset.describe import describe

    plot = None
    if options.plot is not None:
        from spinlock.dataset.metadata_plot import write_metadata_plot

        plot = write_metadata_plot(options.dataset, options.plot)
    content = describe(options.dataset)
    if plot is not None:
        content["plot"] = str(plot)
    if options.json:
        print(json.dumps(content))
    elif not options.quiet:
        print(render_info(content, verbose=options.verbose))
    return 0
