#!/usr/bin/env python3
"""Write the documentation pages and pictures that are rendered from the code."""

import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]

from spinlock.dataset.documentation import data_format_page
from spinlock.dataset.feature_reference import feature_reference_page
from spinlock.dataset.gallery import render_gallery
from spinlock.dataset.reference import initial_conditions_page

if __name__ == "__main__":
    docs = here.parent / "docs"
    (docs / "data_format.md").write_text(data_format_page(), encoding="utf-8")
    (docs / "initial_conditions.md").write_text(initial_conditions_page(), encoding="utf-8")
    (docs / "features" / "feature-reference.md").write_text(feature_reference_page(), encoding="utf-8")
    render_gallery(
        docs / "images" / "initial_conditions.png", variations=4, cell=(56, 56), labels=True, spacing=True
    )
