"""`image-similarity cluster …`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from image_similarity.cluster.cluster import DEFAULT_PORTS, Cluster, Plan, find_qdrant
from image_similarity.cluster.services import BALANCER_SETTINGS, MOST_REPLICAS

app = typer.Typer(
    name="cluster",
    help="Run the whole stack on this machine without containers: for development and tests.",
    no_args_is_help=True,
)
out = Console()
err = Console(stderr=True)

Folder = Annotated[Path, typer.Option("--dir", help="Folder of the cluster's data, logs and state.")]
DEFAULT_FOLDER = Path("data/cluster")
PASSED_ON = ("MODEL_NAME", "DEVICE", "PRECISION", "BATCH_SIZE", "API_KEYS", "LOG_LEVEL", *BALANCER_SETTINGS)
"""Settings of the shell that replicas and workers get; all others are the cluster's own."""


@app.command(epilog="Example: `MODEL_NAME=mini image-similarity cluster up --workers 2`")
def up(
    folder: Folder = DEFAULT_FOLDER,
    replicas: Annotated[int, typer.Option(min=1, max=MOST_REPLICAS, help="API servers.")] = MOST_REPLICAS,
    workers: Annotated[int, typer.Option(min=0, max=16, help="Workers of bulk jobs.")] = 1,
    qdrant_url: Annotated[
        str | None, typer.Option(help="A Qdrant server that runs already; default: start one.")
    ] = None,
    free_ports: Annotated[bool, typer.Option(help="Any free ports, not 8080, 8081 and 8001 to 8003.")] = False,
) -> None:
    """Start Redis, RabbitMQ, Qdrant, the API servers, the workers and HAProxy, and wait until all are ready."""
    cluster = Cluster(folder)
    wanted = {"api", "stats", *(f"replica-{number}" for number in range(1, replicas + 1))}
    plan = Plan(
        replicas=replicas,
        workers=workers,
        qdrant_url=qdrant_url,
        qdrant_command=() if qdrant_url else find_qdrant(),
        ports={} if free_ports else {name: port for name, port in DEFAULT_PORTS.items() if name in wanted},
        env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
    )
    with err.status("Starting the cluster") as status:
        cluster.up(plan, on_step=status.update)
    ports = cluster.ports
    out.print(f"API         http://localhost:{ports['api']}")
    out.print(f"Statistics  http://localhost:{ports['stats']}")
    for number in range(1, replicas + 1):
        out.print(f"Replica {number}   http://localhost:{ports[f'replica-{number}']}")
    out.print(f"Logs        {cluster.folder / 'logs'}", highlight=False, soft_wrap=True)
    out.print("Stop it with: image-similarity cluster down", highlight=False)


@app.command(epilog="Example: `image-similarity cluster status`")
def status(folder: Folder = DEFAULT_FOLDER) -> None:
    """Show what runs; exit status 1 where something does not."""
    services = Cluster(folder).running()
    table = Table("service", "state", "pid", "log", box=None, header_style="dim")
    for service in services:
        state = "[green]running[/]" if service.alive else "[red]stopped[/]"
        table.add_row(service.name, state, str(service.process.pid), str(service.log))
    out.print(table if services else "No cluster was started here.")
    if not services or not all(service.alive for service in services):
        raise typer.Exit(1)


@app.command(epilog="Example: `image-similarity cluster restart replica-2`")
def restart(
    name: Annotated[str, typer.Argument(help="As `status` shows it.")], folder: Folder = DEFAULT_FOLDER
) -> None:
    """Stop one service in good order and start it again."""
    Cluster(folder).restart(name)
    out.print(f"{name} is ready again.")


@app.command(epilog="Example: `image-similarity cluster down`")
def down(folder: Folder = DEFAULT_FOLDER) -> None:
    """Stop every service; its data stay in the folder."""
    with err.status("Stopping the cluster"):
        Cluster(folder).down()
    out.print("Stopped.")
