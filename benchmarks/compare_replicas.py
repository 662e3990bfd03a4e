#!/usr/bin/env python3
"""Compare a cluster with three replicas with the same cluster with one."""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import benchmark_rig as rig
import load_client
from benchmark import DEFAULT_CHECKPOINT
from image_similarity.cli.cluster.qdrant import Source
from image_similarity.cli.cluster.stack import Cluster, ClusterPlan
from random_checkpoint import build_checkpoint

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
from stand_in_cluster import STAND_IN

console = Console()
app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)

REPLICAS = 3


@dataclass(frozen=True)
class Compared:
    """One kind of search: requests per second through the balancer, medians of the rounds."""

    kind: str
    one: float
    three: float

    @property
    def ratio(self) -> float:
        """Ratio of three replicas to one."""
        return self.three / self.one


@app.command(epilog="Example: `benchmarks/compare_replicas.py --rounds 5 --output replicas.json`")
def main(
    checkpoint: Annotated[
        Path | None, typer.Option(help="CLIP checkpoint; default: ViT-B/32 with random weights, made in build/.")
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="Folder of photographs of about 100 kB.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Of each; three and one take turns.")] = 3,
    clients: Annotated[int, typer.Option(min=1, help="Connections.")] = 32,
    uncached: Annotated[int, typer.Option(min=1, help="Searches a round with images never seen before.")] = 320,
    cached: Annotated[int, typer.Option(min=1, help="Searches a round whose answers are known.")] = 3000,
    output: Annotated[Path, typer.Option(help="Where the figures go, as JSON.")] = Path("replicas.json"),
) -> None:
    """Start a cluster, measure it alternately with three replicas and with one, and stop it."""
    if checkpoint is None:
        checkpoint = DEFAULT_CHECKPOINT
        if not (checkpoint / "model.safetensors").is_file():
            build_checkpoint(checkpoint, size="full")
    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="replicas-") as folder:
        photos = photos or rig.gather_photos(Path(folder) / "photos", 24)
        cluster = Cluster(Path(folder) / "cluster")
        env = {"MODEL_NAME": str(checkpoint.resolve())}
        with console.status("Starting the cluster") as status:
            cluster.up(ClusterPlan(replicas=REPLICAS, workers=0, qdrant=Source(stand_in=STAND_IN), env=env))
            try:
                for number in range(rounds):
                    for count in (REPLICAS, 1):
                        status.update(f"Round {number + 1} of {rounds}, {count} of {REPLICAS} replicas")
                        _set_replicas(cluster, count)
                        _ask(cluster, photos, clients, len(list(photos.iterdir())), distinct=False)
                        for kind, requests in (("uncached", uncached), ("cached", cached)):
                            rate = _ask(cluster, photos, clients, requests, distinct=kind == "uncached")
                            rates.setdefault((kind, count), []).append(rate)
            finally:
                cluster.down()
    compared = [
        Compared(kind, one=median(rates[kind, 1]), three=median(rates[kind, REPLICAS]))
        for kind in ("uncached", "cached")
    ]
    report = {
        "cores": os.cpu_count(),
        "clients": clients,
        "figures": [{**asdict(c), "ratio": c.ratio} for c in compared],
    }
    output.write_text(json.dumps(report, indent=2) + "\n")
    table = Table("searches", "one replica", "three replicas", "ratio", box=None, header_style="dim")
    for one in compared:
        table.add_row(one.kind, f"{one.one:.1f}/s", f"{one.three:.1f}/s", f"{one.ratio:.2f}")
    console.print(table)
    console.print(f"{os.cpu_count()} cores, {clients} clients. Written to {output}.", highlight=False)


def _set_replicas(cluster: Cluster, count: int) -> None:
    """Stop or start all replicas except the first `count`."""
    alive = {service.name for service in cluster.running() if service.alive}
    for number in range(1, REPLICAS + 1):
        name = f"replica-{number}"
        if number > count and name in alive:
            cluster.stop(name)
        if number <= count and name not in alive:
            cluster.start(name)


def _ask(cluster: Cluster, photos: Path, clients: int, requests: int, *, distinct: bool) -> float:
    found = [path.read_bytes() for path in sorted(photos.iterdir()) if path.is_file()]
    taken = itertools.islice(itertools.cycle(found), requests)
    # Made before the clock starts.
    queue = iter([load_client.request(photo, unseen=distinct) for photo in taken])
    return load_client.send("127.0.0.1", cluster.ports["api"], queue, clients=clients).rate


if __name__ == "__main__":
    app()
