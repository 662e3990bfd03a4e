"""The commands `image-similarity feedback …`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import orjson
import typer
from rich.table import Column, Table

from image_similarity.cli.console import (
    ApiKey,
    AsJson,
    Url,
    err,
    load_settings,
    open_client,
    out,
    print_json,
    which_server,
)
from image_similarity.cli.remote_client import RemoteClient
from image_similarity.cli.running_server import server_at
from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.queries import MAX_EXAMPLES, Strategy
from image_similarity.engine.feedback.events import FeedbackEvent, to_json
from image_similarity.evaluation.feedback import APPLIED, PLAIN, FeedbackReport, K, measure, read_judged
from image_similarity.settings import Settings

app = typer.Typer(name="feedback", help="What users think of results: export it, ask whether it would have helped.")


@app.command(epilog="Example: `image-similarity feedback export -o feedback.jsonl`")
def export(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; default: print.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Write all verdicts as JSON lines, oldest first. No model is loaded, and a server may go on running."""
    settings = load_settings()

    async def run() -> int:
        count = 0
        # Opened first, so that nothing is read if the file cannot be written.
        with _opened(output) as file:
            async with _events(settings, url, api_key) as events:
                async for event in events:
                    file.write(orjson.dumps(to_json(event)).decode() + "\n")
                    count += 1
        return count

    err.print(f"{asyncio.run(run())} verdicts.", highlight=False)


@app.command(epilog="Example: `image-similarity feedback report --json`")
def report(
    applied: Annotated[
        int, typer.Option("--apply", min=1, max=MAX_EXAMPLES, help="Positive verdicts to apply to each query.")
    ] = APPLIED,
    as_json: AsJson = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Ask all queries again, with their first verdicts and without, and say whether the later ones come true."""
    settings = load_settings()

    async def run() -> FeedbackReport:
        async with open_client(settings, which_server(settings, url, api_key)) as client:
            judged, unknown = await read_judged(client.feedback())
            with err.status("Asking …") as status:
                return await measure(
                    judged,
                    lambda query, options: client.search(query, options, None),
                    client.has_image,
                    applied=applied,
                    unknown=unknown,
                    on_step=lambda done: status.update(f"{done} of {len(judged)} queries"),
                )

    found = asyncio.run(run())
    if as_json:
        print_json(found.to_json())
    else:
        show(found)


@app.command(epilog="Example: `image-similarity feedback clear --yes`")
def clear(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Delete all verdicts of the collection, for good."""
    settings = load_settings()
    if not yes:
        typer.confirm("Delete all verdicts, for good?", abort=True)

    async def run() -> int:
        if url is not None:
            async with RemoteClient(server_at(url, api_key)) as client:
                return await client.delete_feedback()
        from image_similarity.bootstrap.records import check_feedback, open_feedback

        await check_feedback(settings)
        return await open_feedback(settings, "").delete_all()

    out.print(f"{asyncio.run(run())} verdicts deleted.", highlight=False)


def show(found: FeedbackReport) -> None:
    """Print a report for people."""
    out.print(
        f"{found.queries} queries, {found.pairs} held-out images; applied to each, on average: "
        f"{found.applied_positive:.1f} positive and {found.applied_negative:.1f} negative verdicts.",
        highlight=False,
        soft_wrap=True,
    )
    # Never cut the names, because users type them for --strategy; a narrow terminal cuts other columns.
    names = Column("", min_width=max(map(len, Strategy)))
    table = Table(names, f"recall@{K}", "95 % interval", "gain over plain", "feedback", box=None, header_style="dim")
    plain = found.recall[PLAIN]
    table.add_row(PLAIN, f"{plain.mean:.3f}", f"{plain.low:.3f} to {plain.high:.3f}", "", "")
    for strategy in Strategy:
        recall, gain = found.recall[strategy], found.gain[strategy]
        table.add_row(
            strategy,
            f"{recall.mean:.3f}",
            f"{recall.low:.3f} to {recall.high:.3f}",
            f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})",
            found.verdict(strategy),
        )
    out.print(table)
    for reason, count in found.left_out.items():
        out.print(f"{count} queries left out: {reason}.", style="dim", highlight=False)


@asynccontextmanager
async def _events(
    settings: Settings, url: str | None, api_key: str | None
) -> AsyncIterator[AsyncIterator[FeedbackEvent]]:
    if url is None:
        from image_similarity.bootstrap.records import check_feedback, open_feedback

        await check_feedback(settings)
        yield open_feedback(settings, "").export()
        return
    async with RemoteClient(server_at(url, api_key)) as client:
        yield client.feedback()


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}.") from error
    with file:
        yield file
