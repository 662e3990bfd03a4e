"""The command `image-similarity`."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, NoReturn

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from image_similarity import __version__
from image_similarity.bulk import Tally, index_files
from image_similarity.client import Client, connect
from image_similarity.domain import ImageSimilarityError, InvalidFilter, InvalidRequest, Match, SearchOptions
from image_similarity.filters import parse_filter
from image_similarity.folder import IdFrom, check_distinct, find_images, read_image, read_metadata
from image_similarity.settings import Settings
from image_similarity.telemetry.logging import configure_logging

SHOWN_FAILURES = 20

app = typer.Typer(
    name="image-similarity",
    help="Drop images in, find the ones that look alike.",
    epilog="Settings come from environment variables and from a .env file; the README lists them.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

Url = Annotated[
    str | None,
    typer.Option(help="Talk to a running server, such as http://localhost:8000, not to the data folder."),
]
ApiKey = Annotated[str | None, typer.Option(envvar="IMAGE_SIMILARITY_API_KEY", help="An API key of that server.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def main() -> None:
    """Run the command; what goes wrong on purpose is a message on standard error and exit status 1."""
    try:
        app()
    except ImageSimilarityError as error:
        _fail(f"{error} [{error.code}]")
    except ValidationError as error:
        wrong = "; ".join(f"{str(entry['loc'][0]).upper()}: {entry['msg']}" for entry in error.errors())
        _fail(f"A setting is wrong. {wrong}. [invalid_settings]")


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"image-similarity {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: `image-similarity serve --port 8080`")
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default API_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; default API_PORT.")] = None,
) -> None:
    """Start the server."""
    given = {name: value for name, value in (("api_host", host), ("api_port", port)) if value is not None}
    settings = _settings(**given)
    # Loads torch and the web framework, which no other command needs to wait for.
    from image_similarity.api.server import serve as run

    run(settings)


@app.command(epilog="Examples: `image-similarity index ./photos`, `image-similarity index *.jpg --id-from hash`")
def index(
    paths: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    recursive: Annotated[bool, typer.Option(help="Search folders within folders.")] = True,
    metadata_json: Annotated[
        Path | None,
        typer.Option(help='JSON file: {"cats/tom.jpg": {"species": "cat"}}; file names do as keys.'),
    ] = None,
    id_from: Annotated[IdFrom, typer.Option(help="What an image's id is made of.")] = IdFrom.PATH,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Add images to the collection; those that are in it unchanged cost next to nothing."""
    settings = _settings()
    files = find_images(paths, recursive=recursive)
    if not files:
        raise InvalidRequest(f"There are no images in {', '.join(map(str, paths))}.")
    check_distinct(files, id_from)
    metadata = read_metadata(metadata_json) if metadata_json else {}
    # A batch in the model, one waiting for it, and one being decoded or written.
    concurrency = min(3 * settings.batch_size, settings.max_queue, len(files))

    async def run() -> Tally:
        async with _open(settings, url, api_key, connections=concurrency) as client:
            # Else the garbage collector walks all that torch has loaded once in 800 images, 0.23 s each time.
            gc.freeze()
            with _progress() as progress:
                task = progress.add_task("Indexing", total=len(files), failed=0, rate=0.0)
                started = monotonic()

                def show(tally: Tally) -> None:
                    rate = tally.done / (monotonic() - started)
                    progress.update(task, completed=tally.done, failed=len(tally.failures), rate=rate)

                return await index_files(
                    client,
                    files,
                    id_from=id_from,
                    metadata=metadata,
                    max_bytes=settings.max_body_bytes,
                    concurrency=concurrency,
                    on_progress=show,
                )

    tally = asyncio.run(run())
    _report(tally)
    if tally.failures:
        raise typer.Exit(1)


