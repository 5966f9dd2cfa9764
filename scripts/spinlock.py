#!/usr/bin/env python3
"""The ``spinlock`` command, run from a checkout.

This file has the name of the package, so its own folder must not be searched for modules: here, and in the
worker processes, which are started with ``-P`` (no implicit folder).
"""

import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]

try:
    import spinlock  # noqa: F401
except ModuleNotFoundError:
    sys.path.insert(0, str(here.parent / "src"))

from spinlock.cli import main

if __name__ == "__main__":
    main()
