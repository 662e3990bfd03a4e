"""Clients that index, search, look up and delete until they are stopped; each waits for its answer."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from image_similarity.cli.drill.account import PREFIX, Account, Fate, Operation
from image_similarity.cli.drill.pictures import draw
from image_similarity.domain.errors import InvalidRequest, StoreUnavailable

SHARES = {Operation.INDEX: 35, Operation.SEARCH: 40, Operation.GET: 20, Operation.DELETE: 5}
"""Per hundred requests; a client that has no image yet indexes one."""

POPULAR = 20
"""Half of all searches are for these pictures, so that caches may have the answers."""

PAUSE = 0.1
"""Seconds that a client waits after a failure."""

_OF_A_CLIENT = 1_000_000
"""Numbers of pictures per client, so that no two clients share one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The target and the parameters of a load."""

    url: str
    clients: int = 12
    seconds: float | None = None
    """None: until it is stopped."""
    api_key: str | None = None
    timeout: float = 60.0
    """Seconds after which a missing answer is a failure; the balancer's timeout is longer."""


@asynccontextmanager
async def connect(plan: Plan) -> AsyncIterator[httpx.AsyncClient]:
    """Open connections to the service, one per client."""
    async with httpx.AsyncClient(
        base_url=f"{plan.url.rstrip('/')}/api/v1",
        headers={"X-API-Key": plan.api_key} if plan.api_key else None,
        timeout=plan.timeout,
        limits=httpx.Limits(max_connections=plan.clients),
    ) as http:
        yield http


async def check_is_ours(plan: Plan) -> str:
    """Return the collection's name. Raises InvalidRequest if it holds images that no drill added.

    Raises StoreUnavailable if the service does not answer.
    """
    async with connect(plan) as http:
        collection = (await _document(http, "/stats"))["collection"]
        name = str(collection["name"])
        if not collection["images"] or name.startswith("drill"):
            return name
        cursor: str | None = None
        while True:
            page = await _document(http, "/images", limit=500, **({"cursor": cursor} if cursor else {}))
            for image in page["images"]:
                if not image["image_id"].startswith(PREFIX):
                    raise InvalidRequest(
                        f'The collection "{name}" holds images that no drill made. A drill loads the service and '
                        "writes to its collection: give it one of its own, which is empty or whose name begins with "
                        '"drill" (QDRANT_COLLECTION_NAME).'
                    )
            cursor = page["next_cursor"]
            if cursor is None:
                return name


async def load(plan: Plan, account: Account, enough: threading.Event) -> None:
    """Run the clients until the time is over or `enough` is set, and wait for their last answers."""
    deadline = None if plan.seconds is None else monotonic() + plan.seconds
    async with connect(plan) as http:
        popular = [draw(account.seed, number) for number in range(POPULAR)]

        def over() -> bool:
            return enough.is_set() or (deadline is not None and monotonic() > deadline)

        async def work(number: int) -> None:
            client = _Client(http, account, popular, number)
            while not over():
                await client.step()

        await asyncio.gather(*(work(number) for number in range(plan.clients)))


async def remove(plan: Plan, account: Account) -> int:
    """Delete the images of this run; return how many may be left."""
    left = 0
    async with connect(plan) as http:
        many = asyncio.Semaphore(plan.clients)

        async def delete(image_id: str) -> None:
            nonlocal left
            async with many:
                try:
                    answer = await http.delete(path_of(image_id), params={"undo_seconds": 0})
                    left += answer.status_code not in (200, 404)
                except httpx.HTTPError:
                    left += 1

        await asyncio.gather(*map(delete, account.having(Fate.PRESENT) + account.having(Fate.UNKNOWN)))
    return left


def path_of(image_id: str) -> str:
    """Return the path of an image below the API."""
    return f"/images/{quote(image_id, safe='')}"


class _Client:
    """One client. Only it changes the images that it added, so it knows the expected state of each."""

    def __init__(self, http: httpx.AsyncClient, account: Account, popular: list[bytes], number: int) -> None:
        self._http, self._account, self._popular, self._number = http, account, popular, number
        self._chance = random.Random(f"{account.seed}/{number}")  # noqa: S311 - a load, no secret
        self._mine: list[str] = []
        self._added = 0

    async def step(self) -> None:
        """Send one request and record the outcome."""
        (operation,) = self._chance.choices(list(SHARES), list(SHARES.values()))
        if not self._mine:
            operation = Operation.INDEX
        match operation:
            case Operation.INDEX:
                await self._index()
            case Operation.SEARCH:
                await self._ask(operation, "POST", "/search", files={"image": ("image", await self._picture())})
            case Operation.GET:
                await self._ask(operation, "GET", path_of(self._chance.choice(self._mine)))
            case Operation.DELETE:
                image_id = self._mine.pop(self._chance.randrange(len(self._mine)))
                # Set before the request, because it must remain if the answer never arrives.
                self._account.fates[image_id] = Fate.UNKNOWN
                if await self._ask(operation, "DELETE", path_of(image_id)):
                    self._account.fates[image_id] = Fate.GONE

    async def _index(self) -> None:
        self._added += 1
        number = _OF_A_CLIENT * (self._number + 1) + self._added
        image_id = f"{self._account.prefix}{number}"
        self._account.pictures[image_id] = number
        self._account.fates[image_id] = Fate.UNKNOWN
        picture = await asyncio.to_thread(draw, self._account.seed, number)
        content = {"files": {"image": ("image", picture)}, "data": {"image_id": image_id}}
        if await self._ask(Operation.INDEX, "POST", "/index", **content):
            self._account.fates[image_id] = Fate.PRESENT
            self._mine.append(image_id)

    async def _picture(self) -> bytes:
        if self._chance.random() < 0.5:
            return self._chance.choice(self._popular)
        return await asyncio.to_thread(
            draw, self._account.seed, self._account.pictures[self._chance.choice(self._mine)]
        )

    async def _ask(self, operation: Operation, method: str, path: str, **content: Any) -> bool:
        """Send a request and return whether it succeeded; record its duration and failure."""
        account, started = self._account, perf_counter()
        try:
            answer = await self._http.request(method, path, **content)
            failure = None if answer.status_code == 200 else f"{answer.status_code} {_code(answer)}".strip()
        except httpx.HTTPError as error:
            failure = type(error).__name__
        account.seconds[operation].append(perf_counter() - started)
        account.requests += 1
        if failure is None:
            return True
        account.failures[f"{operation} {failure}"] += 1
        await asyncio.sleep(PAUSE)
        return False


async def _document(http: httpx.AsyncClient, path: str, **parameters: Any) -> Any:
    try:
        answer = await http.get(path, params=parameters)
    except httpx.HTTPError as error:
        raise StoreUnavailable(f"{http.base_url} does not answer ({error!r}); is the service up?") from error
    if answer.status_code != 200:
        raise StoreUnavailable(f"GET {path} answered {answer.status_code} {_code(answer)}.")
    return orjson.loads(answer.content)


def _code(answer: httpx.Response) -> str:
    try:
        return str(orjson.loads(answer.content)["code"])
    except (ValueError, TypeError, KeyError):
        return ""
