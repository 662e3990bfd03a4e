"""The command line of the load tests, which differ in duration and number of clients."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from load_test.page import page
from load_test.photos import QUERIES, Photos, read_photos
from load_test.report import block, document, now, summarise
from load_test.run import Plan, Recording, delete_indexed, run
from load_test.target import Target, find_target

DEFAULT_URL = "http://localhost:8080"
MIN_SUCCESS = 99.997

err = Console(stderr=True)


@dataclass(frozen=True)
class Profile:
    """The parameters of one load test."""

    name: str
    """Name of the script and of the files that it writes."""
    title: str
    seconds: float
    clients: int
    help: str


def build_app(profile: Profile) -> typer.Typer:
    """Return the command of a load test."""
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
    examples = f"""
Examples:

- `scripts/{profile.name}.py` — {profile.seconds:g} seconds, {profile.clients} clients, against {DEFAULT_URL}

- `scripts/{profile.name}.py --url http://localhost:8000 --seconds 10 --photos my-photos/`

- `scripts/{profile.name}.py --index-share 0` — searches only: how often does the cache answer?

- `IMAGE_SIMILARITY_API_KEY=… scripts/{profile.name}.py --delete` — with a key, and nothing stays behind
"""

    @app.command(help=profile.help, epilog=examples)
    def main(
        url: Annotated[str, typer.Option(help="The server, or the balancer before it.")] = DEFAULT_URL,
        seconds: Annotated[
            float, typer.Option(min=0.1, max=3600, help="After which no request begins.")
        ] = profile.seconds,
        clients: Annotated[
            int, typer.Option(min=1, max=1000, help="Each with a connection and one request at a time.")
        ] = profile.clients,
        photos: Annotated[
            Path | None,
            typer.Option(
                exists=True, file_okay=False, help="Folder of photographs; default: those of scikit-image and -learn."
            ),
        ] = None,
        index_share: Annotated[float, typer.Option(min=0, max=1, help="Of the requests; the others search.")] = 0.5,
        queries: Annotated[
            int, typer.Option(min=1, max=100_000, help="Different queries, popular by Zipf's law.")
        ] = QUERIES,
        timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds that a request may take.")] = 60,
        api_key: Annotated[
            str | None, typer.Option(envvar="IMAGE_SIMILARITY_API_KEY", help="An API key of that server.")
        ] = None,
        output: Annotated[
            Path, typer.Option(file_okay=False, help="Folder for the figures (JSON) and the report (HTML).")
        ] = Path("build/load-tests"),
        min_success: Annotated[
            float, typer.Option(min=0, max=100, help="Percent of the requests; fewer are exit status 1.")
        ] = MIN_SUCCESS,
        delete: Annotated[bool, typer.Option("--delete", help="Delete afterwards what was indexed.")] = False,
        allow_remote: Annotated[
            bool, typer.Option("--allow-remote", help="Send load to another machine, whose owner agreed.")
        ] = False,
    ) -> None:
        plan = Plan(seconds=seconds, clients=clients, index_share=index_share, timeout=timeout, api_key=api_key)
        try:
            target = find_target(url, allow_remote=allow_remote)
            bodies = Photos(read_photos(photos), queries=queries)
        except (ValueError, OSError, ImportError) as error:
            err.print(f"Error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
            raise typer.Exit(2) from None
        started_at = now()
        recording = _run_with_progress(plan, target, bodies)
        report = summarise(recording, title=profile.title, url=url, started_at=started_at)
        print(block(report))
        output.mkdir(parents=True, exist_ok=True)
        figures, html = output / f"{profile.name}.json", output / f"{profile.name}.html"
        figures.write_text(json.dumps(document(report), indent=2) + "\n", encoding="utf-8")
        html.write_text(page(report), encoding="utf-8")
        _say(f"Written to {figures} and {html}.")
        _tidy(recording, target, delete=delete)
        if recording.interrupted:
            raise typer.Exit(130)
        if report.success_percent < min_success:
            _say(f"Fewer than {min_success:g} % of the requests succeeded.")
            raise typer.Exit(1)

    return app


def _run_with_progress(plan: Plan, target: Target, photos: Photos) -> Recording:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=err) as progress:
        task = progress.add_task("Load test", total=plan.seconds, state="")

        def show(recording: Recording) -> None:
            state = f"{len(recording.outcomes):,} operations, {recording.errors:,} errors"
            progress.update(task, completed=min(recording.seconds, plan.seconds), state=state)

        return run(plan, target, photos, show)


def _tidy(recording: Recording, target: Target, *, delete: bool) -> None:
    if not recording.indexed:
        return
    left = len(recording.indexed)
    if delete:
        _say(f"Deleting {left:,} images")
        left = delete_indexed(recording, target)
    if left:
        _say(f"{left:,} images stay on the server, as load-test/{recording.run_id}/….")


def _say(text: str) -> None:
    err.print(text, style="dim", highlight=False, soft_wrap=True)
