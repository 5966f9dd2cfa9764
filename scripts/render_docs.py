#!/usr/bin/env python3
"""Write the documentation pages that are rendered from the code."""

import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]

from spinlock.dataset.documentation import data_format_page

if __name__ == "__main__":
    (here.parent / "docs" / "data_format.md").write_text(data_format_page(), encoding="utf-8")
