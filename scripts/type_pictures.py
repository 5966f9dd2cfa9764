"""A picture of each initial condition, for its section of docs/initial_conditions.md."""

from pathlib import Path

import numpy as np
from PIL import Image

from spinlock.dataset.gallery import gallery_row
from spinlock.initial_conditions import registry

SAMPLES, SIDE, GAP = 4, 96, 4
QUALITY = 70
"""Of lossy WebP: a picture takes a tenth of what it takes as PNG."""


def draw_types(images: Path) -> None:
    """Write initial_conditions/<name>.webp for each type: its first samples, side by side, on white."""
    folder = images / "initial_conditions"
    folder.mkdir(parents=True, exist_ok=True)
    for name in registry:
        row = gallery_row(
            name,
            SAMPLES,
            grid_size=SIDE,
            num_channels=3,
            seed=42,
            device="cpu",
            colormap="viridis",
            channels="rgb",
        )
        picture = np.full((SIDE, SAMPLES * (SIDE + GAP) - GAP, 4), 255, np.uint8)
        picture[..., 3] = 0
        for place, cell in enumerate(row.pictures):
            left = place * (SIDE + GAP)
            picture[:, left : left + SIDE, :3] = cell
            picture[:, left : left + SIDE, 3] = 255
        Image.fromarray(picture).save(folder / f"{name}.webp", quality=QUALITY, method=6)
