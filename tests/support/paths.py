"""Where the tests find the repository, and the photographs beside it."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

SHARED = REPOSITORY.parent / "shared"
"""Photographs beside the repository. Tests that need them are skipped if they are not there."""
