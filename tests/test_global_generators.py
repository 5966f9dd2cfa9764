"""No module draws from a generator that others share, or seeds one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import spinlock

FORBIDDEN = re.compile(
    r"""(numpy\.random|random|secrets|torch\.random|torch\.distributions|torch\.nn\.init)(\..*)?
    | torch\.((initial_)?seed|manual_seed|[gs]et_rng_state|fork_rng|default_generator)
    | torch\.(cuda|mps|xpu)\.(manual_seed|seed|initial_seed|[gs]et_rng_state)(_all)?
    | torch\.(rand|randn|randint)(_like)? | torch\.(randperm|normal|bernoulli|poisson|multinomial|binomial)
    | torch\.(nn\.functional\.)?(\w*dropout\w*|rrelu\w*|gumbel_softmax)
    | hash""",
    re.VERBOSE,
)
FORBIDDEN_METHODS = {
    "normal_", "uniform_", "random_", "bernoulli_", "exponential_", "cauchy_", "log_normal_", "geometric_",
    "bernoulli", "multinomial",
}  # fmt: skip
# modules that fill their weights from the global generator when built, or draw from it when called
FORBIDDEN_CALLS = re.compile(
    r"torch\.nn\.(Conv\w*|Lazy\w*|Linear|Bilinear|Embedding\w*|RNN\w*|LSTM\w*|GRU\w*|Transformer\w*|"
    r"MultiheadAttention|\w*Dropout\w*|RReLU)"
)


def global_randomness(source: str) -> Iterator[str]:
    """Yield what a module's text draws from, or does to, a generator that others share."""
    tree = ast.parse(source)
    known = {"hash": "hash"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                known[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def dotted(node: ast.AST) -> str:
        if isinstance(node, ast.Attribute):
            return f"{dotted(node.value)}.{node.attr}"
        return known.get(node.id, "") if isinstance(node, ast.Name) else ""

    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and FORBIDDEN.fullmatch(dotted(node)):
            yield dotted(node)
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_METHODS:
            yield f".{node.attr}"
        built = (
            [node.func]
            if isinstance(node, ast.Call)
            else node.bases
            if isinstance(node, ast.ClassDef)
            else []
        )
        yield from (dotted(part) for part in built if FORBIDDEN_CALLS.fullmatch(dotted(part)))


SOURCE = Path(spinlock.__file__).parent

# the shipped contracts compare the states before and after a part has run
STATE_READERS = {"numpy.random", "numpy.random.get_state", "random", "random.getstate", "torch.get_rng_state"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_module_touches_a_global_generator(path):
    found = set(global_randomness(path.read_text()))
    if path.is_relative_to(SOURCE / "testing"):
        found -= STATE_READERS
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        "import torch; torch.manual_seed(0)",
        "import torch as t; t.cuda.manual_seed_all(0)",
        "from torch import randn; randn(3)",
        "import torch; x = torch.rand_like(y)",
        "import torch.nn.functional as F; F.dropout(x, 0.1)",
        "from torch import nn; nn.init.zeros_(w)",
        "from torch import nn; layer = nn.Conv2d(1, 1, 3)",
        "from torch import nn\nclass Layer(nn.Linear): pass",
        "w.normal_()",
        "import numpy as np; np.random.default_rng(0)",
        "from numpy.random import default_rng; default_rng(0)",
        "from numpy import random; random.rand()",
        "import random; random.random()",
        "from random import choice; choice([1])",
        "seed = hash('name')",
    ],
)
def test_the_search_finds_a_global_generator(line):
    assert list(global_randomness(line))


@pytest.mark.parametrize(
    "line",
    [
        "from spinlock.numerics.random import SampleKeys; SampleKeys.of(k, i, ())",
        "import torch; torch.nn.functional.conv2d(x, w); torch.relu(x)",
        "import hashlib; hashlib.sha256()",
        "class A:\n    def __hash__(self): return 1",
        "from torch import nn; isinstance(layer, nn.Conv2d); nn.Module()",
    ],
)
def test_the_search_lets_other_things_pass(line):
    assert not list(global_randomness(line))
