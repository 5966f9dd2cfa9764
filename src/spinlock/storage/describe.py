"""The schema in words: the tree of a dataset as a Markdown table, rendered from its declaration."""

from spinlock.storage.schema import ArraySpec, Layout, arrays

HEADER = "| array | holds | axes | type | chunk |\n|---|---|---|---|---|\n"


def describe(layout: Layout) -> str:
    """Return a Markdown table of every array of a dataset with that layout."""
    return HEADER + "".join(f"{_line(spec)}\n" for spec in arrays(layout))


def _line(spec: ArraySpec) -> str:
    axes = ", ".join(f"{dim} {size}" for dim, size in zip(spec.dims, spec.shape, strict=True))
    dtype = f"UTF-8, {spec.length} bytes" if spec.dtype == "string" else spec.dtype
    chunk = " × ".join(map(str, spec.chunks)) if spec.chunks else ""
    return f"| `/{spec.path}` | {spec.description} | {axes} | {dtype} | {chunk} |"
