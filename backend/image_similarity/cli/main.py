"""The command `image-similarity`."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from image_similarity import __version__
from image_similarity.cli import evaluate, feedback, maintenance, search, shards
from image_similarity.cli.cluster import commands as cluster
from image_similarity.cli.console import (
    ApiKey,
    AsJson,
    Url,
    alone,
    err,
    indexing_progress,
    load_settings,
    open_client,
    out,
    print_json,
    report,
    warn,
    which_server,
)
from image_similarity.cli.drill import commands as drill
from image_similarity.cli.index_local import Tally, index_files
from image_similarity.cli.index_remote import JOBS_AT_ONCE, RemoteBulk
from image_similarity.cli.remote_client import RemoteClient
from image_similarity.cli.running_server import Server
from image_similarity.cli.stats_table import stats_table
from image_similarity.domain.errors import ImageSimilarityError, InvalidRequest
from image_similarity.domain.records import Metadata
from image_similarity.images.files import IdFrom, ImageFile, check_distinct, find_images, read_metadata, unmatched
from image_similarity.settings import Settings

_INTERRUPTED = 130
"""Exit status after Ctrl-C, as in shells."""

NAMED_KEYS = 5
"""How many entries of a metadata file are named if they match no image."""

app = typer.Typer(
    name="image-similarity",
    help="Drop images in, find the ones that look alike.",
    epilog="Settings come from environment variables and from a .env file; docs/SETTINGS.md lists them.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(maintenance.app)
app.add_typer(shards.app)
app.add_typer(cluster.app)
app.add_typer(drill.app)
app.add_typer(search.app)
app.add_typer(feedback.app)
app.add_typer(evaluate.app)


def main() -> None:
    """Run the command; print an expected error on standard error and exit with status 1."""
    # torch's threads (GNU OpenMP) spin up to 300,000 times while they wait for each other. If another program computes
    # too, they so keep the threads that they wait for from the processor. 1,000 is the library's own value if it knows
    # that threads outnumber processors. It must be set before torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        narrow(typer.main.get_command(app))()
    except ImageSimilarityError as error:
        _fail(f"{error} [{error.code}]")
    except ValidationError as error:
        wrong = "; ".join(f"{str(entry['loc'][0]).upper()}: {entry['msg']}" for entry in error.errors())
        _fail(f"A setting is wrong. {wrong}. [invalid_settings]")


def narrow(command: Any) -> Any:
    """Hide the types of flags and numbers in the help, to leave room for the option names on 80 columns.

    A range already shows that an option takes a number. Returns the command.
    """
    for option in (each for each in command.params if each.param_type_name == "option"):
        if option.metavar is None and (option.is_flag or option.min is not None or option.max is not None):
            option.metavar = ""
    for each in getattr(command, "commands", {}).values():
        narrow(each)
    return command


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
    settings = load_settings(serves=True, **given)

    def on_ready(url: str) -> None:
        if settings.log_format == "console":
            # The last line on the terminal, for people; the lines above it are the log.
            address = url.replace("//127.0.0.1:", "//localhost:")
            err.print(f"Ready: open {address} in a browser. Ctrl-C stops the server.", style="bold", highlight=False)

    # This imports torch and the web framework, which would delay all other commands.
    from image_similarity.bootstrap.server import serve as run

    with alone("Use that server, stop it, or serve another folder: set DATA_DIR, and another port with --port."):
        run(settings, on_ready)


@app.command(epilog="Example: `BROKER_URL=amqp://broker QDRANT_HOST=qdrant image-similarity worker --concurrency 2`")
def worker(
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=64, help="Chunks in progress at a time; default WORKER_CONCURRENCY.")
    ] = None,
) -> None:
    """Index the images of bulk jobs from RabbitMQ. After SIGTERM, it finishes the chunks in progress and stops."""
    settings = load_settings(serves=True)
    from image_similarity.bootstrap.worker import run_worker

    raise typer.Exit(run_worker(settings, concurrency=concurrency or settings.worker_concurrency))


@app.command(epilog="Examples: `image-similarity index ./photos`, `image-similarity index *.jpg --id-from hash`")
def index(
    paths: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    recursive: Annotated[bool, typer.Option(help="Search folders within folders.")] = True,
    metadata_json: Annotated[
        Path | None,
        typer.Option(help='JSON file: {"cats/tom.jpg": {"species": "cat"}}; file names work as keys too.'),
    ] = None,
    id_from: Annotated[
        IdFrom, typer.Option(metavar="NAME", help=f"What an image's id is made of: {', '.join(IdFrom)}.")
    ] = IdFrom.PATH,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Add images to the collection; images that have not changed since are skipped quickly."""
    settings = load_settings()
    files = find_images(paths, recursive=recursive)
    if not files:
        raise InvalidRequest(f"There are no images in {', '.join(map(str, paths))}.")
    check_distinct(files, id_from)
    metadata = _read_metadata(metadata_json, files) if metadata_json else {}
    max_bytes = settings.max_body_bytes
    server = which_server(settings, url, api_key)

    async def run_here() -> Tally:
        # Three batches: one in the model, one waiting for it, and one being decoded or written.
        bulk = _for_bulk(settings)
        concurrency = min(3 * bulk.batch_size, bulk.max_queue, len(files))
        async with open_client(bulk, None) as client:
            # Else the garbage collector traverses all objects of torch every 800 images, 0.23 s each time.
            gc.freeze()
            with indexing_progress(len(files)) as show:
                return await index_files(
                    client,
                    files,
                    id_from=id_from,
                    metadata=metadata,
                    max_bytes=max_bytes,
                    concurrency=concurrency,
                    on_progress=show,
                )

    async def run_there(server: Server) -> Tally:
        async with RemoteClient(server, connections=2 * JOBS_AT_ONCE) as remote:
            with indexing_progress(len(files)) as show:
                bulk = RemoteBulk(remote, show)
                try:
                    return await bulk.index(files, id_from=id_from, metadata=metadata, max_bytes=max_bytes)
                except asyncio.CancelledError:
                    err.print("Stopping the server's jobs …", style="dim")
                    if left := await bulk.stop():
                        err.print(f"The server did not say that it stops; it may go on with {left} jobs.", style="red")
                    raise

    try:
        tally = asyncio.run(run_here() if server is None else run_there(server))
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    report(tally)
    if tally.failures:
        raise typer.Exit(1)


