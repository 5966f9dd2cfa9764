"""Spinlock: datasets of stochastic neural dynamical systems, reproducible to the bit."""


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
