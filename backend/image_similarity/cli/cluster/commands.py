"""`image-similarity cluster …`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from image_similarity.cli.cluster import qdrant
from image_similarity.cli.cluster.environment import passed_on
from image_similarity.cli.cluster.services import MOST_REPLICAS
from image_similarity.cli.cluster.stack import DEFAULT_PORTS, Cluster, ClusterPlan

app = typer.Typer(
    name="cluster",
    help="Run the whole stack on this machine without containers: for development and tests.",
    no_args_is_help=True,
)
out = Console()
err = Console(stderr=True)

Folder = Annotated[Path, typer.Option("--dir", help="Folder of the cluster's data, logs and state.")]
DEFAULT_FOLDER = Path("data/cluster")


@app.command(epilog="Example: `MODEL_NAME=mini image-similarity cluster up --workers 2`")
def up(
    folder: Folder = DEFAULT_FOLDER,
    replicas: Annotated[int, typer.Option(min=1, max=MOST_REPLICAS, help="API servers.")] = MOST_REPLICAS,
    workers: Annotated[int, typer.Option(min=0, max=16, help="Workers of bulk jobs.")] = 1,
    qdrant_url: Annotated[
        str | None,
        typer.Option(help="Qdrant servers that run already; the shell's QDRANT_ settings go with them."),
    ] = None,
    qdrant_binary: Annotated[
        str | None,
        typer.Option(envvar="QDRANT_BINARY", help="Else the program to start nodes of; default `qdrant` on the PATH."),
    ] = None,
    qdrant_nodes: Annotated[int, typer.Option(min=1, max=9, help="Nodes of it.")] = qdrant.NODES,
    qdrant_stand_in: Annotated[
        str | None,
        typer.Option(envvar="QDRANT_STAND_IN", hidden=True, help="Else a command that speaks like one node."),
    ] = None,
    free_ports: Annotated[bool, typer.Option(help="Any free ports, not 8080, 8081 and 8001 to 8003.")] = False,
) -> None:
    """Start Redis, RabbitMQ, Qdrant, the API servers, the workers and HAProxy, and wait until all are ready.

    Settings of the shell reach the API servers and the workers.
    """
    cluster = Cluster(folder)
    wanted = {"api", "stats", *(f"replica-{number}" for number in range(1, replicas + 1))}
    source = qdrant.choose(qdrant_url, qdrant_binary, qdrant_stand_in, nodes=qdrant_nodes)
    settings, overridden = passed_on(os.environ, source)
    if overridden:
        _say(f"The cluster decides for itself, whatever the shell says: {', '.join(overridden)}.")
    if source.stand_in:
        _say(f"Qdrant is {qdrant.describe(source)}.")
    plan = ClusterPlan(
        replicas=replicas,
        workers=workers,
        qdrant=source,
        ports={} if free_ports else {name: port for name, port in DEFAULT_PORTS.items() if name in wanted},
        env=settings,
    )
    with err.status("Starting the cluster") as status:
        cluster.up(plan, on_step=status.update)
    ports = cluster.ports
    out.print(f"API         http://localhost:{ports['api']}")
    out.print(f"Statistics  http://localhost:{ports['stats']}")
    for number in range(1, replicas + 1):
        out.print(f"Replica {number}   http://localhost:{ports[f'replica-{number}']}")
    out.print(f"Qdrant      {' '.join(cluster.qdrant) or qdrant_url}", highlight=False, soft_wrap=True)
    out.print(f"Logs        {cluster.folder / 'logs'}", highlight=False, soft_wrap=True)
    out.print(f"Stop it with: image-similarity cluster down{_option(folder)}", highlight=False, soft_wrap=True)


@app.command(epilog="Example: `image-similarity cluster status`")
def status(folder: Folder = DEFAULT_FOLDER) -> None:
    """Show the services; exit status 1 if one of them does not run."""
    cluster = Cluster(folder)
    services = cluster.running()
    if not services:
        _say(f"No cluster was started in {cluster.folder}.")
        raise typer.Exit(1)
    table = Table("service", "state", "pid", "log", box=None, header_style="dim")
    for service in services:
        state = "[green]running[/]" if service.alive else "[red]stopped[/]"
        table.add_row(service.name, state, str(service.process.pid), str(service.log))
    out.print(table)
    out.print(f"Qdrant is {qdrant.describe(cluster.plan.qdrant)}.", highlight=False, markup=False, soft_wrap=True)
    if not all(service.alive for service in services):
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
    cluster = Cluster(folder)
    ran = any(service.alive for service in cluster.running())
    with err.status("Stopping the cluster"):
        # Also if no service is alive, because a process that a dead service had started may be.
        cluster.down()
    if ran:
        out.print("Stopped.")
    else:
        _say(f"Nothing ran in {cluster.folder}; --dir names a cluster in another folder.")


def _option(folder: Path) -> str:
    """Return the option with which commands find this cluster again; empty for the default folder."""
    return "" if folder == DEFAULT_FOLDER else f" --dir {shlex.quote(str(folder))}"


def _say(text: str) -> None:
    err.print(text, highlight=False, markup=False, soft_wrap=True)
