"""What `helm test` runs finds out whether a server works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.helm_charts import CHART
from tests.support.servers import make_settings, running_server

KEY = "key-of-the-test"


def smoke_test(**environment: str) -> subprocess.CompletedProcess[str]:
    script = CHART / "files" / "smoke_test.py"
    return subprocess.run(
        [sys.executable, script], env={**os.environ, **environment}, capture_output=True, text=True, cwd=CHART
    )


def test_it_indexes_finds_and_deletes(tmp_path: Path, tiny_checkpoint: Path) -> None:
    settings = make_settings(tmp_path, tiny_checkpoint, api_keys=[KEY], log_level="ERROR")
    with running_server(settings) as server:
        done = smoke_test(URL=server.url, API_KEYS=f"{KEY},another")
        assert done.returncode == 0, done.stderr
        assert "found it with a score of" in done.stdout
        left = server.http.get("/images", headers={"X-API-Key": KEY}).json()
        assert left["images"] == []
        assert smoke_test(URL=server.url, API_KEYS="wrong").returncode != 0


def test_it_fails_where_nothing_answers() -> None:
    assert smoke_test(URL="http://127.0.0.1:1").returncode != 0
