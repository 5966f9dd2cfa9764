"""Datasets that are made once a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import faults
import tiny
from spinlock.execution import plan
from test_dataset.scenes import SETTINGS, Scene


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.everything(tmp_path_factory)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.plain(tmp_path_factory)


@pytest.fixture
def few_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three shards instead of one a row: the same rows in a third of the time."""
    monkeypatch.setattr(plan, "FEWEST_SHARDS", 3)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[faults.Laboratory]:
    with faults.laboratory(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="session")
def generating(lab: faults.Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("generate")
    config = tiny.write_config(folder / "c.yaml", SETTINGS)
    words = ("generate", "--quiet", "--config", config, "--output", folder / "run" / "a.h5")
    return Scene(lab, folder / "run", *words)


@pytest.fixture(scope="session")
def replacing(lab: faults.Laboratory, generating: Scene, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("replace")
    config = tiny.write_config(folder / "c.yaml", SETTINGS, sampling__sobol__seed=1)
    words = ("generate", "--quiet", "--force", "--config", config, "--output", folder / "run" / "a.h5")
    return Scene(lab, folder / "run", *words, before=generating.reference)


@pytest.fixture(scope="session")
def extracting(lab: faults.Laboratory, generating: Scene, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("extract")
    words = ("extract-features", "--quiet", "--batch-size", 1, "--dataset", folder / "run" / "a.h5")
    return Scene(lab, folder / "run", *words, before=generating.reference)
