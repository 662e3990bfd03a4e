"""Finds generated files that are out of date, and updates them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def stale(wanted: Mapping[Path, bytes], there: Iterable[Path]) -> list[Path]:
    """Return the files that are missing, out of date, or no longer wanted."""
    changed = {path for path, content in wanted.items() if not path.exists() or path.read_bytes() != content}
    return sorted(changed | (set(there) - set(wanted)))


def write(wanted: Mapping[Path, bytes], there: Iterable[Path]) -> list[Path]:
    """Update the files; return those that were out of date."""
    outdated = stale(wanted, there)
    for path in outdated:
        if path not in wanted:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wanted[path])
    return outdated
