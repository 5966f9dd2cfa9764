"""The reference is that of the code: pages rendered from it are up to date, and name everything there is."""

import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import spinlock
import tiny
from spinlock.cli.program import COMMANDS, build_parser
from spinlock.cli.reference import commands_page, option_groups, subcommands
from spinlock.config.model import Config
from spinlock.config.parameters import known_parameters
from spinlock.dataset.configuration_reference import EXAMPLE, INITIAL_CONDITIONS, configuration_page, walk
from spinlock.initial_conditions import registry
from spinlock.operators import families

DOCS = tiny.ROOT / "docs"
CONFIGURATION = (DOCS / "reference" / "configuration.md").read_text()
PAGE_OF_COMMANDS = (DOCS / "reference" / "commands.md").read_text()


def test_the_page_of_the_configuration_is_rendered_from_the_model() -> None:
    assert configuration_page() == CONFIGURATION, "run scripts/render_docs.py"


def test_the_page_of_the_commands_is_rendered_from_the_parsers() -> None:
    assert commands_page(build_parser()) == PAGE_OF_COMMANDS, "run scripts/render_docs.py"


def test_every_key_and_parameter_is_on_the_page() -> None:
    keys = [(path, name) for path, section, _ in walk() for name in section.model_fields]
    assert len(keys) > 50
    for path, name in keys:
        section = CONFIGURATION.partition(f"\n## {path or 'Top level'}\n")[2].partition("\n## ")[0]
        assert f"\n| `{name}` |" in section, (path, name)
    assert [name for name in known_parameters(families) if f"\n| `{name}` |" not in CONFIGURATION] == []
    assert "`not_a_key`" not in CONFIGURATION


def test_every_field_has_a_description_and_says_what_it_affects() -> None:
    for _, section, _ in walk():
        for name, field in section.model_fields.items():
            assert field.description, name
    assert Config.model_fields["version"].description


def test_the_examples_of_the_configuration_load(tmp_path: Path) -> None:
    values = yaml.safe_load(EXAMPLE)
    (block,) = re.findall(r"```yaml\n(.*?)```", INITIAL_CONDITIONS, re.DOTALL)
    values["simulation"] |= yaml.safe_load(block)
    config = tiny.config_of(tmp_path / "a.h5", values)
    assert config.simulation.input_generation.ic_type_weights == {"turing_pattern": 2, "smooth": 1}


def test_every_command_and_option_is_on_the_page() -> None:
    commands = subcommands(build_parser())
    assert tuple(commands) == COMMANDS
    for name, (command, _) in commands.items():
        section = PAGE_OF_COMMANDS.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        own = [action for title, actions in option_groups(command) if title != "output" for action in actions]
        assert own, name
        for action in own:
            shown = (action.option_strings or [str(action.metavar)])[0]
            assert re.search(rf"^\| `{re.escape(shown)}\b", section, re.MULTILINE), (name, shown)


def examples() -> list[str]:
    written = re.findall(r"```bash notest\n(.*?)```", PAGE_OF_COMMANDS, re.DOTALL)
    lines = "".join(written).replace("\\\n", " ").splitlines()
    return [re.split(r"\s+[#|>]", line)[0] for line in lines]


@pytest.mark.parametrize("line", examples())
def test_examples_of_commands_are_understood(line: str) -> None:
    program, *words = shlex.split(line)
    assert (program, build_parser().parse_args(words).command) == ("spinlock", words[0])


def test_an_example_that_is_not_understood_is_refused() -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["validate", "--dataset", "x.h5", "--replayed", "5"])


def test_every_initial_condition_has_its_picture() -> None:
    page = (DOCS / "initial_conditions.md").read_text()
    pictures = {path.stem for path in (DOCS / "images" / "initial_conditions").iterdir()}
    assert pictures == set(registry)
    assert [name for name in registry if f"(images/initial_conditions/{name}.webp)" not in page] == []
    assert sum(path.stat().st_size for path in (DOCS / "images" / "initial_conditions").iterdir()) < 300_000


