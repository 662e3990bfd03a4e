import json
import subprocess
import sys
from pathlib import Path

from tests.support.paths import REPOSITORY

SCRIPT = REPOSITORY / "benchmarks" / "benchmark.py"

FIGURES = {
    "cached search",
    "uncached search, one client",
    "uncached search, 32 clients",
    "search among 2,000 images",
    "memory with 2,000 images",
    "indexing",
}


def test_the_benchmark_measures_every_figure(tiny_checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "figures.json"

    subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--checkpoint", tiny_checkpoint, "--output", output],
        check=True,
        timeout=300,
    )

    figures = json.loads(output.read_text())["figures"]
    assert {figure["name"] for figure in figures} == FIGURES
    assert all(figure["value"] > 0 for figure in figures if figure["name"] != "search among 2,000 images")
    assert all(isinstance(figure["passed"], bool) and figure["target"] for figure in figures)
