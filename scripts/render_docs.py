#!/usr/bin/env python3
"""Write the documentation pages and pictures that are rendered from the code."""

import shutil
import sys
import tempfile
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]

from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.dataset.aggregate_reference import aggregate_reference_page
from spinlock.dataset.documentation import data_format_page
from spinlock.dataset.feature_reference import feature_reference_page
from spinlock.dataset.gallery import render_gallery
from spinlock.dataset.reference import initial_conditions_page
from spinlock.dataset.render import RenderOptions, render_dataset

CONFIG = here.parent / "configs" / "experiments" / "edge_of_chaos.yaml"
SHOWN = RenderOptions(
    operator_indices=(3, 13, 9, 1, 5, 11),
    steps=49,
    stride=12,
    size=(96, 96),
    aggregates=("mean", "envelope", "overlay", "entropy", "pca", "spectral"),
    add_spacing=True,
)
PLOTTED = 13


def draw_ensembles(images: Path) -> None:
    """Write a frame of a clip, and a figure of one row, of the first samples of `CONFIG`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overrides = [
            ("--output", "dataset.output_path", str(folder / "d.h5")),
            ("-", "sampling.total_samples", 24),
        ]
        DatasetGenerationPipeline(load_config(CONFIG, overrides)).generate()
        render_dataset(folder / "d.h5", folder, SHOWN, format="frames")
        shutil.copy(max((folder / "frames").glob("*.png")), images / "ensembles.png")
        with open_dataset(folder / "d.h5") as dataset:
            dataset.plot(PLOTTED).savefig(images / "row.png", metadata={"Software": None})


if __name__ == "__main__":
    docs = here.parent / "docs"
    (docs / "data_format.md").write_text(data_format_page(), encoding="utf-8")
    (docs / "initial_conditions.md").write_text(initial_conditions_page(), encoding="utf-8")
    (docs / "aggregates.md").write_text(aggregate_reference_page(), encoding="utf-8")
    (docs / "features" / "feature-reference.md").write_text(feature_reference_page(), encoding="utf-8")
    render_gallery(
        docs / "images" / "initial_conditions.png", variations=4, cell=(56, 56), labels=True, spacing=True
    )
    draw_ensembles(docs / "images")
