#!/usr/bin/env python3
"""Make a dataset of a few operators, read it, and make one row again from its configuration.

    python examples/generate_and_read.py [--samples 8] [--output FILE]

Without --output the dataset goes into a temporary folder.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline, open_dataset

CONFIG = Path(__file__).parents[1] / "configs" / "experiments" / "test_100.yaml"


def make(output: Path, samples: int) -> None:
    """Make the first rows of the dataset that the configuration describes."""
    changes = [
        ("example", "dataset.output_path", str(output)),
        ("example", "sampling.total_samples", samples),
    ]
    DatasetGenerationPipeline(load_config(CONFIG, changes)).generate()


def show(path: Path) -> None:
    """Print what the rows are, and whether the last one is made again with the same bits."""
    with open_dataset(path) as dataset:
        for row in dataset:
            start, fate = row.metadata["ic_types"], row.metadata["dynamics"]
            print(f"{row.index:3}  {start:22} {row.inputs.shape}  gain {row.parameters['gain']:.2f}  {fate}")
        last = dataset[-1]
        again = dataset.rollout(-1).final.numpy()
        same = np.array_equal(again, last.outputs, equal_nan=True)
        print(
            f"{len(dataset)} rows; row {last.index} made again: {'the same bits' if same else 'other bits'}"
        )


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = options.output or Path(folder) / "example.h5"
        make(output, options.samples)
        show(output)


if __name__ == "__main__":
    main()
