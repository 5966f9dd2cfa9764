"""How many of what, in words: ``1 row``, ``2 rows``."""


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, which takes an s unless there is one of it."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
