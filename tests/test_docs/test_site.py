"""The site builds from clean without a warning, its links resolve, and it loads nothing from another host."""

import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import spinlock
from built_site import Site
from tiny import ROOT, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "build_docs.py"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site") / "html"
    done = build(folder)
    assert done.returncode == 0, done.stderr[-4000:]
    return Site(folder.resolve())


def test_every_link_resolves(site: Site) -> None:
    assert list(site.dead_links()) == []
    assert sum(len(page.links) for page in site.pages.values()) > 1000


def test_nothing_is_loaded_from_another_host(site: Site) -> None:
    assert list(site.foreign_loads()) == []
    assert sum(len(page.loads) for page in site.pages.values()) > 100


def test_nothing_of_the_machine_is_on_the_site(site: Site) -> None:
    named = {str(ROOT), str(Path.home()), str(site.folder)}
    assert [path for path in site.pages if any(name in site.pages[path].text for name in named)] == []


def test_every_public_name_is_documented(site: Site) -> None:
    pages = [page for path, page in site.pages.items() if path.parent.name == "reference"]
    anchors = set().union(*(page.anchors for page in pages))
    names = list(public())
    assert [name for name in names if name not in anchors] == []
    assert len(names) > 60
    assert "spinlock.dataset.not_there" not in anchors


def public() -> list[str]:
    """Return every name in ``__all__`` of any module."""
    found = []
    for info in pkgutil.walk_packages(spinlock.__path__, "spinlock."):
        if info.ispkg or info.name == "spinlock.features.storage":
            module = importlib.import_module(info.name)
            found += [f"{info.name}.{name}" for name in getattr(module, "__all__", ())]
    return found


def test_mathematics_is_mathml(small_site) -> None:
    done, site = small_site(
        "Inline $x' = \\alpha x + (1 - \\alpha) y$ and\n\n$$\\sum_{i=1}^N \\frac{a_i}{b}$$\n"
    )
    assert done.returncode == 0, done.stderr
    text = site.pages[site.folder / "index.html"].text
    assert text.count("<math") == 2
    assert "mfrac" in text
    assert "mathjax" not in text.lower()
    assert list(site.foreign_loads()) == []


FAULTS = {
    "[a](gone.md)": "gone.md",
    "[b](index.md#nowhere)": "nowhere",
    "![c](gone.png)": "gone.png",
    "[d](../gone.py)": "links to ../gone.py",
    "$\\nocommand{x}$": "nocommand",
    "{py:obj}`spinlock.dataset.Datenset`": "spinlock.dataset.Datenset",
}


def test_every_fault_is_named_and_fails_the_build(small_site) -> None:
    done, site = small_site("\n\n".join(FAULTS))
    assert done.returncode != 0
    assert not site.folder.exists()
    warnings = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert [fault for fault, named in FAULTS.items() if not any(named in line for line in warnings)] == []


NOTEBOOK = """---
file_format: mystnb
kernelspec: {name: python3, display_name: Python 3}
---
# Title

```{code-cell} ipython3
from spinlock.errors import UsageError

raise UsageError("on purpose")
```
"""


def test_a_notebook_that_fails_fails_the_build(small_site) -> None:
    done, site = small_site(NOTEBOOK)
    assert done.returncode != 0
    assert "UsageError: on purpose" in re.sub(r"\x1b\[[\d;]*m", "", done.stderr)
    assert not site.folder.exists()


@pytest.fixture
def small_site(tmp_path: Path):
    """Build a site of one page, with the configuration of the real one."""

    def make(text: str):
        docs = tmp_path / "docs"
        shutil.copytree(ROOT / "docs" / "_ext", docs / "_ext", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "docs" / "_static", docs / "_static")
        shutil.copy(ROOT / "docs" / "conf.py", docs)
        (docs / "index.md").write_text(text if text.startswith("---") else f"# Title\n\n{text}\n")
        code = (
            "import sys; from pathlib import Path; from build_docs import build\n"
            f"sys.exit(build(Path({str(tmp_path / 'html')!r}), Path({str(docs)!r})))"
        )
        variables = environment()
        variables["PYTHONPATH"] = f"{variables['PYTHONPATH']}:{ROOT / 'scripts'}"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=False
        )
        return done, Site((tmp_path / "html").resolve())

    return make


@pytest.mark.parametrize(
    ("page", "dead", "foreign"),
    [
        ('<a href="b.html">', 1, 0),
        ('<a href="#gone">', 1, 0),
        ('<a href="a.html#here"><p id="here">', 0, 0),
        ('<a href="https://example.org/">', 0, 0),
        ('<img src="https://example.org/x.png">', 0, 1),
        ('<script src="//example.org/x.js"></script>', 0, 1),
        ('<link rel="stylesheet" href="https://example.org/x.css">', 0, 1),
        ('<link rel="canonical" href="https://example.org/">', 0, 0),
        ('<img srcset="https://example.org/x.png 2x">', 0, 1),
        ('<p style="background: url(https://example.org/x.png)">', 0, 1),
        ("<style>@import 'https://example.org/x.css';</style>", 0, 1),
        ("<script>fetch('https://example.org/x')</script>", 0, 1),
        ('<img src="gone.png">', 1, 0),
        ('<img src="data:image/png;base64,AAAA">', 0, 0),
    ],
)
def test_the_checks_find_what_they_look_for(page: str, dead: int, foreign: int, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(page)
    site = Site(tmp_path.resolve())
    assert (len(list(site.dead_links())), len(list(site.foreign_loads()))) == (dead, foreign)
