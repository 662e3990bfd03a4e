"""Files of the repository that a script writes: which of them are out of date, and writing or checking them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def stale(wanted: Mapping[Path, bytes], there: Iterable[Path]) -> list[Path]:
    """Return the files that are missing, old, or there without being wanted."""
    changed = {path for path, content in wanted.items() if not path.exists() or path.read_bytes() != content}
    return sorted(changed | (set(there) - set(wanted)))


def write_or_check(script: str, wanted: Mapping[Path, bytes], there: Iterable[Path]) -> None:
    """Bring the files up to date; with `--check` on the command line, end with what is to be done instead."""
    outdated = stale(wanted, there)
    if "--check" in sys.argv[1:]:
        if outdated:
            sys.exit(f"Run {script}: {', '.join(str(path.relative_to(ROOT)) for path in outdated)}")
        return
    for path in outdated:
        if path not in wanted:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wanted[path])
