#!/usr/bin/env python3
"""Measure the product against its targets: a real server, the real command line, the model at full size."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

import benchmark_rig as rig
from random_checkpoint import build_checkpoint

DEFAULT_CHECKPOINT = Path(__file__).resolve().parents[1] / "build" / "clip-vit-base-patch32-random"

console = Console()
app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Amount:
    """Amounts to measure."""

    rounds: int
    """Rounds per comparison; the two sides alternate, so that a busy moment of the machine affects both."""
    uncached: int
    """Searches per round from 32 clients."""
    single: int
    """Searches per round from one client."""
    cached: int
    files: int
    """Files indexed per round."""
    vectors: int
    patience: float = 30
    """Seconds that each measurement may wait until the machine is idle."""


FULL = Amount(rounds=5, uncached=480, single=60, cached=4000, files=800, vectors=100_000)
QUICK = Amount(rounds=2, uncached=40, single=6, cached=100, files=20, vectors=2_000, patience=0)


@dataclass(frozen=True)
class Figure:
    """A measured number and its target."""

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    detail: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the target is met."""
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def target(self) -> str:
        """The target as text."""
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


@dataclass(frozen=True)
class Bench:
    """The inputs of all sections."""

    encoder: Any
    """The bare model, in this process."""
    photos: Path
    amount: Amount
    almost_empty: rig.Server
    full: rig.Server
    index: Callable[[], float]
    """Index the files of a round into a new collection; return images per second."""

    def wait(self) -> None:
        """Wait until the machine is idle, but not for ever."""
        rig.wait_for_quiet(self.amount.patience)


EPILOG = """
Examples:

- `benchmarks/benchmark.py` — everything, about five minutes on two cores

- `benchmarks/benchmark.py --quick --checkpoint tests/tiny` — a smoke run of the script itself

- `benchmarks/benchmark.py --output before.json` — to compare with later
"""


@app.command(epilog=EPILOG)
def main(
    checkpoint: Annotated[
        Path | None, typer.Option(help="CLIP checkpoint; default: ViT-B/32 with random weights, made in build/.")
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="Folder of photographs of about 100 kB.")] = None,
    output: Annotated[Path, typer.Option(help="File for the figures, as JSON.")] = Path("benchmark.json"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Small amounts, without targets, to test the script itself.")
    ] = False,
) -> None:
    """Measure the product against its targets; exit status 1 if one is missed."""
    if checkpoint is None:
        checkpoint = DEFAULT_CHECKPOINT
        if not (checkpoint / "model.safetensors").is_file():
            _say(f"Making a ViT-B/32 with random weights in {checkpoint}")
            build_checkpoint(checkpoint, size="full")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        figures = _measure(checkpoint, photos, QUICK if quick else FULL, Path(folder))
    report = {
        "machine": _machine(),
        "checkpoint": checkpoint.name,
        "quick": quick,
        "figures": [{**asdict(figure), "target": figure.target, "passed": figure.passed} for figure in figures],
    }
    output.write_text(json.dumps(report, indent=2) + "\n")
    console.print(_table(figures))
    console.print(f"Written to {output}.", highlight=False)
    if not quick and not all(figure.passed for figure in figures):
        raise typer.Exit(1)


def uncached_throughput(bench: Bench) -> Figure:
    """32 clients that search with images never seen before, against the bare model at batch 32."""
    bare, served = [], []
    for _ in range(bench.amount.rounds):
        bench.wait()
        bare.append(32 / rig.seconds_to_encode(bench.encoder, 32, 8))
        served.append(
            bench.almost_empty.load(bench.photos, clients=32, requests=bench.amount.uncached, distinct=True)["rate"]
        )
    share = median(100 * own / model for own, model in zip(served, bare, strict=True))
    detail = {"requests_per_s": median(served), "bare_images_per_s": median(bare)}
    return Figure("uncached search, 32 clients", share, "% of the bare model", at_least=60, detail=detail)


def single_client_latency(bench: Bench) -> Figure:
    """One client, images never seen before, against twice the bare model's batch of one, and decoding."""
    bare, decoding, served = [], [], []
    for _ in range(bench.amount.rounds):
        bench.wait()
        bare.append(1000 * rig.seconds_to_encode(bench.encoder, 1, 40))
        decoding.append(1000 * rig.seconds_to_decode(bench.encoder, bench.photos))
        load = bench.almost_empty.load(bench.photos, clients=1, requests=bench.amount.single, distinct=True)
        served.append(load["p50_ms"])
    limit = [2 * model + decode for model, decode in zip(bare, decoding, strict=True)]
    share = median(100 * own / most for own, most in zip(served, limit, strict=True))
    detail = {"p50_ms": median(served), "bare_ms": median(bare), "decode_ms": median(decoding)}
    return Figure("uncached search, one client", share, "% of 2 x model + decode", at_most=100, detail=detail)


