"""Options that several commands share."""

import argparse


def add_dataset(command: argparse.ArgumentParser) -> None:
    """Declare ``--dataset``, which every command that reads a dataset needs."""
    command.add_argument(
        "--dataset",
        required=True,
        metavar="PATH",
        help="the dataset: an HDF5 file, a .spin directory or a Zarr store",
    )
