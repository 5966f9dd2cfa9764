"""The configuration of all 21 domain types: shares, distribution and stored options in its datasets."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from spinlock.cli.program import run
from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.execution.plan import make_plan
from spinlock.initial_conditions import generate, registry
from tiny import ROOT, unchecked_shapes

CONFIG = ROOT / "configs" / "experiments" / "domain_ics_all_21.yaml"
ROWS = 63
SMALL = {
    "sampling.total_samples": ROWS,
    "simulation.num_timesteps": 1,
    "simulation.num_realizations": 1,
    "simulation.device": "cpu",
    "parameter_space.operator.grid_size": {"type": "choice", "choices": [16, 24]},
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("domain") / "domain.h5"
    changes = {**SMALL, "dataset.output_path": str(output)}
    config = load_config(CONFIG, [("test", key, value) for key, value in changes.items()])
    with unchecked_shapes():
        DatasetGenerationPipeline(config).generate()
    return output


def assert_shares(counts: Counter[str], rows: int) -> None:
    """Every type has its share of the rows within 2 + log₂ N, and nothing else occurs."""
    names = {name for name in registry if registry[name].tier != "baseline"}
    assert len(names) == 21
    assert set(counts) <= names
    worst = max(abs(counts[name] - rows / 21) for name in names)
    assert worst <= 2 + math.log2(rows), counts


@pytest.mark.parametrize("rows", [21, 100, 1000])
def test_every_type_has_its_share_of_any_number_of_rows(rows: int) -> None:
    plan = make_plan(load_config(CONFIG, [("test", "sampling.total_samples", rows)]))
    assert_shares(Counter(plan.draw(index).ic_type for index in range(rows)), rows)


def test_types_of_rows_do_not_depend_on_their_number() -> None:
    few, many = (
        make_plan(load_config(CONFIG, [("test", "sampling.total_samples", rows)])) for rows in (50, 200)
    )
    assert all(few.draw(index).ic_type == many.draw(index).ic_type for index in range(50))


def test_info_shows_the_distribution(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_dataset(dataset) as ds:
        counts = Counter(ds.metadata["ic_types"].tolist())
    assert_shares(counts, ROWS)
    assert run(["info", "--dataset", str(dataset), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["distributions"]["ic_types"] == dict(counts)
    assert run(["info", "--dataset", str(dataset)]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in counts)


def test_stored_options_make_every_row_again(dataset: Path) -> None:
    with open_dataset(dataset) as ds:
        for row in range(ROWS):
            stored = ds[row]
            options = json.loads(stored.metadata["ic_options"])
            assert set(options) <= set(registry[stored.metadata["ic_types"]].options)
            size = stored.inputs.shape[-1]
            again = generate(stored.metadata["ic_types"], size, 3, [row], seed=42, **options)[0].numpy()
            assert np.array_equal(again, stored.inputs), stored.metadata["ic_types"]


def test_the_dataset_is_valid(dataset: Path) -> None:
    assert run(["validate", "--dataset", str(dataset), "--replay", "21", "--quiet"]) == 0
