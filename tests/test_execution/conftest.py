"""Datasets that are made once a session."""

from pathlib import Path

import pytest

import tiny
from spinlock.execution import plan


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
