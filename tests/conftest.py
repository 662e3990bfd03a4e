"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from random_checkpoint import build_checkpoint
from tests.support.logs import log_to_standard_error
from tests.support.paths import SHARED
from tests.support.qdrant_process import QdrantProcess

if TYPE_CHECKING:
    from tests.support.commands import Cli

# As the program does, and for the same reason; torch is not loaded before a test needs it.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

log_to_standard_error()

# A busy machine is no defect of what is tested.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")

CROWDS = ("tests/cluster/", "tests/load/", "tests/integration/test_haproxy.py")
"""Tests that have a hundred clients, or a whole cluster, on this machine: never two of them at a time."""

QUALITY = "tests/quality/"
"""Tests that share what the offline model makes of thousands of photographs and texts."""

SLOW = (
    *("tests/cluster/", "tests/integration/", "tests/load/", "tests/quality/", "tests/web/"),
    "tests/unit/encoders/test_other_cpus.py",
)
"""Tests that take minutes: clusters, crowds, browsers, servers as processes, thousands of photographs, and the
encoders' tests once more. Each of them is marked `slow`."""

LONG_PAGES = ("tests/web/test_page.py", "tests/web/test_library.py", "tests/web/test_accessibility.py")
"""The longest files of tests in a browser."""


class ByFile(LoadScopeScheduling):
    """Gives each process the tests of whole files, since those share servers; all crowds to one, and all quality."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(CROWDS):
            return "crowds"
        return QUALITY if nodeid.startswith(QUALITY) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    """Order the tests of a run in several processes, so that none is left with long ones while another is idle."""
    longest_first = (CROWDS, QUALITY, LONG_PAGES, "tests/integration/jobs/", "tests/web/", SLOW)
    return next((rank for rank, names in enumerate(longest_first) if nodeid.startswith(names)), len(longest_first))


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


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Return the command `image-similarity`, run in this process."""
    # Loads most of the package, which most test processes need late or never.
    from tests.support.commands import make_cli

    return make_cli(monkeypatch, capsys, tmp_path)
