#!/usr/bin/env python3
"""Copy what the chart shares with the rest of the repository into it: Helm reads no file outside a chart.

scripts/chart_files.py           copy
scripts/chart_files.py --check   fail where a copy is not what it should be
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = ROOT / "helm" / "image-similarity" / "files"
COPIES = {
    "haproxy": "haproxy/haproxy.cfg",
    "rules": "monitoring/rules/*.yml",
    "dashboards": "monitoring/grafana/dashboards/*.json",
}


def wanted() -> dict[Path, bytes]:
    """Return the files as they should be in the chart."""
    files: dict[Path, bytes] = {}
    for name, pattern in COPIES.items():
        for source in sorted(ROOT.glob(pattern)):
            folder = FILES if name == "haproxy" else FILES / name
            files[folder / source.name] = source.read_bytes()
    return files


def stale() -> list[Path]:
    """Return the copies that are missing, old, or of nothing that is still there."""
    files = wanted()
    copied = {*FILES.glob("*.cfg"), *FILES.glob("rules/*"), *FILES.glob("dashboards/*")}
    changed = {path for path, content in files.items() if not path.exists() or path.read_bytes() != content}
    return sorted(changed | (copied - set(files)))


def main() -> None:
    """Copy, or check."""
    outdated = stale()
    if "--check" in sys.argv[1:]:
        if outdated:
            sys.exit(f"Run scripts/chart_files.py: {', '.join(str(path.relative_to(ROOT)) for path in outdated)}")
        return
    files = wanted()
    for path in outdated:
        if path not in files:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[path])


if __name__ == "__main__":
    main()