def test_every_page_stands_in_a_contents_table() -> None:
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in sources()}
    listed = {entry for path in sources() for entry in contents(path)}
    assert pages - listed == {"index"}
    assert listed - pages == set()


def sources() -> list[Path]:
    return [path for path in DOCS.rglob("*.md") if "_build" not in path.parts]


def contents(path: Path) -> list[str]:
    """Return the pages that a page lists in its tables of contents."""
    found = re.findall(r"^```\{toctree\}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    entries = [
        line.strip() for table in found for line in table.splitlines() if line and not line.startswith(":")
    ]
    named = [re.sub(r"^.*<(.*)>$", r"\1", entry) for entry in entries]
    return [(path.parent / entry).resolve().relative_to(DOCS).as_posix() for entry in named]


def test_every_public_name_is_in_the_reference_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    public_api = importlib.import_module("public_api")
    documented = set()
    for page in (DOCS / "reference").glob("*.md"):
        for module, body in re.findall(r"```\{public-api\} (\S+)\n(.*?)```", page.read_text(), re.DOTALL):
            names = body.split() or public_api.public_names(importlib.import_module(module))
            assert [name for name in names if not hasattr(importlib.import_module(module), name)] == []
            documented |= {f"{module}.{name}" for name in names}
    public = public_names_of_packages()
    assert len(public) > 60
    assert sorted(public - documented) == []
    assert "spinlock.dataset.not_there" not in documented


def public_names_of_packages() -> set[str]:
    """Return every name in ``__all__`` of a package, and of the module that is one of the entry points."""
    names = [info.name for info in pkgutil.walk_packages(spinlock.__path__, "spinlock.") if info.ispkg]
    modules = [importlib.import_module(name) for name in [*names, "spinlock.features.storage"]]
    return {f"{module.__name__}.{name}" for module in modules for name in getattr(module, "__all__", ())}


@pytest.mark.parametrize(
    ("folder", "written", "expected"),
    [
        ("docs", "[a](../CONTRIBUTING.md#habits)", "[a](/project/contributing.md#habits)"),
        ("docs/start", "[a](../../README.md)", "[a](/index.md)"),
        ("docs", "[a](forms.md#x) [b](https://c.org/d.md) [e](#f)", None),
        ("docs", "[a](../configs/cluster/rayjob.yaml)", "[a](/../configs/cluster/rayjob.yaml)"),
        ("", "[a](docs/forms.md), ![p](docs/images/row.png)", "[a](/forms.md), ![p](/images/row.png)"),
        ("configs", "[a](../docs/cluster.md)", "[a](/cluster.md)"),
        ("", "```\n[a](docs/forms.md)\n```\n", None),
    ],
)
def test_links_that_leave_the_folder_lead_somewhere_on_the_site(
    folder: str, written: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    outside_links = importlib.import_module("outside_links")
    assert outside_links.on_the_site(written, tiny.ROOT / folder, DOCS) == (expected or written)


def test_files_that_pages_stand_for_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    included = importlib.import_module("outside_links").INCLUDED
    for file, page in included.items():
        assert (tiny.ROOT / file).is_file(), file
        assert (DOCS / page).is_file(), page


def test_what_is_no_site_is_not_replaced_by_one(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    command = [sys.executable, str(tiny.ROOT / "scripts" / "build_docs.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=tiny.environment(), check=False)
    assert (done.returncode, (tmp_path / "mine.txt").read_text()) == (2, "mine")
    assert "name another folder" in done.stderr


def test_the_reference_of_the_commands_needs_no_numbers() -> None:
    """The parsers, and so the page, are built without torch and numpy."""
    code = """import sys
from spinlock.cli.program import build_parser
from spinlock.cli.reference import commands_page
commands_page(build_parser())
assert not {"torch", "numpy"} & set(sys.modules)"""
    subprocess.run([sys.executable, "-c", code], check=True, env=tiny.environment())
