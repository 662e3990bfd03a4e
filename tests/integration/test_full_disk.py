"""A disk that becomes full ends no process, loses nothing, and keeps nothing from starting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.full_disk import WRITERS
from tests.support.paths import REPOSITORY
from tests.support.servers import PATIENCE


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 360 MB: a small collection, of which 230 MB are holes, and a little more."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a small file system, on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=360m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def do(deed: str, folder: Path) -> dict[str, Any]:
    """Have a process do something; fails if the kernel ends it."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.support.full_disk", deed, folder],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert process.returncode == 0, f"{deed}: {process.returncode} {process.stderr[-2000:]}"
    answer: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return answer


def test_while_the_disk_fills_writers_are_refused_and_nothing_is_lost(small_disk: Path) -> None:
    written = do("write", small_disk)
    assert written["refused"] == ["disk_full"]
    assert written["acknowledged"] >= WRITERS
    assert written["images"] == written["acknowledged"] - written["deleted"]
    assert written["found"] == 10

    # The disk is still too full for writes, and what is in the collection is there.
    assert do("start", small_disk) == {"images": written["images"], "found": 10, "refused": True}


def test_files_that_could_end_the_process_are_not_opened_on_a_full_disk(small_disk: Path) -> None:
    do("make", small_disk)
    error = do("start", small_disk)["error"]
    assert "The disk of DATA_DIR is full" in error
    assert "Make room" in error

    (small_disk / "ballast").unlink()
    assert do("start", small_disk)["images"] == 1
