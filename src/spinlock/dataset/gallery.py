"""The gallery of initial conditions: each type's samples at default options, drawn from keys."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from spinlock.errors import UsageError
from spinlock.initial_conditions import catalogue, generate, registry
from spinlock.initial_conditions.aliases import resolve_name
from spinlock.registry import unknown_name
from spinlock.visualization.colour import DEFAULT_COLORMAP, colour_field, colour_strip, lookup_table
from spinlock.visualization.gallery import GalleryRow, GalleryStyle, Section, draw_gallery, gallery_size

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")

LONGEST_SIDE, MOST_PIXELS = 2**20, 2**28
LONGEST = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
"""Pixels of an image: a side, and in all; and a side in formats that hold less."""

Channels = Literal["rgb", "strip"]


def written(tier: catalogue.Tier) -> str:
    """Return a tier as written on the command line: ``baseline``, or ``tier1`` to ``tier4``."""
    return tier if isinstance(tier, str) else f"tier{tier}"


TIERS = tuple(written(tier) for tier in catalogue.TIERS)


def tier_of(name: str) -> str:
    """Return the tier of a type as written on the command line."""
    return written(registry[name].tier)


def types_shown(tiers: Sequence[str] = ("all",), names: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return the names to show under each heading: the given names, or all types of the given tiers.

    Raises
    ------
    UnknownNameError
        For a tier or a name that does not exist, with the near miss.
    """
    for tier in tiers:
        if tier not in (*TIERS, "all"):
            raise unknown_name("tier", tier, (*TIERS, "all"))
    shown: dict[str, list[str]] = {tier: [] for tier in TIERS}
    if names:
        for name in names:
            shown[tier_of(resolve_name(name)[0])].append(name)
    else:
        for name in registry:
            tier = tier_of(name)
            if tier in tiers or "all" in tiers:
                shown[tier].append(name)
    return {tier: listed for tier, listed in shown.items() if listed}


def gallery_row(
    name: str,
    variations: int,
    *,
    grid_size: int,
    num_channels: int,
    seed: int,
    device: str,
    colormap: str,
    channels: Channels,
) -> GalleryRow:
    """Return one type's row: variation v is sample v of the type, whatever else is shown."""
    fields = generate(name, grid_size, num_channels, range(variations), seed, device).cpu().numpy()
    paint = colour_strip if channels == "strip" else colour_field
    label = [
        name,
        registry[resolve_name(name)[0]].domain,
        f"range {fields.min():.3g} … {fields.max():.3g}",
        f"std {np.std(fields, dtype=np.float64):.3g}",
    ]
    return GalleryRow([paint(field, colormap) for field in fields], label)


def render_gallery(
    output: str | Path,
    *,
    tiers: Sequence[str] = ("all",),
    names: Sequence[str] = (),
    variations: int = 3,
    grid_size: int = 128,
    num_channels: int = 3,
    seed: int = 42,
    device: str = "cpu",
    colormap: str = DEFAULT_COLORMAP,
    channels: Channels = "rgb",
    cell: tuple[int, int] | None = None,
    labels: bool = False,
    spacing: bool = False,
) -> Path:
    """Draw the gallery and write it to ``output``; return the path.

    Raises
    ------
    UsageError
        For a suffix that is no image, or names, tiers and sizes that do not exist.
    """
    path = checked_output(output)
    shown = types_shown(tiers, names)
    if variations < 1:
        raise UsageError(f"variations = {variations} is not allowed: it must be at least 1")
    path.parent.mkdir(parents=True, exist_ok=True)
    lookup_table(colormap)
    wide = num_channels if channels == "strip" else 1
    style = GalleryStyle(cell or (grid_size, wide * grid_size), labels, spacing)

    columns = [[variations] * len(listed) for listed in shown.values()]
    check_size(gallery_size(columns, style), path.suffix.lower())
    row = partial(
        gallery_row,
        variations=variations,
        grid_size=grid_size,
        num_channels=num_channels,
        seed=seed,
        device=device,
        colormap=colormap,
        channels=channels,
    )
    sections = [
        Section(tier.replace("tier", "tier "), [row(name) for name in listed])
        for tier, listed in shown.items()
    ]
    _write(draw_gallery(sections, style), path)
    return path


def check_size(size: tuple[int, int], suffix: str) -> None:
    """Refuse an image of (height, width) pixels that no memory or no file of that kind holds."""
    height, width = size
    longest = LONGEST.get(suffix, LONGEST_SIDE)
    if max(size) > longest or height * width > MOST_PIXELS:
        raise UsageError(
            f"the gallery would have {width} × {height} pixels: at most {longest} a side and {MOST_PIXELS:,} "
            f"in all fit a {suffix} file; take fewer variations or types, or a smaller --cell-size"
        )


def checked_output(output: str | Path) -> Path:
    """Return the path of the image, or raise `UsageError` where it cannot be one."""
    path = Path(output)
    if path.is_dir():
        return path / "initial_conditions.png"
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--output {path}: end it in one of {', '.join(SUFFIXES)}")
    return path


def _write(image: Image.Image, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp{path.suffix}")
    try:
        image.save(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
