"""Imports run downwards; the contracts are in pyproject.toml."""

from __future__ import annotations

import pytest
from importlinter.cli import lint_imports

from tests.support.paths import REPOSITORY


def test_imports_run_downwards(capsys: pytest.CaptureFixture[str]) -> None:
    failed = lint_imports(str(REPOSITORY / "pyproject.toml"), no_cache=True, no_logo=True)
    assert not failed, capsys.readouterr().out
