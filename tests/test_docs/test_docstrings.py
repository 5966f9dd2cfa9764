"""What is public says what it does: shapes of arrays, errors it raises, sources of catalogue entries.

A public name is one in the ``__all__`` of a package, with its public methods, properties and attributes, also
those of the classes it is built on; and a public function or class of a module in `SURFACE`.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

import tiny
from spinlock.cli.program import COMMANDS, build_parser, command_module
from spinlock.config.model import Config
from spinlock.features import registry as features
from spinlock.initial_conditions import registry as initial_conditions
from spinlock.operators import families
from spinlock.rollout import policies
from spinlock.visualization.aggregates import aggregates

SOURCE = tiny.SOURCE / "spinlock"

SURFACE = ("errors", "keys", "registry", "counting", "dataset.splits", "dataset.export", "dataset.statistics")
"""Modules without ``__all__`` whose functions users call, or meet."""

ARRAY = re.compile(r"\b(?:Tensor|ndarray|NDArray)\b")
CHECKED = re.compile(r"\b(?:Float|Int|UInt|Bool|Complex|Shaped|Num|Real)\d*\[")
SHAPE = re.compile(r"\[[^\]\n]*\]|\b[NMTCHWBPKk] (?:rows|values|numbers|samples)\b|scalar")
"""Shapes as they are written: ``[N, M]``, or a column of N values."""

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Public:
    """A public name: where it stands, its definition, and the class that it belongs to."""

    where: str
    node: ast.AST
    doc: str
    owner: str = ""


@cache
def tree_of(module: str) -> ast.Module:
    path = SOURCE / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text())


def modules() -> list[str]:
    """Every module below the package, by its dotted name."""
    names = [path.relative_to(SOURCE).with_suffix("").parts for path in sorted(SOURCE.rglob("*.py"))]
    return [
        ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for parts in names
        if parts != ("__init__",)
    ]


def listed(tree: ast.Module) -> list[str]:
    """The names in ``__all__``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


def resolved(module: str, name: str) -> tuple[str, ast.AST, str] | None:
    """Where a name of a module is defined: that module, the definition, and its docstring."""
    tree = tree_of(module)
    for place, node in enumerate(tree.body):
        if isinstance(node, Definition) and node.name == name and not _only_typed(node):
            return module, node, ast.get_docstring(node) or ""
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            after = tree.body[place + 1] if place + 1 < len(tree.body) else None
            return module, node, _text(after)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("spinlock."):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return resolved((node.module or "").removeprefix("spinlock."), alias.name)
    return None


def _only_typed(node: Definition) -> bool:
    """Whether a definition is for type checkers, or sets what another one describes."""
    marks = [ast.unparse(mark) for mark in node.decorator_list]
    return any(mark == "overload" or mark.endswith(".setter") for mark in marks)


