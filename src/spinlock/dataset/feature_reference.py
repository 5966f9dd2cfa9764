"""The reference of the features, rendered from their declarations."""

import inspect
from collections import Counter
from collections.abc import Iterator

from spinlock.features.catalogue import SDF_VERSION, Feature, registry

TITLES = {
    "spatial": "Spatial",
    "spectral": "Spectral",
    "temporal": "Temporal",
    "operator_sensitivity": "Operator sensitivity",
    "cross_channel": "Cross-channel",
    "causality": "Causality",
    "invariant_drift": "Invariant drift",
}

LEVELS = {
    "field": "one number for each channel of a frame; stored as the mean over channels and over the "
    "realizations that are finite",
    "frame": "one number for each frame; stored as the mean over the realizations that are finite",
    "trajectory": "one number for each channel of a realization, or one for all channels; stored as the mean "
    "over channels",
    "operator": "one number for each operator",
}

INTRODUCTION = """# Feature reference

{count} summary descriptor features, version {version}: {categories}.
[extraction-guide.md](extraction-guide.md) says how to extract and read them.

Conventions: u is a field on its native H×W grid, which is periodic; ⟨·⟩ is the mean over its pixels, x runs
along W, y along H, lengths are in pixels and times in steps. T counts frames, the initial condition included.
A field is *flat* where its standard deviation is at most 10⁻⁶·max|u|. Only the frames of a realization before
its first value that is not finite, or beyond 10⁸, are used. With fewer than *min T* frames or *min C*
channels a feature is NaN. Features that are *redundant* are functions of the others named.

Levels:

{levels}
"""


def feature_reference_page() -> str:
    """Return docs/features/feature-reference.md."""
    entries = sorted(registry.entries(), key=lambda entry: entry.index)
    counts = Counter(entry.category for entry in entries)
    listed = ", ".join(f"{TITLES[name].lower()} {count}" for name, count in counts.items())
    levels = "\n".join(f"- *{name}*: {words}." for name, words in LEVELS.items())
    introduction = INTRODUCTION.format(
        count=len(entries), version=SDF_VERSION, categories=listed, levels=levels
    )
    return introduction + "".join(_category(name, entries) for name in counts)


def _category(name: str, entries: list[Feature]) -> str:
    chosen = [entry for entry in entries if entry.category == name]
    header = "| # | name | level | range | unit | min T | min C | scale | redundant with |"
    rows = "\n".join(_row(entry) for entry in chosen)
    definitions = "".join(_definitions(chosen))
    module = inspect.getmodule(chosen[0].function)
    introduction = inspect.cleandoc((module and module.__doc__) or "").replace("``", "`")
    return f"\n## {TITLES[name]}\n\n{introduction}\n\n{header}\n|{'---|' * 9}\n{rows}\n{definitions}"


def _row(entry: Feature) -> str:
    cells = (
        str(entry.index),
        f"`{entry.name}`",
        entry.level,
        entry.bounds,
        entry.unit,
        str(entry.minimum_frames),
        str(entry.minimum_channels),
        "" if entry.transform == "none" else entry.transform,
        ", ".join(f"`{other}`" for other in entry.redundant_with),
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _definitions(entries: list[Feature]) -> Iterator[str]:
    """Yield each definition once, under the names of all features that it defines."""
    for definition in dict.fromkeys(entry.definition for entry in entries):
        names = ", ".join(f"`{entry.name}`" for entry in entries if entry.definition == definition)
        yield f"\n### {names}\n\n{definition.replace('``', '`')}\n"
