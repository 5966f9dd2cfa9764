"""The examples run, and say what they promise."""

import subprocess
import sys
from pathlib import Path

from tiny import ROOT, environment


def test_the_tutorial_of_features(tmp_path: Path) -> None:
    script = ROOT / "examples" / "demos" / "feature_extraction_tutorial.py"
    output = tmp_path / "tutorial.h5"
    done = subprocess.run(
        [sys.executable, str(script), "--samples", "12", "--output", str(output)],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "153 features" in done.stdout
    assert "aggregated (12, 271)" in done.stdout
    assert output.is_file()
