"""`image-similarity drill`."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import typer

from image_similarity.cli.console import ApiKey, AsJson, err, out, print_json
from image_similarity.cli.drill.account import Account, Findings, summary
from image_similarity.cli.drill.copies import Copies, compare
from image_similarity.cli.drill.load import Plan, check_is_ours, load, remove
from image_similarity.cli.drill.verify import verify
from image_similarity.domain.errors import InvalidRequest, StoreUnavailable
from image_similarity.vectors.qdrant_server.addresses import read_addresses

app = typer.Typer()
"""`cli/main.py` adds its command."""


@app.command(epilog="Example: `image-similarity drill --url http://localhost:8080 --seconds 300`, and kill a node")
def drill(
    url: Annotated[str, typer.Option(help="The service, through its balancer.")],
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="How long the load lasts.")] = 60,
    clients: Annotated[int, typer.Option(min=1, max=256, help="Clients, each with one request at a time.")] = 12,
    seed: Annotated[int | None, typer.Option(min=0, help="The same pictures and requests again.")] = None,
    qdrant: Annotated[
        str | None,
        typer.Option(help="REST addresses of all Qdrant nodes, comma-separated: compare the copies of each shard too."),
    ] = None,
    qdrant_api_key: Annotated[str | None, typer.Option(envvar="QDRANT_API_KEY", help="API key of those nodes.")] = None,
    keep: Annotated[bool, typer.Option(help="Leave the images that it added.")] = False,
    as_json: AsJson = False,
    api_key: ApiKey = None,
) -> None:
    """Load a running service, and report whether it lost anything that it had acknowledged.

    Use it to test your own cluster while nodes are killed, cut off, restarted or upgraded: start it, break something,
    read the report. A third of the requests index generated pictures; the others search for them, look them up and
    delete them. It refuses a collection that holds images of anything but drills. Exit status 1 if something was lost,
    came back, or differs between copies; failed requests alone are only reported.
    """
    plan = Plan(url=url, clients=clients, seconds=seconds, api_key=api_key)
    account = Account(seed=random.randrange(2**32) if seed is None else seed)  # noqa: S311 - no secret
    nodes = _addresses(qdrant)
    collection = asyncio.run(check_is_ours(plan))
    err.print(f"Seed {account.seed}, collection {collection}, images {account.prefix}…", highlight=False, markup=False)
    with err.status(f"Loading {url} for {seconds:g} s; Ctrl-C ends the load and begins the account"):
        _load(plan, account)
    with err.status("Looking for everything that was acknowledged"):
        findings = asyncio.run(verify(plan, account))
        if nodes:
            findings.copies = _compare(nodes, collection, qdrant_api_key)
        # After a problem the images stay, so that it can be examined.
        left = 0 if keep or findings.problems else asyncio.run(remove(plan, account))
    figures = summary(account, findings)
    if as_json:
        print_json(figures)
    else:
        _show(figures, findings)
    if left:
        err.print(f"{left} images of this run may be left in the collection.", highlight=False)
    if findings.problems:
        err.print("The images of this run were left as they are.", highlight=False)
        raise typer.Exit(1)


def _load(plan: Plan, account: Account) -> None:
    """Run the load; after Ctrl-C, wait for the last answers, so that the account is complete."""
    enough = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="load") as pool:
        running = pool.submit(lambda: asyncio.run(load(plan, account, enough)))
        try:
            running.result()
        except KeyboardInterrupt:
            enough.set()
            running.result()


def _addresses(urls: str | None) -> list[str]:
    try:
        return [] if urls is None else [node.url for node in read_addresses(urls)]
    except ValueError as error:
        raise InvalidRequest(f"--qdrant: {error}.") from error


def _compare(nodes: list[str], collection: str, api_key: str | None) -> Copies:
    try:
        return compare(nodes, collection, api_key=api_key)
    except StoreUnavailable as error:
        # Report the rest of the findings.
        return Copies(nodes=len(nodes), problems=[f"The copies were not compared: {error}"])


def _show(figures: dict[str, Any], findings: Findings) -> None:
    lines = [
        f"{figures['requests']} requests, {figures['failed']} failed.",
        f"{figures['acknowledged_images']} images and {figures['acknowledged_deletions']} deletions were acknowledged; "
        f"of {figures['unknown']} images the last change was not.",
        f"Longest write {figures['longest_write_ms']:g} ms, longest search {figures['longest_search_ms']:g} ms.",
        "99 of 100 took at most "
        + ", ".join(f"{operation} {took:g} ms" for operation, took in figures["p99_ms"].items())
        + ".",
        *(f"Failed {count} times: {kind}" for kind, count in figures["failures"].items()),
    ]
    if findings.copies is not None:
        lines.append(f"{findings.copies.points} points compared on {findings.copies.nodes} Qdrant nodes.")
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    for problem in findings.problems:
        out.print(problem, style="red", highlight=False, markup=False, soft_wrap=True)
    if not findings.problems:
        out.print("Nothing was lost, and nothing came back.", style="green")
