"""Copies shared files of the repository into the chart, because Helm reads no file outside of a chart."""

from __future__ import annotations

from pathlib import Path

from generate.files import ROOT

FILES = ROOT / "helm" / "image-similarity" / "files"
COPIES = {
    "haproxy": "haproxy/haproxy.cfg",
    "qdrant": "qdrant/start.sh",
    "rules": "monitoring/rules/*.yml",
    "dashboards": "monitoring/grafana/dashboards/*.json",
}


def files() -> dict[Path, bytes]:
    """Return the files with the content that they should have in the chart."""
    wanted: dict[Path, bytes] = {}
    for name, pattern in COPIES.items():
        for source in sorted(ROOT.glob(pattern)):
            folder = FILES / name if "*" in pattern else FILES
            wanted[folder / source.name] = source.read_bytes()
    return wanted


def there() -> set[Path]:
    """Return the existing copies."""
    return {*FILES.glob("*.cfg"), *FILES.glob("*.sh"), *FILES.glob("rules/*"), *FILES.glob("dashboards/*")}
