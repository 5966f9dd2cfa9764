"""A type that stands in a module of its own, outside the package, is everywhere once it is imported."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spinlock.cli.program import run
from spinlock.dataset import open_dataset
from spinlock.dataset.catalogues import catalogue
from spinlock.dataset.reference import initial_conditions_page
from spinlock.errors import ConfigError
from spinlock.initial_conditions import InitialCondition, registry
from spinlock.testing.contracts import CONTRACTS
from spinlock.testing.laws import draw_from, holds, power_law_noise
from tiny import PLAIN, generate

MODULE = '''
"""Sand: grains of two sizes."""

from typing import Annotated

import torch

from spinlock.initial_conditions import initial_condition
from spinlock.initial_conditions.laws import variance
from spinlock.numerics.columns import column
from spinlock.registry import Real
from spinlock.shapes import Fields, PerSample


@initial_condition(
    domain="geology",
    tier=4,
    source="Bagnold 1941",
    sites=("grains",),
    native=1,
    cost="closed",
    laws=(variance(2.0),),
)
def sand(grid, keys, *, variance: Annotated[PerSample, Real(0.1, 10.0)] = 1.0) -> Fields:
    """White noise of any variance."""
    return column(variance).sqrt() * keys.normal("grains", 1, grid.size, grid.size)
'''


@pytest.fixture
def sand(tmp_path: Path) -> Iterator[InitialCondition]:
    """Import the module, and forget it afterwards."""
    registry.load()
    (tmp_path / "beach_of_test.py").write_text(MODULE)
    sys.path.insert(0, str(tmp_path))
    importlib.invalidate_caches()
    try:
        importlib.import_module("beach_of_test")
        yield registry["sand"]
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("beach_of_test", None)
        if "sand" in registry:
            registry.remove("sand")


def test_it_keeps_every_promise_and_its_law(sand: InitialCondition) -> None:
    for contract in CONTRACTS:
        contract(sand)
    for law in sand.laws:
        law(draw_from(sand))
        assert not holds(law, power_law_noise())


def test_a_configuration_uses_it(sand: InitialCondition, tmp_path: Path) -> None:
    ways = {"method": "sampled", "ic_type_weights": {"sand": 1.0}, "sand": {"variance_range": [2.0, 3.0]}}
    path = generate(tmp_path / "sand.h5", PLAIN, {"simulation.input_generation": ways})
    with open_dataset(path) as ds:
        assert set(ds.metadata["ic_types"]) == {"sand"}
        values = [json.loads(ds[row].metadata["ic_options"])["variance"] for row in range(len(ds))]
        assert all(2.0 <= value <= 3.0 for value in values)
        measured = np.array([ds[row].inputs.var() for row in range(len(ds))])
        assert measured == pytest.approx(values, rel=0.4)
    with pytest.raises(ConfigError, match=r"variance_ragne.*did you mean"):
        generate(
            tmp_path / "x.h5",
            PLAIN,
            {"simulation.input_generation": {"method": "sand", "sand": {"variance_ragne": [2, 3]}}},
        )


def test_gallery_listing_and_reference_show_it(sand: InitialCondition, tmp_path: Path) -> None:
    picture = tmp_path / "sand.png"
    words = ["visualize-ic-types", "--output", str(picture), "--quiet", "--grid-size", "32"]
    assert run([*words, "--ic-types", "sand"]) == 0
    assert np.asarray(Image.open(picture)).std() > 10
    assert "sand" in [entry["name"] for entry in catalogue("initial-conditions")]
    page = initial_conditions_page()
    assert "| [sand](#sand) | 4 | geology |" in page
    assert "mean variance within a sample is 2" in page.split("## sand")[1]


def test_it_is_gone_afterwards() -> None:
    assert "sand" not in registry
