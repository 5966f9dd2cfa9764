"""Sizes as they are written on the command line."""


def parse_size(text: str, flag: str) -> tuple[int, int]:
    """Return (height, width) of ``HxW``.

    Raises
    ------
    UsageError
        For anything else.
    """
    from spinlock.errors import UsageError

    height, cross, width = text.lower().partition("x")
    if cross and height.isdecimal() and width.isdecimal() and int(height) > 0 and int(width) > 0:
        return int(height), int(width)
    raise UsageError(f"{flag} {text}: write height x width in pixels, such as 128x128")
