"""Shared by the commands: options, settings, the client, and output for people."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Annotated, Any

import orjson
import typer
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
from rich.text import Text

from image_similarity.cli.client import Client, LocalClient, connect
from image_similarity.cli.index_local import Tally
from image_similarity.cli.misspelt import misspelt_settings
from image_similarity.cli.running_server import Server, running_server, server_at
from image_similarity.domain.filters import Scalar
from image_similarity.domain.records import Match, Outcome
from image_similarity.settings import Settings
from image_similarity.telemetry.logging import configure_logging, get_logger
from image_similarity.vectors.qdrant_edge.folder_lock import FolderInUse

SHOWN_FAILURES = 20

_LONGEST_LINE = 10_000
"""Characters of a line if the output goes to a file or a program; Rich would wrap it after 80."""

out = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _LONGEST_LINE)
err = Console(stderr=True)

Url = Annotated[
    str | None,
    typer.Option(help="The server; default: the one that has the data folder open, else the folder is opened."),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="IMAGE_SIMILARITY_API_KEY",
        # In the text, because the list of variables is cut on a narrow terminal.
        show_envvar=False,
        help="An API key of that server; IMAGE_SIMILARITY_API_KEY is the default.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def load_settings(*, serves: bool = False, **given: Any) -> Settings:
    """Read the settings, `given` ones first, configure logging, and warn about misspelt names of settings.

    By default, a command that `serves` logs for machines; any other command logs warnings and errors for the person
    who runs it. Raises pydantic's ValidationError.
    """
    settings = Settings(**given)
    chosen = settings.model_fields_set
    configure_logging(
        level=settings.log_level if serves or "log_level" in chosen else "WARNING",
        log_format=settings.log_format if serves or "log_format" in chosen else "console",
    )
    for name, meant in misspelt_settings().items():
        if serves:
            get_logger().warning("unknown_setting", name=name, did_you_mean=meant)
        else:
            warn(f"{name} is no setting. Did you mean {meant}?")
    return settings


def warn(text: str) -> None:
    """Print a warning on standard error; the command goes on."""
    # The terminal wraps it, not Rich, so that a command in the text can be copied whole.
    err.print(f"Warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def which_server(settings: Settings, url: str | None, api_key: str | None) -> Server | None:
    """Return the server at `url`, else the one that has the data folder open (and print it); None to open the folder.

    Raises as `server_at` and `running_server`.
    """
    if url is not None:
        return server_at(url, api_key)
    found = running_server(settings, api_key)
    if found is None:
        return None
    server, holder = found
    err.print(f"{settings.data_dir} is in use by {holder}: using it.", style="dim", markup=False, soft_wrap=True)
    return server


@asynccontextmanager
async def open_client(settings: Settings, server: Server | None) -> AsyncIterator[Client]:
    """Connect to `server`; if it is None, open the data folder, which takes as long as loading the model.

    Raises as `client.connect`.
    """
    if server is None:
        err.print("Loading the model …", style="dim")
    async with connect(settings, server) as client:
        if isinstance(client, LocalClient) and client.fallback_reason:
            warn(f"The small offline model mini replaces {settings.model_name}. {client.fallback_reason}")
        yield client


@contextmanager
def alone(advice: str) -> Iterator[None]:
    """Run a block that needs the data folder for itself; if a server has it, the error contains `advice`.

    Raises FolderInUse.
    """
    try:
        yield
    except FolderInUse as error:
        raise FolderInUse(error.folder, error.holder, advice if error.holder.serves else None) from None


def print_json(value: Any) -> None:
    """Print JSON for programs; not through Rich, which would wrap long lines."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


@contextmanager
def indexing_progress(total: int) -> Iterator[Callable[[Tally], None]]:
    """Show a progress bar on standard error while the block runs; yield the function that updates it.

    If Ctrl-C cancels the block, print how many images are done and how to go on.
    """
    latest = Tally()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} images/s"),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]} failed"),
    )
    with Progress(*columns, console=err) as progress:
        task = progress.add_task("Indexing …", total=total, failed=0, rate=0.0)
        started = monotonic()

        def show(tally: Tally) -> None:
            nonlocal latest
            latest = tally
            rate = tally.done / (monotonic() - started)
            progress.update(task, completed=tally.done, failed=len(tally.failures), rate=rate)

        try:
            yield show
        except asyncio.CancelledError:
            progress.stop()
            inside = latest.done - len(latest.failures)
            err.print(f"Interrupted: at least {inside:,} of {total:,} images are in. Run the command again to go on.")
            raise


def report(tally: Tally) -> None:
    """Print the counts; print the first failures and replaced images on standard error."""
    out.print(", ".join(f"{tally.counts[outcome]} {outcome}" for outcome in Outcome) + ".")
    if replaced := tally.counts[Outcome.REPLACED]:
        more = replaced - len(tally.replaced_ids)
        names = [*tally.replaced_ids, *([f"{more} more"] if more and tally.replaced_ids else [])]
        err.print(
            f"Replaced{': ' if names else ''}{', '.join(names)}. An id is the path within the folder that you name: if "
            "these were other images, index the common parent of the folders, or use --id-from hash.",
            style="yellow",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    for path, reason in tally.failures[:SHOWN_FAILURES]:
        err.print(f"  {path}: {reason}", style="red", highlight=False, markup=False, soft_wrap=True)
    if len(tally.failures) > SHOWN_FAILURES:
        err.print(f"  … and {len(tally.failures) - SHOWN_FAILURES} more.")


def matches_table(matches: Sequence[Match]) -> Table:
    """Return search results as a table, best first."""
    calibrated = any(match.confidence is not None for match in matches)
    grouped = any(match.group is not None for match in matches)
    columns = (
        "#",
        *(["group"] if grouped else []),
        "score",
        *(["confidence"] if calibrated else []),
        "",
        "image",
        "metadata",
    )
    table = Table(*columns, box=None, header_style="dim")
    for column in table.columns:
        # Long text continues in the next line, because a truncated id names no image.
        column.overflow = "fold"
    # BM25 scores have no upper bound, so they are scaled; a cosine is at most 1.
    full = max(1.0, *(match.score for match in matches))
    for rank, match in enumerate(matches, start=1):
        bar = "█" * round(12 * max(0.0, match.score) / full)
        metadata = orjson.dumps(match.metadata).decode() if match.metadata else ""
        confidence = [f"{match.confidence:.0%}" if match.confidence is not None else ""] if calibrated else []
        group = [_as_text(match.group)] if grouped else []
        image = f"{match.image_id} +{len(match.duplicates)} alike" if match.duplicates else match.image_id
        cells = (str(rank), *group, f"{match.score:.4f}", *confidence, bar, image, metadata)
        # Wrap in `Text`: Rich would read brackets as markup.
        table.add_row(*map(Text, cells))
    return table


def _as_text(value: Scalar | None) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
