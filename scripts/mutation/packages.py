"""What is mutated, and the tests that must notice."""

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path("src/spinlock")


@dataclass(frozen=True)
class Package:
    """Modules under mutation and the module's own tests, as paths from the root of the repository."""

    modules: tuple[Path, ...]
    tests: tuple[str, ...]


def _package(modules: str, tests: str) -> Package:
    found = (path for name in modules.split() for path in sorted((ROOT / SOURCE).glob(name)))
    return Package(tuple(path.relative_to(ROOT) for path in found), tuple(tests.split()))


PACKAGES = {
    "keys": _package(
        "keys.py numerics/random.py numerics/blocks.py",
        "tests/test_keys.py tests/test_numerics/test_random.py tests/test_numerics/test_blocks.py",
    ),
    "sampling": _package("sampling/*.py", "tests/test_sampling"),
    "plan": _package(
        "execution/plan.py config/digest.py",
        "tests/test_execution/test_plan.py tests/test_config/test_plan_digest.py",
    ),
    "rollout": _package("rollout/*.py", "tests/test_rollout"),
    "storage": _package("storage/*.py", "tests/test_storage"),
}


def untouched(package: Package) -> list[str]:
    """Return the modules of Spinlock that import, directly or not, none of a package's modules."""
    source = ROOT / SOURCE.parent
    paths = {_dotted(path.relative_to(source)): path for path in source.rglob("*.py")}
    imported = {name: _imports(path.read_text(encoding="utf-8")) for name, path in paths.items()}
    touched = {_dotted(module.relative_to(SOURCE.parent)) for module in package.modules}
    while more := {name for name, names in imported.items() if names & touched} - touched:
        touched |= more
    return sorted(name for name in paths if not any(_within(name, other) for other in touched))


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _within(name: str, package: str) -> bool:
    """Return whether the import of a module runs that of a package it may stand in."""
    return f"{name}.".startswith(f"{package}.")


def _imports(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found
