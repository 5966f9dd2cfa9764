"""``spinlock validate``: prove that a dataset is what it says."""

import argparse
import json

SUMMARY = "prove that a dataset is what it says"

DESCRIPTION = """Prove that a dataset is what it says. Always: structure and every checksum. Then, all three
unless some are named: samples (finite exactly where the file says so), metadata (every row is the draw of
its index), quality (the sampling). --replay K makes K rows again and compares them: bit for bit in the
environment that made the dataset, within stated tolerances elsewhere. Exit code 1 where anything failed or
could not be checked, each named."""

EXAMPLES = """examples:
  spinlock validate --dataset datasets/test_100.h5
  spinlock validate --dataset datasets/test_100.h5 --replay 5
  spinlock validate --dataset datasets/test_100.h5 --check-metadata --json"""


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    from spinlock.cli.common_options import add_dataset

    add_dataset(command)
    command.add_argument(
        "--check-samples", action="store_true", help="fields are finite exactly where finite_steps says so"
    )
    command.add_argument("--check-metadata", action="store_true", help="every row is the draw of its index")
    command.add_argument("--check-quality", action="store_true", help="the sampling is as good as recorded")
    command.add_argument(
        "--replay", type=_count, default=0, metavar="K", help="make K rows again and compare them"
    )


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it must be a number of rows, 0 or more")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Print the verdict; 1 if anything failed or could not be checked."""
    from spinlock.cli.render import render_validation
    from spinlock.dataset.validate import CHECKS, validate

    asked = [check for check in CHECKS if getattr(options, f"check_{check}")]
    report = validate(options.dataset, asked or CHECKS, replay=options.replay)
    if options.json:
        print(json.dumps(report.as_dict()))
    elif not options.quiet or not report.valid:
        print(render_validation(report.as_dict()))
    return 0 if report.valid else 1
