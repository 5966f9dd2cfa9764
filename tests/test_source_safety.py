"""The source holds nothing by which data could become code: no pickle, no eval, no unsafe YAML, no shell.

The few places that import a module by a computed name are listed, each with why its name is no stranger's.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import spinlock

SOURCE = Path(spinlock.__file__).parent
FORBIDDEN_MODULES = (
    "pickle",
    "cPickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "code",
    "runpy",
)
FORBIDDEN_NAMES = ("eval", "exec", "compile", "__import__", "execfile")
FORBIDDEN_CALLS = {
    "os": (
        "system",
        "popen",
        "execv",
        "execve",
        "execvp",
        "execl",
        "spawnv",
        "spawnl",
        "posix_spawn",
        "startfile",
    ),
    "torch": ("load", "hub"),
    "yaml": ("load", "load_all", "full_load", "unsafe_load", "full_load_all", "unsafe_load_all"),
    "subprocess": ("getoutput", "getstatusoutput"),
    "pandas": ("read_pickle",),
    "joblib": ("load",),
}
IMPORTS_BY_NAME = {
    "registry.py": "modules of a catalogue's own package, found on disk, never named by data",
    "config/__init__.py": "names of a constant table",
    "dataset/__init__.py": "names of a constant table",
    "cli/program.py": "names of the constant tuple of commands",
    "storage/codecs.py": "constants given by the codecs",
}


def dotted(node: ast.expr) -> tuple[str, ...]:
    """The parts of ``a.b.c``; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return (*dotted(node.value), node.attr)
    return (node.id,) if isinstance(node, ast.Name) else ()


def keyword(call: ast.Call, name: str) -> object:
    return next((ast.dump(word.value) for word in call.keywords if word.arg == name), None)


def import_faults(node: ast.AST) -> Iterator[str]:
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
        wanted = FORBIDDEN_CALLS.get(node.module or "", ())
        yield from (f"from {node.module} import {a.name}" for a in node.names if a.name in wanted)
    yield from (f"import {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES)


def call_faults(call: ast.Call, file: str) -> Iterator[str]:
    parts = dotted(call.func)
    name = parts[-1] if parts else ""
    if isinstance(call.func, ast.Name) and name in FORBIDDEN_NAMES:
        yield name
    if len(parts) == 2 and name in FORBIDDEN_CALLS.get(parts[0], ()):
        yield ".".join(parts)
    if keyword(call, "shell") not in (None, ast.dump(ast.Constant(False))):
        yield "shell"
    if parts in (("np", "load"), ("numpy", "load")) and keyword(call, "allow_pickle") != ast.dump(
        ast.Constant(False)
    ):
        yield "np.load without allow_pickle=False"
    if keyword(call, "allow_pickle") == ast.dump(ast.Constant(True)):
        yield "allow_pickle=True"
    if parts[:1] == ("yaml",) and any(dotted(word)[-1:] in _LOADERS for word in call.args):
        yield "an unsafe YAML loader"
    constant = bool(call.args) and isinstance(call.args[0], ast.Constant)
    if name == "import_module" and not constant and file not in IMPORTS_BY_NAME:
        yield "import_module of a computed name"


_LOADERS = (
    ("Loader",),
    ("FullLoader",),
    ("UnsafeLoader",),
    ("CLoader",),
    ("CFullLoader",),
    ("CUnsafeLoader",),
)


def faults(text: str, file: str = "x.py") -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        found.extend(import_faults(node))
        if isinstance(node, ast.Call):
            found.extend(call_faults(node, file))
    return found


FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


def test_no_data_becomes_code():
    assert len(FILES) > 200
    found = {file: faults((SOURCE / file).read_text(), file) for file in FILES}
    assert {file: what for file, what in found.items() if what} == {}


def test_every_exception_is_needed():
    for file in IMPORTS_BY_NAME:
        assert "import_module of a computed name" in faults((SOURCE / file).read_text()), file


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import marshal as m",
        "eval('1')",
        "exec(text)",
        "compile(text, 'x', 'exec')",
        "__import__(name)",
        "os.system('ls')",
        "os.popen('ls')",
        "from os import system",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=flag)",
        "torch.load(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.compose(text, yaml.UnsafeLoader)",
        "importlib.import_module(name)",
    ],
)
def test_the_search_finds(text):
    assert faults(text)


@pytest.mark.parametrize(
    "text",
    [
        "re.compile('x')",
        "np.load(path, allow_pickle=False)",
        "yaml.compose(text, yaml.SafeLoader)",
        "importlib.import_module('numba')",
        "subprocess.Popen(words)",
        "model.eval()",
        "build().eval()",
    ],
)
def test_the_search_passes_over(text):
    assert faults(text) == []
