"""What every test may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from random_checkpoint import build_checkpoint
from tests.support.qdrant_process import QdrantProcess

SHARED = Path(__file__).parent.parent.parent / "shared"
"""Photographs beside the repository; tests that need them are skipped where they are not."""


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with test photographs is not here")
    return SHARED


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CLIP checkpoint of the true structure, small enough to load at once; its weights are random."""
    return build_checkpoint(tmp_path_factory.mktemp("tiny-clip"), size="tiny")


@pytest.fixture(scope="session")
def qdrant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantProcess]:
    """A Qdrant server for all tests that leave it running; each uses a collection of its own."""
    process = QdrantProcess(tmp_path_factory.mktemp("qdrant"))
    process.start()
    yield process
    process.stop()
