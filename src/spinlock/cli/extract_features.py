"""``spinlock extract-features``: add features to a dataset."""

import argparse
import json

SUMMARY = "add features to a dataset"

DESCRIPTION = """Add features to a complete dataset, under /features/sdf.

Frames are those stored, if all of them are and in float32; otherwise every rollout is run again, and must
give what is stored, bit for bit. The dataset stays as it is until its successor is complete. An interrupted
run resumes by itself. Features that are there already are replaced with --overwrite only. Version and
categories are what the options say, else the features section of --config, else that of the configuration
that made the dataset."""

EXAMPLES = """examples:
  spinlock extract-features --dataset datasets/test_100.h5
  spinlock extract-features --dataset datasets/test_100.h5 \\
      --output datasets/test_100_features.h5
  spinlock extract-features --dataset datasets/test_100.h5 \\
      --categories spatial temporal --overwrite"""


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    from spinlock.cli.common_options import add_dataset

    add = command.add_argument
    add_dataset(command)
    add("--output", metavar="FILE", help="write a copy with features there, and leave the dataset alone")
    add("--config", metavar="FILE", help="take the features section of this configuration")
    add(
        "--categories",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="categories to measure, or all; the columns of the others are NaN",
    )
    add("--sdf-version", metavar="V", help="version of the feature set (features.sdf_version)")
    add(
        "--batch-size",
        type=int,
        default=32,
        metavar="B",
        help="samples between two commits (default 32); changes no bit",
    )
    add(
        "--max-samples",
        type=int,
        metavar="K",
        help="the first K samples only; the rows of the others are NaN",
    )
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:1")
    add("--overwrite", action="store_true", help="replace features, or a file at --output")


def run(options: argparse.Namespace) -> int:
    """Add the features."""
    from spinlock.cli.progress import Progress
    from spinlock.cli.render import render_extraction
    from spinlock.config import load_config
    from spinlock.dataset import FeatureExtractionPipeline

    pipeline = FeatureExtractionPipeline(
        options.dataset,
        output=options.output,
        features=load_config(options.config).features if options.config else None,
        categories=options.categories,
        sdf_version=options.sdf_version,
        batch_size=options.batch_size,
        max_samples=options.max_samples,
        device=options.device,
        overwrite=options.overwrite,
    )
    with Progress(hidden=options.quiet) as progress:
        summary = pipeline.extract(progress).as_dict()
    if options.json:
        print(json.dumps(summary))
    elif not options.quiet:
        print(render_extraction(summary))
    return 0
