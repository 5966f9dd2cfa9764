"""The pictures of the documentation; each function draws its own into a folder."""

import shutil
import tempfile
from pathlib import Path

from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.dataset.gallery import render_gallery
from spinlock.dataset.render import RenderOptions, render_dataset

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "experiments" / "edge_of_chaos.yaml"
SHOWN = RenderOptions(
    operator_indices=(3, 13, 9, 1, 5, 11),
    steps=49,
    stride=12,
    size=(96, 96),
    aggregates=("mean", "envelope", "overlay", "entropy", "pca", "spectral"),
    add_spacing=True,
)
PLOTTED = 13


def draw_gallery(images: Path) -> None:
    """Write four samples of each initial condition."""
    render_gallery(images / "initial_conditions.png", variations=4, cell=(56, 56), labels=True, spacing=True)


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