def _text(node: ast.AST | None) -> str:
    """The text of a statement that is nothing else: the docstring of what stands before it."""
    value = node.value if isinstance(node, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def members(module: str, node: ast.ClassDef) -> Iterator[Public]:
    """The public methods, properties and annotated attributes of a class, and of those it is built on."""
    doc = ast.get_docstring(node) or ""
    for place, item in enumerate(node.body):
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_") and not _only_typed(item):
            yield Public(f"{module}.{node.name}.{item.name}", item, ast.get_docstring(item) or "", doc)
        elif isinstance(item, ast.AnnAssign) and not ast.unparse(item.target).startswith("_"):
            after = node.body[place + 1] if place + 1 < len(node.body) else None
            name = ast.unparse(item.target)
            said = _text(after) or _description(item) or (doc if re.search(rf"\b{name}\b", doc) else "")
            yield Public(f"{module}.{node.name}.{name}", item, said, doc)
    for base in node.bases:
        found = resolved(module, ast.unparse(base).partition("[")[0])
        if found is not None and isinstance(found[1], ast.ClassDef):
            yield from members(found[0], found[1])


def _description(item: ast.AnnAssign) -> str:
    """The description that a key of the configuration is declared with."""
    given = item.value.keywords if isinstance(item.value, ast.Call) else []
    return next((ast.unparse(keyword.value) for keyword in given if keyword.arg == "description"), "")


def public_names() -> Iterator[Public]:
    for module in modules():
        tree = tree_of(module)
        names = listed(tree)
        if module in SURFACE:
            names = [n.name for n in tree.body if isinstance(n, Definition) and not n.name.startswith("_")]
        for name in names:
            found = resolved(module, name)
            assert found is not None, f"{module}.{name} is public, and not defined in the package"
            home, node, doc = found
            yield Public(f"{home}.{name}", node, doc)
            if isinstance(node, ast.ClassDef):
                yield from members(home, node)


def raised(node: ast.FunctionDef) -> set[str]:
    """The errors that a function raises by name in its own body."""
    errors = set()
    inner = {
        id(part)
        for child in ast.walk(node)
        if child is not node and isinstance(child, ast.FunctionDef | ast.Lambda)
        for part in ast.walk(child)
    }
    for part in ast.walk(node):
        if isinstance(part, ast.Raise) and id(part) not in inner and part.exc is not None:
            error = part.exc.func if isinstance(part.exc, ast.Call) else part.exc
            if isinstance(error, ast.Name) and error.id[0].isupper():
                errors.add(error.id)
    return errors - {"NotImplementedError", "AttributeError"}


def faults(one: Public) -> list[str]:
    """What a public name does not say of itself."""
    if not one.doc.strip():
        return ["has no docstring"]
    found = []
    first = one.doc.strip().split("\n\n")[0].rstrip()
    if isinstance(one.node, Definition) and not first.endswith((".", "::", ":")):
        found.append(f"begins with no sentence: {first!r}")
    if isinstance(one.node, ast.FunctionDef):
        unsaid = sorted(error for error in raised(one.node) if error not in one.doc)
        found += [f"raises {error} and does not say when" for error in unsaid]
        given = one.node.args
        notes = [argument.annotation for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        texts = [ast.unparse(note) for note in (*notes, one.node.returns) if note is not None]
        arrays = [text for text in texts if ARRAY.search(text) and not CHECKED.search(text)]
        if arrays and not SHAPE.search(one.doc):
            found.append(f"has arrays ({', '.join(arrays)}) and names no shape")
    return found


NAMES = {one.where: one for one in public_names()}


def test_public_names_are_found() -> None:
    assert len(NAMES) > 250
    for known in (
        "dataset.open.Dataset.to_pandas",
        "dataset.drawn.Drawn.rollout",
        "initial_conditions.generation.generate",
        "features.catalogue.SDF_VERSION",
        "dataset.sample.Sample.trajectories",
        "storage.reader.DatasetFile.stored_bytes",
    ):
        assert known in NAMES, known


def test_every_public_name_says_what_it_does() -> None:
    wrong = [f"{where} {fault}" for where, one in sorted(NAMES.items()) for fault in faults(one)]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("def f(x: int) -> int:\n    return x", "has no docstring"),
        ("class A:\n    pass", "has no docstring"),
        ('def f() -> int:\n    """Return a number\n\n    More."""', "begins with no sentence"),
        ('def f():\n    """Do it."""\n    raise UsageError("no")', "raises UsageError"),
        ('def f():\n    """Do it, or raise `UsageError`."""\n    raise UsageError("no")', ""),
        ('def f():\n    """Do it."""\n    def g():\n        raise UsageError\n    return g', ""),
        ('def f(x: Tensor):\n    """Take fields."""', "names no shape"),
        ('def f(x: Tensor):\n    """Take fields [B, C, H, W]."""', ""),
        ('def f() -> "dict[str, np.ndarray]":\n    """Return columns of N values."""', ""),
        ('def f(x: Float[Tensor, "b c"]):\n    """Take fields."""', ""),
        ('def f(x: NDArray[np.int64]) -> None:\n    """Take rows."""', "names no shape"),
    ],
)
def test_what_is_not_said_is_found(source: str, fault: str) -> None:
    node = ast.parse(source).body[0]
    assert isinstance(node, Definition)
    found = faults(Public("m.f", node, ast.get_docstring(node) or ""))
    assert [fault in one for one in found] == ([True] if fault else [])


def test_an_attribute_that_is_not_described_is_found() -> None:
    node = ast.parse(
        'class A:\n    """A thing: its size."""\n    size: int\n    weight: float\n    b: int\n    """b."""'
    ).body[0]
    assert isinstance(node, ast.ClassDef)
    assert [one.where for one in members("m", node) if faults(one)] == ["m.A.weight"]


def test_every_module_begins_with_a_sentence_that_says_what_it_is_for() -> None:
    wrong = [
        module
        for module in modules()
        if not (ast.get_docstring(tree_of(module)) or "").split("\n\n")[0].endswith((".", "::", ":"))
    ]
    assert wrong == []
    assert len(modules()) > 250


def test_every_command_and_every_option_of_one_is_explained() -> None:
    parser = build_parser()
    (commands,) = (action for action in parser._actions if action.choices)
    assert set(commands.choices or ()) == set(COMMANDS)
    for name, command in dict(commands.choices or {}).items():
        module = command_module(name)
        assert module.SUMMARY
        assert module.DESCRIPTION.endswith(".")
        assert f"spinlock {name}" in module.EXAMPLES
        assert [action.dest for action in command._actions if not (action.help or "").strip()] == []


def _fields(model: type) -> Iterator[tuple[str, str | None]]:
    for name, field in model.model_fields.items():
        yield f"{model.__name__}.{name}", field.description
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if hasattr(part, "model_fields"):
                yield from _fields(part)


def test_every_key_of_the_configuration_is_described() -> None:
    described = dict(_fields(Config))
    assert len(described) > 40
    assert [key for key, text in described.items() if not (text or "").strip()] == []


@pytest.mark.parametrize(
    "catalogue", [initial_conditions, families, policies, aggregates, features], ids=lambda c: c.what
)
def test_every_part_of_a_catalogue_is_described(catalogue) -> None:
    for entry in catalogue.entries():
        assert entry.summary.endswith("."), entry.name
        assert all(option.allowed() for option in entry.options.values()), entry.name


def test_parts_that_follow_a_model_name_its_source() -> None:
    year = re.compile(r"\b(1[89]|20)\d\d\b")
    types = [entry for entry in initial_conditions.entries() if entry.tier != "baseline"]
    assert [entry.name for entry in types if not year.search(entry.source)] == []
    assert [entry.name for entry in initial_conditions.entries() if not entry.source] == []
    assert [entry.name for entry in families.entries() if not year.search(entry.facts["source"])] == []
    assert [name for name in features if not features[name].definition] == []
