"""How Spinlock is cited: the words that dataset cards, descriptions and CITATION.cff share."""

TITLE = "Spinlock: High-Performance Stochastic Neural Operator Dataset Generator"

AUTHORS = "The Spinlock developers"

YEAR = 2025


def bibtex(version: str) -> str:
    """Return the BibTeX entry of the version that made a dataset."""
    return (
        f"@software{{spinlock,\n  title = {{{TITLE}}},\n  author = {{{{{AUTHORS}}}}},\n"
        f"  year = {{{YEAR}}},\n  version = {{{version}}}\n}}"
    )
