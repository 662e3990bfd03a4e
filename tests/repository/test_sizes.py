"""Names of tests that can be read at a glance, and files that can be read at a sitting."""

from __future__ import annotations

import ast
import subprocess

import pytest

from tests.support.paths import REPOSITORY

LONGEST_NAME = 70
LONGEST_FILE = 300


def lines_of(*folders: str) -> dict[str, list[str]]:
    """Return the lines of each source file that git keeps below these folders."""
    patterns = [f"{folder}/**/*.{ending}" for folder in folders for ending in ("py", "ts", "tsx", "css")]
    found = subprocess.run(
        ["git", "ls-files", "-z", "--", *(f":(glob){pattern}" for pattern in patterns)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        pytest.skip("not a checkout of git")
    paths = [path for path in found.stdout.split("\0") if path and (REPOSITORY / path).exists()]
    return {path: (REPOSITORY / path).read_text().splitlines() for path in paths}


def test_names_of_tests_are_short() -> None:
    files = lines_of("tests")
    assert len(files) > 100
    long = [
        f"{path}: {node.name}"
        for path, lines in files.items()
        if path.endswith(".py")
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_") and len(node.name) > LONGEST_NAME
    ]
    assert not long, f"over {LONGEST_NAME} characters: {long}"


def test_files_are_short() -> None:
    files = lines_of("tests", "backend", "frontend/src")
    long = {path: len(lines) for path, lines in files.items() if len(lines) > LONGEST_FILE}
    assert not long, f"over {LONGEST_FILE} lines"
