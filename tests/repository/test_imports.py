"""Imports run downwards; the contracts are in pyproject.toml."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from tests.support.paths import REPOSITORY


def test_imports_run_downwards(capsys: pytest.CaptureFixture[str]) -> None:
    failed = lint_imports(str(REPOSITORY / "pyproject.toml"), no_cache=True, no_logo=True)
    assert not failed, capsys.readouterr().out


def imported(path: Path) -> Iterator[str]:
    """Yield the first name of each module that a file imports: `numpy` for `numpy.typing`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_research_is_imported_by_its_own_tests_alone() -> None:
    research = REPOSITORY / "research"
    scripts = {path.stem for path in research.glob("*.py")} | {"research"}
    others = [
        path
        for folder in ("backend", "benchmarks", "scripts", "tests")
        for path in (REPOSITORY / folder).rglob("*.py")
        if not path.is_relative_to(REPOSITORY / "tests" / "research")
    ]
    assert scripts - {"research"}
    assert others
    wrong = {
        str(path.relative_to(REPOSITORY)): sorted(found) for path in others if (found := scripts & {*imported(path)})
    }
    assert not wrong, f"move what these files need from research/ to benchmarks/: {wrong}"
