#!/usr/bin/env python3
"""Copy what the chart shares with the rest of the repository into it: Helm reads no file outside a chart.

scripts/chart_files.py           copy
scripts/chart_files.py --check   fail where a copy is not what it should be
"""

from __future__ import annotations

from pathlib import Path

import generated_files
from generated_files import ROOT

FILES = ROOT / "helm" / "image-similarity" / "files"
COPIES = {
    "haproxy": "haproxy/haproxy.cfg",
    "qdrant": "qdrant/start.sh",
    "rules": "monitoring/rules/*.yml",
    "dashboards": "monitoring/grafana/dashboards/*.json",
}


def wanted() -> dict[Path, bytes]:
    """Return the files as they should be in the chart."""
    files: dict[Path, bytes] = {}
    for name, pattern in COPIES.items():
        for source in sorted(ROOT.glob(pattern)):
            folder = FILES / name if "*" in pattern else FILES
            files[folder / source.name] = source.read_bytes()
    return files


def there() -> set[Path]:
    """Return the copies that there are."""
    return {*FILES.glob("*.cfg"), *FILES.glob("*.sh"), *FILES.glob("rules/*"), *FILES.glob("dashboards/*")}


def stale() -> list[Path]:
    """Return the copies that are missing, old, or of nothing that is still there."""
    return generated_files.stale(wanted(), there())


if __name__ == "__main__":
    generated_files.write_or_check("scripts/chart_files.py", wanted(), there())
