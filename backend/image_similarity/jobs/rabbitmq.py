"""The server's side of RabbitMQ: send chunks, and read the state of the queues."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count

import pika
from celery import Celery
from pika.exceptions import AMQPError, ChannelClosedByBroker

from image_similarity.concurrency.backoff import pause_before
from image_similarity.concurrency.locks import Recent
from image_similarity.domain.errors import StoreUnavailable
from image_similarity.jobs.base import STUCK_SECONDS, QueueInfo
from image_similarity.jobs.celery_app import CHUNKS, DEAD, TASK, declare_queues, make_app
from image_similarity.jobs.ledger import JobLedger
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.tracing import carrier

TIMEOUT = 5.0
"""Seconds after which a broker that does not answer counts as away."""

_GLANCE = 2.0
"""Timeout in seconds for reading the state of the queues."""

_RECENT = 4.0
"""Seconds for which the state of the queues is cached: less than the interval of health checks."""

STALLED_AFTER = 600.0
"""Seconds without progress, while no chunk waits in the broker, after which a job's chunks are sent again."""

FIRST_PAUSE = 0.5
MAX_BACKOFF_SECONDS = 30.0
"""Seconds between the first two tries to reach the broker, and between two tries at most."""


class BrokerQueue:
    """Implements `ChunkQueue` with RabbitMQ.

    A job is in the ledger before its chunks are sent, and is marked there when the broker has confirmed all of them.
    So a job is accepted while the broker is away, and the next process sends it if this one dies. If the broker loses
    the chunks, they are sent again: a broker that is killed within about two seconds after it created a queue loses the
    queue with all confirmed messages. A chunk that is sent twice is counted once.
    """

    def __init__(
        self,
        url: str,
        ledger: JobLedger,
        *,
        stalled_after: float = STALLED_AFTER,
        stuck_after: float = STUCK_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._app: Celery = make_app(url, timeout=TIMEOUT)
        self._queues = queue_watch(url)
        self._outbox: asyncio.Queue[tuple[str, list[int], dict[str, str]]] = asyncio.Queue()
        self._stalled_after = stalled_after
        self._stuck: str | None = None
        """Message about a job without progress, from the last check; None if there is none."""
        self._stuck_after = stuck_after
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Resume the jobs that were not sent completely. Raises StoreUnavailable."""
        for job_id, chunks in (await self._ledger.unfinished()).items():
            if not await self._ledger.is_dispatched(job_id):
                await self.put(job_id, chunks or [0])
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._rescue())]

    async def put(self, job_id: str, chunks: Iterable[int]) -> None:
        """Queue the chunks; they are sent as soon as the broker takes them."""
        # The trace is passed along, because the sending task does not belong to the request's trace.
        self._outbox.put_nowait((job_id, list(chunks), carrier()))

    async def info(self) -> QueueInfo:
        """Return how many chunks wait and were given up, as the broker reported last, and which job is stuck."""
        queue = await self._queues.get()
        return replace(queue, problem=queue.problem or self._stuck)

    async def close(self) -> None:
        """Stop; the next process sends the chunks that have not been sent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._app.close)

    async def _send(self) -> None:
        while True:
            job_id, chunks, headers = await self._outbox.get()
            for attempt in count():
                try:
                    await asyncio.to_thread(self._publish, job_id, chunks, headers)
                    await self._ledger.mark_dispatched(job_id)
                # Retry after any error, because the job must be sent eventually: py-amqp raises errors of many kinds.
                except Exception as error:
                    pause = pause_before(attempt, first=FIRST_PAUSE, most=MAX_BACKOFF_SECONDS)
                    get_logger().warning("broker_unavailable", job_id=job_id, error=str(error), retry_in=pause)
                    await asyncio.sleep(pause)
                else:
                    break

    async def _rescue(self) -> None:
        while True:
            await asyncio.sleep(self._stalled_after / 2)
            # If the storage is away, the next round tries again.
            with suppress(StoreUnavailable):
                jobs = await self._ledger.unfinished()
                idle = {job_id: await self._ledger.idle_seconds(job_id) for job_id in jobs}
                self._stuck = await self._told_of(idle)
                queue = await self._queues.get()
                if queue.problem is not None or queue.waiting or not self._outbox.empty():
                    continue
                for job_id, chunks in jobs.items():
                    if idle[job_id] > self._stalled_after:
                        get_logger().warning("job_sent_again", job_id=job_id, chunks=len(chunks))
                        await self.put(job_id, chunks or [0])

    async def _told_of(self, idle: Mapping[str, float]) -> str | None:
        """Return a message about a stuck job; `idle` has the seconds since the last write of each unfinished job."""
        nothing_moves = all(seconds > self._stuck_after for seconds in idle.values())
        for job_id, seconds in idle.items():
            # A job that has not begun may wait for its turn, as long as other jobs make progress.
            if seconds > self._stuck_after and (nothing_moves or await self._ledger.is_begun(job_id)):
                return f"Nothing has moved in job {job_id} for {seconds:.0f} s; the workers' logs say why."
        return None

    def _publish(self, job_id: str, chunks: list[int], headers: dict[str, str]) -> None:
        declare_queues(self._app)
        with self._app.connection_for_write() as connection, self._app.amqp.Producer(connection) as producer:
            for chunk in chunks:
                # Each message is confirmed: it is on the broker's disk when the call returns.
                self._app.send_task(TASK, (job_id, chunk), producer=producer, retry=False, headers=headers)


def queue_watch(url: str) -> Recent[QueueInfo]:
    """Return the cached state of the queues. Reading it opens a connection, which is too much for every request."""
    return Recent(lambda: asyncio.to_thread(read_queues, url), seconds=_RECENT)


def read_queues(url: str) -> QueueInfo:
    """Return the state of the queues; blocks for a few seconds at most, and never raises."""
    # In Celery's URLs a second slash means the default virtual host; pika would take it for a nameless one.
    parameters = pika.URLParameters(url.removesuffix("//") + "/" if url.endswith("//") else url)
    parameters.connection_attempts = 1
    parameters.socket_timeout = parameters.stack_timeout = parameters.blocked_connection_timeout = _GLANCE
    try:
        connection = pika.BlockingConnection(parameters)
        try:
            waiting, workers = _count(connection, CHUNKS)
            dead, _ = _count(connection, DEAD)
        finally:
            connection.close()
    except (AMQPError, OSError) as error:
        return QueueInfo("rabbitmq", waiting=0, problem=f"RabbitMQ does not answer: {_why(error)}.")
    return QueueInfo("rabbitmq", waiting=waiting, dead_letters=dead, workers=workers)


_CAUSES = {
    "refused": "it refuses connections",
    "timeout": "no answer in time",
    "timed out": "no answer in time",
    "authentication": "it refuses the user or the password",
    "vhost": "it does not know the virtual host",
    "gaierror": "its name is not known",
}
"""Messages by a part of pika's error. They are ours, because `/health` shows them and anybody may read it."""


def _why(error: Exception) -> str:
    said = repr(error).lower()
    return next(
        (told for text, told in _CAUSES.items() if text in said), f"the connection fails ({type(error).__name__})"
    )


def _count(connection: pika.BlockingConnection, queue: str) -> tuple[int, int]:
    """Return how many messages a queue holds and how many consumers it has."""
    channel = connection.channel()
    try:
        answer = channel.queue_declare(queue, passive=True).method
    except ChannelClosedByBroker:
        # The queue does not exist, because no chunk has been sent or taken yet.
        return 0, 0
    return answer.message_count, answer.consumer_count
