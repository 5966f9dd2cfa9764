"""``spinlock export``: write a dataset in the layout of another tool."""

import argparse
import json

SUMMARY = "write a dataset in the layout of another tool"

DESCRIPTION = """Write a dataset to a new directory in the layout of another tool.

parquet     samples.parquet (parameters and metadata) and, where there are features, features.parquet and
            features_per_trajectory.parquet; needs pyarrow
webdataset  tar files of .npy arrays and .json
well        HDF5 files that the package of The Well reads, a directory for each grid; rollouts that stopped
            before the end are left out, and counted
zarr        the whole dataset as a Zarr store (format 3), at a path or URL; needs the extra zarr

The directory appears when it is complete. With --split-by rows are divided into train, validation and test
(0.8, 0.1, 0.1) such that no two of them share a group."""

EXAMPLES = """examples:
  spinlock export --dataset datasets/test_100.h5 --to webdataset \\
      --output datasets/exports/webdataset
  spinlock export --dataset datasets/test_100.h5 --to well \\
      --output datasets/exports/well --split-by ic_type"""


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    from spinlock.cli.common_options import add_dataset

    add = command.add_argument
    add_dataset(command)
    add("--to", required=True, metavar="LAYOUT", help="parquet, webdataset, well or zarr")
    add("--output", required=True, metavar="DIR", help="the directory to make")
    add("--split-by", metavar="GROUP", help="operator, ic_type, architecture or cell")
    add("--seed", type=int, metavar="S", help="of the split (default 0)")


def run(options: argparse.Namespace) -> int:
    """Export the dataset."""
    from spinlock.cli.render import table
    from spinlock.dataset import open_dataset
    from spinlock.dataset.export import export
    from spinlock.dataset.splits import split
    from spinlock.errors import UsageError

    if options.seed is not None and options.split_by is None:
        raise UsageError("--seed is that of a split: give --split-by too")
    with open_dataset(options.dataset) as dataset:
        splits = split(dataset, by=options.split_by, seed=options.seed or 0) if options.split_by else None
        written = export(dataset, options.to, options.output, splits)
    if options.json:
        print(json.dumps(written))
    elif not options.quiet:
        counts = ", ".join(f"{name} {count}" for name, count in written["splits"].items())
        rows = [("rows", counts)]
        rows += [(name, str(value)) for name, value in written.items() if isinstance(value, int)]
        rows += [("note", written["note"])] if written["note"] else []
        print(f"{written['path']} is written ({written['layout']})\n{table(rows)}")
    return 0
