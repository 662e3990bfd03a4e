"""Commands for operators: create a collection, build its search graph, migrate it, download its model."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from image_similarity.bootstrap.deployment import StoreKind
from image_similarity.bootstrap.stores import migrate as run_migration
from image_similarity.bootstrap.stores import optimize as run_optimize
from image_similarity.cli.console import alone, err, load_settings, out
from image_similarity.engine.collection import migration

app = typer.Typer()
"""`cli/main.py` adds its commands."""


@app.command(epilog="Example: `image-similarity download-model openai/clip-vit-base-patch32`")
def download_model(
    name: Annotated[str | None, typer.Argument(help="Hub name; default MODEL_NAME and TEXT_MODEL_NAME.")] = None,
) -> None:
    """Download a model's files, including the text tower, so that the server starts without a network."""
    settings = load_settings()
    from image_similarity.encoders.hub import locate
    from image_similarity.encoders.mini.image import MINI

    for wanted in [name] if name else filter(None, [settings.model_name, settings.text_model_name]):
        if wanted == MINI.name:
            out.print("mini comes with the package's [offline] extra; there is nothing to download.")
        else:
            out.print(f"{wanted} is in {locate(wanted, show_progress=True)}", highlight=False, markup=False)


@app.command(epilog="Example: `image-similarity init-db`")
def init_db() -> None:
    """Create the collection for the model, or update the one of an earlier version; it can be repeated safely."""
    settings = load_settings()
    from image_similarity.bootstrap.engine import initialize

    with alone("It made the collection when it started, and brings it up to date: there is nothing left to do."):
        info = asyncio.run(initialize(settings))
    out.print(
        f"Collection {info.name} is ready: {info.images} images, {info.dimension} dimensions, {info.model}.",
        highlight=False,
        markup=False,
    )


@app.command(epilog="Example: `image-similarity optimize`, while no server is running")
def optimize() -> None:
    """Build the search graph (HNSW), so that more than 200,000 images are searched in under a millisecond.

    For embedded collections only; a Qdrant server does it by itself.
    """
    settings = load_settings()
    advice = "No image can be searched while the graph is built: stop that server, run this again, and start it anew."
    with alone(advice), err.status("Building the search graph; about 20 s for every 50,000 images …"):
        info = asyncio.run(run_optimize(settings))
    out.print(f"{info.indexed_vectors} of {info.images} images are in the graph.")


@app.command(epilog="Example: `QDRANT_URL=http://localhost:6333 image-similarity migrate --from embedded --to server`")
def migrate(
    source: Annotated[StoreKind, typer.Option("--from", help="Where the collection is.")],
    target: Annotated[StoreKind, typer.Option("--to", help="Where to copy it.")],
) -> None:
    """Copy the collection between the embedded store and a Qdrant server: records and vectors, nothing is recomputed.

    Stop all indexing first. If a migration was stopped, run the command again: it continues. The image bytes stay in
    their place: do not change DATA_DIR or STORAGE_URL.
    """
    settings = load_settings()
    columns = (TextColumn("Migrating"), BarColumn(), MofNCompleteColumn(), TextColumn("ETA"), TimeRemainingColumn())
    advice = "What is written to it during the copy would be missing: stop that server, and run this again."
    with alone(advice), Progress(*columns, console=err) as bar:
        task = bar.add_task("Migrating", total=None)

        def show(progress: migration.Progress) -> None:
            bar.update(task, completed=progress.done, total=progress.total)

        report = asyncio.run(run_migration(settings, source, target, show))
    out.print(
        f"{report.images} images are in the {target} collection {settings.qdrant_collection_name}: {report.copied} "
        f"copied, {report.images - report.copied} were there. {report.sampled} vectors compared, lowest cosine "
        f"{report.lowest_cosine:.6f}.",
        soft_wrap=True,
        highlight=False,
    )
    if report.surplus:
        out.print(f"The {target} collection holds {report.surplus} images that the {source} one does not.")
    out.print(
        "Image bytes were not moved: originals and thumbnails stay in DATA_DIR or STORAGE_URL, as set.",
        soft_wrap=True,
    )