@app.command(epilog="Examples: `image-similarity search cat.jpg`, `image-similarity search cat.jpg --top-k 3 --json`")
def search(
    image: Annotated[Path, typer.Argument(help="The image to find look-alikes of.")],
    top_k: Annotated[int, typer.Option(min=1, max=1000, help="Most results.")] = 10,
    threshold: Annotated[float | None, typer.Option(min=-1, max=1, help="Lowest cosine similarity.")] = None,
    where: Annotated[
        str | None, typer.Option("--filter", help='Condition on metadata as JSON: {"species": "cat"}.')
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Find images that look like this one."""
    settings = _settings()
    raw_filter = _parse_json(where) if where else None
    condition = parse_filter(raw_filter) if where else None
    options = SearchOptions(top_k=top_k, threshold=threshold, filter=condition)
    data = read_image(image, settings.max_body_bytes)

    async def run() -> list[Match]:
        async with _open(settings, url, api_key) as client:
            return await client.search(data, options, raw_filter)

    matches = asyncio.run(run())
    if as_json:
        _print_json([asdict(match) for match in matches])
    elif matches:
        out.print(_table(matches))
    else:
        out.print("Nothing found. Is anything indexed? See: image-similarity stats")


@app.command(epilog="Example: `image-similarity delete cats/tom.jpg`")
def delete(
    image_ids: Annotated[list[str], typer.Argument(help="Ids of images.")],
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Remove images from the collection."""

    async def run() -> None:
        async with _open(_settings(), url, api_key) as client:
            for image_id in image_ids:
                await client.delete_image(image_id)
                out.print(f"Deleted {image_id}", highlight=False, markup=False)

    asyncio.run(run())


@app.command(epilog="Example: `image-similarity stats --url http://localhost:8000`")
def stats(as_json: AsJson = False, url: Url = None, api_key: ApiKey = None) -> None:
    """Show the collection, the model and the cache in numbers."""

    async def run() -> dict[str, Any]:
        async with _open(_settings(), url, api_key) as client:
            return await client.stats()

    figures = asyncio.run(run())
    if as_json:
        _print_json(figures)
    else:
        out.print_json(orjson.dumps(figures).decode())


@app.command(epilog="Example: `image-similarity download-model openai/clip-vit-base-patch32`")
def download_model(
    name: Annotated[str | None, typer.Argument(help="Hub name; default MODEL_NAME.")] = None,
) -> None:
    """Fetch a model's files, so that the server starts without a network."""
    settings = _settings()
    from image_similarity.encoders.hub import locate
    from image_similarity.encoders.mini import MINI

    wanted = name or settings.model_name
    if wanted == MINI.name:
        out.print("mini comes with the package's [offline] extra; there is nothing to download.")
        return
    out.print(f"{wanted} is in {locate(wanted, show_progress=True)}", highlight=False, markup=False)


@app.command(epilog="Example: `image-similarity init-db`")
def init_db() -> None:
    """Make the collection for the model, unless it is there; harmless to repeat."""
    settings = _settings()
    from image_similarity.bootstrap import initialize

    info = asyncio.run(initialize(settings))
    out.print(
        f"Collection {info.name} is ready: {info.images} images, {info.dimension} dimensions, {info.model}.",
        highlight=False,
        markup=False,
    )


@app.command(epilog="Example: `image-similarity optimize`, while no server is running")
def optimize() -> None:
    """Build the search graph (HNSW), so that more than 200,000 images are searched in under a millisecond."""
    settings = _settings()
    from image_similarity.bootstrap import optimize as run

    with err.status("Building the search graph; about 20 s for every 50,000 images …"):
        info = asyncio.run(run(settings))
    out.print(f"{info.indexed_vectors} of {info.images} images are in the graph.")


@asynccontextmanager
async def _open(
    settings: Settings, url: str | None, api_key: str | None, *, connections: int = 1
) -> AsyncIterator[Client]:
    if url is None:
        err.print("Loading the model …", style="dim")
    async with connect(settings, url=url, api_key=api_key, connections=connections) as client:
        yield client


def _settings(**given: Any) -> Settings:
    settings = Settings(**given)
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    return settings


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} images/s"),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]} failed"),
        console=err,
    )


def _report(tally: Tally) -> None:
    out.print(
        f"{tally.indexed} indexed, {tally.replaced} replaced, {tally.unchanged} unchanged, "
        f"{len(tally.failures)} failed."
    )
    for path, reason in tally.failures[:SHOWN_FAILURES]:
        err.print(f"  {path}: {reason}", style="red", highlight=False, markup=False, soft_wrap=True)
    if len(tally.failures) > SHOWN_FAILURES:
        err.print(f"  … and {len(tally.failures) - SHOWN_FAILURES} more.")


def _table(matches: list[Match]) -> Table:
    table = Table("#", "score", "", "image", "metadata", box=None, header_style="dim")
    for rank, match in enumerate(matches, start=1):
        bar = "█" * round(12 * max(0.0, match.score))
        metadata = orjson.dumps(match.metadata).decode() if match.metadata else ""
        table.add_row(str(rank), f"{match.score:.4f}", bar, match.image_id, metadata)
    return table


def _parse_json(text: str) -> dict[str, Any]:
    try:
        value: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidFilter(f"The filter is not JSON: {error}.") from error
    return value


def _print_json(value: Any) -> None:
    # Not through Rich, which would wrap long lines.
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


def _fail(message: str) -> NoReturn:
    err.print("Error:", style="bold red", end=" ")
    # Left to the terminal to wrap, so that a command in the message can be copied whole.
    err.print(message, markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(1)