@app.command(epilog="Example: `image-similarity delete cats/tom.jpg`")
def delete(
    image_ids: Annotated[list[str], typer.Argument(help="Ids of images.")],
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Remove images from the collection."""
    settings = load_settings()

    async def run() -> None:
        async with open_client(settings, which_server(settings, url, api_key)) as client:
            for image_id in image_ids:
                await client.delete_image(image_id)
                out.print(f"Deleted {image_id}", highlight=False, markup=False)

    asyncio.run(run())


@app.command(epilog="Example: `image-similarity stats --url http://localhost:8000`")
def stats(as_json: AsJson = False, url: Url = None, api_key: ApiKey = None) -> None:
    """Show the collection, the model and the cache in numbers."""
    settings = load_settings()

    async def run() -> dict[str, Any]:
        async with open_client(settings, which_server(settings, url, api_key)) as client:
            return await client.stats()

    figures = asyncio.run(run())
    if as_json:
        print_json(figures)
    else:
        out.print(stats_table(figures))


@app.command(epilog="Example: `image-similarity warm --top 500 --url http://localhost:8001`")
def warm(
    top: Annotated[int, typer.Option(min=1, max=10_000, help="Most embeddings to load.")] = 1000,
    url: Annotated[
        str | None,
        typer.Option(
            help="The server; default: the one that has the data folder open, else http://localhost:API_PORT. "
            "Each replica has its own cache."
        ),
    ] = None,
    api_key: ApiKey = None,
) -> None:
    """Load the most used embeddings from Redis into a running server, as the server itself does when it starts."""
    settings = load_settings()
    server = which_server(settings, url, api_key) or Server(f"http://localhost:{settings.api_port}", api_key)

    async def run() -> int:
        async with RemoteClient(server) as client:
            return await client.warm(top)

    out.print(f"{asyncio.run(run())} embeddings loaded.", highlight=False)


def _read_metadata(path: Path, files: list[ImageFile]) -> dict[str, Metadata]:
    """Read the metadata of the files; warn about entries that match no file. Raises InvalidRequest if none matches."""
    metadata = read_metadata(path)
    if lost := unmatched(metadata, files):
        names = ", ".join(lost[:NAMED_KEYS]) + (", …" if len(lost) > NAMED_KEYS else "")
        message = f"{len(lost)} of {len(metadata)} entries of {path} name no image: {names}."
        if len(lost) == len(metadata):
            raise InvalidRequest(
                f"{message} Keys are paths within the indexed folder, such as {files[0].relative}, or file names."
            )
        warn(message)
    return metadata


def _for_bulk(settings: Settings) -> Settings:
    """Double the batch size, unless the user has set it: 2 % faster, and no caller waits for one image."""
    if "batch_size" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"batch_size": 2 * settings.batch_size})


def _fail(message: str) -> NoReturn:
    err.print("Error:", style="bold red", end=" ")
    # The terminal wraps it, not Rich, so that a command in the message can be copied whole.
    err.print(message, markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(1)
