"""A drill's load as long as a block runs, and what it lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from image_similarity.cli.drill.account import Account, Findings
from image_similarity.cli.drill.load import Plan, load
from image_similarity.cli.drill.verify import verify
from tests.support.servers import wait_for


@contextmanager
def drilling(url: str, *, seed: int, clients: int = 12) -> Iterator[Account]:
    """Load the service while the block runs; all clients have their last answer when it ends."""
    print(f"seed {seed}")  # noqa: T201 - pytest shows it with a failure
    account, enough = Account(seed), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: asyncio.run(load(Plan(url, clients=clients), account, enough)))
        try:
            yield account
        finally:
            enough.set()
        running.result()


def wait_for_requests(account: Account, more: int) -> None:
    """Wait until so many further requests have ended."""
    goal = account.requests + more
    wait_for(lambda: account.requests >= goal, "the clients are stuck")


def found_of(url: str, account: Account) -> Findings:
    return asyncio.run(verify(Plan(url), account))
