"""The documentation as a site (mkdocs.yml)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

pytest.importorskip("mkdocs", reason="MkDocs is not installed: pip install --group docs")
pytest.importorskip("material", reason="MkDocs Material is not installed: pip install --group docs")
pytest.importorskip("mkdocstrings_handlers.python", reason="mkdocstrings is not installed: pip install --group docs")


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Links that lead nowhere are warnings, and `--strict` makes errors of warnings."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    start = (tmp_path / "index.html").read_text()
    assert 'href="DEPLOYMENT/"' in start
    assert 'src="images/search.webp"' in start
    assert "POST /api/v1/search" in (tmp_path / "routes" / "index.html").read_text()
    assert "SearchEngine" in (tmp_path / "python" / "index.html").read_text()
    assert 'href="0040-where-a-ranking-ends/"' in (tmp_path / "decisions" / "index.html").read_text()
