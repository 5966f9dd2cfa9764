"""``spinlock merge``: join parts made on different machines."""

import argparse
import json

SUMMARY = "join parts made on different machines to one dataset"

DESCRIPTION = """Join parts of one plan to one dataset. A part is the directory <output>.parts that `spinlock
generate --range` or --limit leaves behind, or a .spin directory; together they must hold every row. Every
shard is compared with its receipt; the parts stay as they are. The end of --output says which form is made,
so that one .spin directory can be turned into a file as well."""

EXAMPLES = """examples:
  spinlock generate --config my.yaml --range 0:5000      (on one machine)
  spinlock generate --config my.yaml --range 5000:10000  (on another)
  spinlock merge one/my.h5.parts other/my.h5.parts --output datasets/my.h5
  spinlock merge datasets/my.spin --output datasets/my.h5"""


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    command.add_argument("parts", nargs="+", metavar="PART", help="a .parts or .spin directory")
    command.add_argument("--output", required=True, metavar="PATH", help="what to make: .h5, .spin or .zarr")
    command.add_argument(
        "--force",
        action="store_true",
        help="replace another dataset at the output when the new one is complete",
    )
    command.add_argument(
        "--allow-mixed",
        action="store_true",
        help="join parts made on different device models, torch builds or instruction sets",
    )


def run(options: argparse.Namespace) -> int:
    """Join the parts."""
    from spinlock.cli.progress import Progress
    from spinlock.cli.render import render_summary
    from spinlock.dataset.merge import merge

    with Progress(hidden=options.quiet, unit="shards") as progress:
        summary = merge(
            options.parts,
            options.output,
            force=options.force,
            allow_mixed=options.allow_mixed,
            progress=progress,
        )
    if options.json:
        print(json.dumps(summary.as_dict()))
    elif not options.quiet:
        print(render_summary(summary.as_dict()))
    return 0
