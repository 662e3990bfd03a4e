"""Runs many clients, each with one request at a time, until the time is over."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson
import uvloop

from load_test.connection import Answer, Connection
from load_test.photos import Photos
from load_test.target import Target

PAUSE_AFTER_ERROR = 0.1
"""Seconds that a client waits after an error, so that it does not flood a server that refuses at once."""

ShowProgress = Callable[["Recording"], None]


class Operation(StrEnum):
    """Kind of request."""

    INDEX = "index"
    SEARCH = "search"


@dataclass(frozen=True)
class Plan:
    """Parameters of a run."""

    seconds: float
    """Seconds after which no request begins; the run waits for those under way, at most `timeout` more."""
    clients: int
    index_share: float = 0.5
    timeout: float = 60
    """Time limit of a request in seconds, including a new connection; beyond it, the request is an error."""
    api_key: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one request; clients do not retry."""

    operation: Operation
    started: float
    """Seconds since the run began."""
    seconds: float
    error: str | None = None
    """Kind of error: the status with the problem's `code`, or the failure of the connection."""
    cached: bool = False

    @property
    def ended(self) -> float:
        """Seconds since the run began."""
        return self.started + self.seconds


@dataclass
class Recording:
    """All results of the clients."""

    plan: Plan
    run_id: str
    """Part of the prefix of the ids of indexed images: `load-test/<run_id>/`."""
    outcomes: list[Outcome] = field(default_factory=list)
    indexed: list[str] = field(default_factory=list)
    """Ids of the images whose indexing the server acknowledged."""
    errors: int = 0
    seconds: float = 0
    """From the first request to the last answer."""
    client_seconds: float = 0
    """Processor time of the clients themselves, in seconds."""
    interrupted: bool = False


def run(plan: Plan, target: Target, photos: Photos, show: ShowProgress = lambda _: None) -> Recording:
    """Run a load test; `show` is called four times a second.

    SIGINT and SIGTERM end it early and keep what was measured.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Run(plan, target, photos).until_the_end(show))


def delete_indexed(recording: Recording, target: Target) -> int:
    """Delete the images of a run, within a minute or the duration of the run; return how many are left."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_delete(recording, target))


class _Run:
    def __init__(self, plan: Plan, target: Target, photos: Photos) -> None:
        self._plan, self._target, self._photos = plan, target, photos
        self._recording = Recording(plan, uuid.uuid4().hex[:12])
        self._begun = 0
        self._start = self._deadline = 0.0

    async def until_the_end(self, show: ShowProgress) -> Recording:
        recording, loop = self._recording, asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        processor = time.process_time()
        self._start = time.perf_counter()
        self._deadline = self._start + self._plan.seconds
        showing = asyncio.create_task(self._show(show))
        await asyncio.gather(*(self._client() for _ in range(self._plan.clients)))
        showing.cancel()
        recording.seconds = max((outcome.ended for outcome in recording.outcomes), default=0)
        recording.client_seconds = time.process_time() - processor
        show(recording)
        return recording

    def _interrupt(self) -> None:
        self._deadline = 0
        self._recording.interrupted = True
        loop = asyncio.get_running_loop()
        # A second signal ends the program at once.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    async def _show(self, show: ShowProgress) -> None:
        while True:
            self._recording.seconds = time.perf_counter() - self._start
            show(self._recording)
            await asyncio.sleep(0.25)

    async def _client(self) -> None:
        connection: Connection | None = None
        while (started := time.perf_counter()) < self._deadline:
            operation, image_id = self._next()
            body = self._photos.search_body() if operation is Operation.SEARCH else self._photos.index_body(image_id)
            cached, error = False, None
            try:
                async with asyncio.timeout(self._plan.timeout):
                    if connection is None or not connection.usable:
                        connection = await Connection.open(self._target)
                    head = request_head("POST", f"/{operation}", self._target, self._plan.api_key, body)
                    cached, error = _judge(operation, await connection.ask(head, *body))
            except OSError as failure:
                error = _name(failure)
                if connection is not None:
                    connection.close()
            seconds = time.perf_counter() - started
            self._note(Outcome(operation, started - self._start, seconds, error, cached), image_id)
            if error is not None:
                await asyncio.sleep(PAUSE_AFTER_ERROR)
        if connection is not None:
            connection.close()

    def _next(self) -> tuple[Operation, str]:
        # Not at random, so that any number of requests has exactly this share.
        self._begun += 1
        share = self._plan.index_share
        indexes = int(self._begun * share) > int((self._begun - 1) * share)
        image_id = f"load-test/{self._recording.run_id}/{self._begun:07}"
        return (Operation.INDEX if indexes else Operation.SEARCH), image_id

    def _note(self, outcome: Outcome, image_id: str) -> None:
        self._recording.outcomes.append(outcome)
        if outcome.error is not None:
            self._recording.errors += 1
        elif outcome.operation is Operation.INDEX:
            self._recording.indexed.append(image_id)


def request_head(method: str, path: str, target: Target, api_key: str | None, body: Iterable[bytes] = ()) -> bytes:
    """Return a request's bytes up to its body; `path` begins with a slash and is below `/api/v1`."""
    lines = [f"{method} {target.path}{path} HTTP/1.1", f"Host: {target.host}", "Content-Type: application/json"]
    if api_key:
        lines.append(f"X-API-Key: {api_key}")
    lines.append(f"Content-Length: {sum(map(len, body))}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _judge(operation: Operation, answer: Answer) -> tuple[bool, str | None]:
    """Return whether the answer came from a cache, and the kind of error if it is one."""
    try:
        document: Any = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        document = None
    document = document if isinstance(document, dict) else {}
    if answer.status != 200:
        return False, f"{answer.status} {document.get('code', '')}".strip()
    if operation is Operation.INDEX:
        return False, None if document.get("success") is True else "200 without success"
    return document.get("cached") is True, None if isinstance(document.get("results"), list) else "200 without results"


def _name(failure: OSError) -> str:
    match failure:
        case TimeoutError():
            return "timeout"
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectionResetError() | BrokenPipeError():
            # One kind of error, whichever side of the race noticed it.
            return "connection lost"
        case _:
            return str(failure) if isinstance(failure, ConnectionError) else type(failure).__name__


async def _delete(recording: Recording, target: Target) -> int:
    waiting = list(reversed(recording.indexed))
    deadline = time.perf_counter() + max(60, recording.seconds)
    left = 0

    async def client() -> None:
        nonlocal left
        connection: Connection | None = None
        while waiting and time.perf_counter() < deadline:
            head = request_head("DELETE", f"/images/{waiting.pop()}", target, recording.plan.api_key)
            try:
                async with asyncio.timeout(recording.plan.timeout):
                    if connection is None or not connection.usable:
                        connection = await Connection.open(target)
                    answer = await connection.ask(head)
                left += answer.status != 200
            except OSError:
                left += 1
                if connection is not None:
                    connection.close()
        if connection is not None:
            connection.close()

    await asyncio.gather(*(client() for _ in range(min(8, recording.plan.clients))))
    return left + len(waiting)
