"""Pages, pictures and benchmarks are remade by one command each."""

import importlib.util
import math
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tiny import ROOT


def module_of(path: Path) -> ModuleType:
    """A script as a module; it may change `sys.path`, which is put back."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    before = list(sys.path)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
        del sys.modules[spec.name]
    return module


@pytest.fixture(scope="module")
def render_docs() -> ModuleType:
    return module_of(ROOT / "scripts" / "render_docs.py")


@pytest.fixture(scope="module")
def benchmarks() -> ModuleType:
    return module_of(ROOT / "benchmarks" / "run.py")


def test_every_step_has_a_name_and_every_page_is_there(render_docs: ModuleType) -> None:
    names = list(render_docs.steps())
    assert names == [*render_docs.PAGES, *render_docs.PICTURES]
    assert all((ROOT / "docs" / page).is_file() for page in render_docs.PAGES)


def test_the_steps_asked_for_are_done_alone(
    render_docs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    done = []
    made = {"a.md": lambda: done.append("a"), "b": lambda: done.append("b"), "c": lambda: done.append("c")}
    monkeypatch.setattr(render_docs, "steps", lambda: made)
    assert render_docs.main(["--only", "c", "a.md"]) == 0
    assert done == ["c", "a"]
    assert re.fullmatch(r"c \(\d+ s\)\na\.md \(\d+ s\)\n", capsys.readouterr().out)
    assert render_docs.main(["--list"]) == 0
    assert (done, capsys.readouterr().out) == (["c", "a"], "a.md\nb\nc\n")
    assert render_docs.main([]) == 0
    assert done == ["c", "a", "a", "b", "c"]
    with pytest.raises(SystemExit):
        render_docs.main(["--only", "d"])
    assert "nothing is called d" in capsys.readouterr().err


def test_a_page_is_written_where_it_belongs(render_docs: ModuleType, tmp_path: Path) -> None:
    render_docs.write_page(tmp_path / "deep" / "page.md", lambda: "λ\n")
    assert (tmp_path / "deep" / "page.md").read_bytes() == "λ\n".encode()


def test_every_benchmark_is_run_by_the_command_and_named_on_the_page(benchmarks: ModuleType) -> None:
    names = [path.stem for path in benchmarks.benchmarks()]
    assert set(names) == set(benchmarks.SMALL)
    assert set(benchmarks.NEEDS_GPU) <= set(names)
    folder = ROOT / "benchmarks"
    assert {path.stem for path in folder.glob("*.py")} >= {*names, "run", "jobs"}
    assert "jobs" not in names
    page = (ROOT / "docs" / "performance.md").read_text()
    assert "python benchmarks/run.py" in page


def test_the_plain_features_know_no_waves_that_a_small_grid_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are NaN in both, and a number that only one of both knows is a difference."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    features = module_of(ROOT / "benchmarks" / "features.py")
    band = features.SPECTRAL["fft_power_scale_0_max"]
    small, large = (features.rollouts(1, 17, 3, size) for size in (32, 48))
    assert band(small[0]).isnan().all()
    assert band(large[0]).isfinite().all()
    assert features.compared(small) == {}
    monkeypatch.setitem(features.PER_TIMESTEP, "spatial_mean", lambda u: u.mean((-2, -1)) * math.nan)
    assert set(features.compared(small)) == {"spatial_mean"}


SCRIPT = '''"""Print {what}."""

if __name__ == "__main__":
    print("| a | b |\\n|---|---|\\n| 1 | 2 |\\n| 3 | 4 |")
    {end}
'''


def test_the_table_tells_what_ran_what_missed_its_bound_and_what_failed(
    benchmarks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    ends = {"good": "raise SystemExit(0)", "slow": "raise SystemExit(1)", "torn": "1 / 0"}
    for name, end in ends.items():
        (tmp_path / f"{name}.py").write_text(SCRIPT.format(what=f"what {name} costs", end=end))
    (tmp_path / "part.py").write_text('"""A part of the others."""\n')
    scripts = benchmarks.benchmarks(tmp_path)
    assert [path.stem for path in scripts] == list(ends)
    ran = benchmarks.run_all(scripts)
    assert [found.result for found in ran] == ["ran", "a bound is not kept", "failed with code 1"]
    said = capsys.readouterr().out
    assert "ZeroDivisionError" in said
    table = said.split(benchmarks.TITLE)[1].strip().splitlines()
    assert re.fullmatch(r"\| good \| what good costs \| \d+ \| 2 \| ran \|", table[0])
    assert len(table) == 3

    monkeypatch.setattr(benchmarks, "benchmarks", lambda: scripts[:1])
    assert benchmarks.main(["--only", "good"]) == 0
    monkeypatch.setattr(benchmarks, "benchmarks", lambda: scripts)
    assert benchmarks.main(["--only", "good", "slow"]) == 1
    with pytest.raises(SystemExit):
        benchmarks.main(["--only", "god"])
