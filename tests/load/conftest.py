from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import RunningServer, make_settings, running_server

KEY = "load-test-key"


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    """Return a server that wants a key, so that tests can have it reject what they send."""
    settings = make_settings(tmp_path_factory.mktemp("data"), tiny_checkpoint, log_level="ERROR", api_keys=KEY)
    with running_server(settings) as running:
        running.http.headers["X-API-Key"] = KEY
        yield running