def cached_throughput(bench: Bench) -> Figure:
    """8 clients that search with images whose answers are known."""
    bench.almost_empty.load(bench.photos, clients=8, requests=len(list(bench.photos.iterdir())), distinct=False)
    loads = []
    for _ in range(bench.amount.rounds):
        bench.wait()
        loads.append(bench.almost_empty.load(bench.photos, clients=8, requests=bench.amount.cached, distinct=False))
    detail = {"p50_ms": median(load["p50_ms"] for load in loads), "p95_ms": median(load["p95_ms"] for load in loads)}
    return Figure("cached search", median(load["rate"] for load in loads), "requests/s", at_least=800, detail=detail)


def index_throughput(bench: Bench) -> Figure:
    """`image-similarity index` on files never seen before, against the bare model at batch 32."""
    bare, indexed = [], []
    for _ in range(bench.amount.rounds):
        bench.wait()
        bare.append(32 / rig.seconds_to_encode(bench.encoder, 32, 8))
        indexed.append(bench.index())
    share = median(100 * own / model for own, model in zip(indexed, bare, strict=True))
    detail = {"images_per_s": median(indexed), "bare_images_per_s": median(bare)}
    return Figure("indexing", share, "% of the bare model", at_least=75, detail=detail)


def cost_of_a_full_collection(bench: Bench) -> Figure:
    """One client, images never seen before, on a full and on an almost empty collection."""
    small: list[float] = []
    large: list[float] = []
    for _ in range(bench.amount.rounds):
        bench.wait()
        for server, found in ((bench.almost_empty, small), (bench.full, large)):
            load = server.load(bench.photos, clients=1, requests=bench.amount.single, distinct=True)
            found.append(load["p50_ms"])
    added = median(full - empty for full, empty in zip(large, small, strict=True))
    name = f"search among {bench.amount.vectors:,} images"
    detail = {"p50_ms": median(large), "almost_empty_p50_ms": median(small)}
    return Figure(name, added, "ms more", at_most=15, detail=detail)


def memory(bench: Bench) -> Figure:
    """Memory of the server with the full collection and its model, after the searches of the other sections."""
    name = f"memory with {bench.amount.vectors:,} images"
    return Figure(name, bench.full.resident_bytes() / 1e9, "GB", at_most=2.5)


SECTIONS = (
    cached_throughput,
    single_client_latency,
    uncached_throughput,
    cost_of_a_full_collection,
    memory,
)
"""Sections that need both servers, in this order; `index_throughput` runs after the servers have stopped."""


def _measure(checkpoint: Path, photos: Path | None, amount: Amount, folder: Path) -> list[Figure]:
    from image_similarity.bootstrap.models import load_encoder
    from image_similarity.settings import Settings

    photos = photos or rig.gather_photos(folder / "photos", 24)
    environments = {
        name: {"MODEL_NAME": str(checkpoint.resolve()), "DATA_DIR": str(folder / name), "LOG_FORMAT": "json"}
        for name in ("almost_empty", "full")
    }

    def settings(name: str) -> Settings:
        own: dict[str, Any] = {key.lower(): value for key, value in environments[name].items()}
        return Settings(_env_file=None, **own)

    _say("Loading the bare model")
    encoder = load_encoder(str(checkpoint.resolve()), settings("full"))
    for name, count in (("almost_empty", 100), ("full", amount.vectors)):
        _say(f"Writing {count:,} records")
        rig.fill(settings(name), encoder, count)

    def index() -> float:
        # Deleted with everything else at the end: a file system is slow just after thousands of deletions.
        place = Path(tempfile.mkdtemp(prefix="index-", dir=folder))
        files = rig.copies(photos, place / "photos", amount.files)
        return rig.index_rate({**environments["full"], "DATA_DIR": str(place / "data")}, files)

    figures: list[Figure] = []
    _say("Starting two servers")
    with (
        rig.serving(environments["almost_empty"], folder / "almost_empty.log") as almost_empty,
        rig.serving(environments["full"], folder / "full.log") as full,
    ):
        bench = Bench(encoder, photos, amount, almost_empty, full, index)
        figures += [_run(section, bench) for section in SECTIONS]
    return [*figures, _run(index_throughput, bench)]


def _run(section: Callable[[Bench], Figure], bench: Bench) -> Figure:
    figure = section(bench)
    verdict = "[green]met[/]" if figure.passed else "[red]missed[/]"
    _say(f"{figure.name}: {figure.value:.1f} {figure.unit}, target {figure.target}: {verdict}")
    return figure


def _table(figures: list[Figure]) -> Table:
    table = Table("figure", "measured", "target", "", "detail", box=None, header_style="dim")
    for figure in figures:
        verdict = "[green]pass[/]" if figure.passed else "[red]FAIL[/]"
        detail = ", ".join(f"{name} {value:.1f}" for name, value in figure.detail.items())
        table.add_row(figure.name, f"{figure.value:.1f} {figure.unit}", figure.target, verdict, detail)
    return table


def _machine() -> dict[str, Any]:
    import torch

    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "instructions": sorted(name for name, there in torch.cpu.get_capabilities().items() if there is True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
    }


def _say(text: str) -> None:
    console.print(text, style="dim", highlight=False)


if __name__ == "__main__":
    app()
