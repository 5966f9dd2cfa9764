"""Spinlock: datasets of stochastic neural dynamical systems, reproducible to the bit."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (what an older Python started from a checkout is told)
    raise ImportError(
        "Spinlock needs Python 3.11 or later, and this is %d.%d (%s). Make an environment with a later one: "  # noqa: UP031
        "python3.12 -m venv .venv && .venv/bin/pip install ." % (*sys.version_info[:2], sys.executable)
    )


def __getattr__(name: str) -> str:
    """Return ``__version__``, which is written in pyproject.toml alone."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import tomllib
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    checkout = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if checkout.is_file():
        return str(tomllib.loads(checkout.read_text(encoding="utf-8"))["project"]["version"])
    try:
        return version("spinlock")
    except PackageNotFoundError:
        return "unknown"
