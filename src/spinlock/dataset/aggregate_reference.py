"""The reference of the aggregates, rendered from their declarations."""

import inspect

from spinlock.visualization.aggregates import DEFAULT_AGGREGATES, Aggregate, aggregates

KINDS = {
    "field": "C maps, coloured like the fields themselves and by the same scale",
    "overlay": "luminance, hue and weight, blended",
    "components": "three signed maps as red, green and blue, grey where they are 0",
    "heatmap": "one map through a colormap",
}

INTRODUCTION = """# Aggregates

{count} pictures of an ensemble, in columns beside its realizations; {default} are shown by default.
[visualization.md](visualization.md) says how to make them.

x_m is realization m of the m that are still finite, [C, H, W] on its native grid. Maps are computed there and
averaged over areas where a cell is smaller. Kinds:

{kinds}
"""


def aggregate_reference_page() -> str:
    """Return docs/aggregates.md."""
    kinds = "\n".join(f"- *{name}*: {words}." for name, words in KINDS.items())
    default = ", ".join(f"`{name}`" for name in DEFAULT_AGGREGATES)
    introduction = INTRODUCTION.format(count=len(aggregates), default=default, kinds=kinds)
    return introduction + "".join(_definition(entry) for entry in aggregates.entries())


def _definition(entry: Aggregate) -> str:
    colormap = f", `{entry.colormap}`" if entry.colormap else ""
    definition = inspect.cleandoc(entry.function.__doc__ or "").replace("``", "`")
    return f"\n## {entry.name}\n\n*{entry.kind}{colormap}*. {definition}\n"
