"""The server's side of the broker, without a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pika
import pytest

from image_similarity.jobs.base import Item
from image_similarity.jobs.celery_app import BURIED, CHUNKS, DEAD
from image_similarity.jobs.ledger import JobLedger
from image_similarity.jobs.rabbitmq import BrokerQueue, read_queues
from image_similarity.storage.objects import Objects
from tests.support.rabbitmq import RabbitMQ
from tests.support.servers import PATIENCE, free_port

JOB, OTHER = "019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d", "019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3e"


@pytest.fixture
def ledger(tmp_path: Path) -> JobLedger:
    return JobLedger(Objects.open(None, default=tmp_path))


@pytest.fixture(autouse=True)
def empty_queues(broker: RabbitMQ) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        for queue in (CHUNKS, BURIED, DEAD):
            connection.channel().queue_delete(queue)


async def eventually(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 - the broker offers no event
            await asyncio.sleep(0.05)


async def test_chunks_that_the_broker_lost_are_sent_again(broker: RabbitMQ, ledger: JobLedger) -> None:
    await ledger.create(JOB, [[Item("a", "inbox/a", None)], [Item("b", "inbox/b", None)]])
    queue = BrokerQueue(broker.url, ledger, stalled_after=0.2)
    await queue.start()

    async def both_wait() -> bool:
        # Asked anew: what the queue itself knows may be from before the loss.
        return (await asyncio.to_thread(read_queues, broker.url)).waiting >= 2

    try:
        await eventually(both_wait)
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            connection.channel().queue_purge(CHUNKS)
        await eventually(both_wait)
    finally:
        await queue.close()


async def test_a_job_that_was_never_sent_is_sent_by_the_next_process(broker: RabbitMQ, ledger: JobLedger) -> None:
    await ledger.create(JOB, [[Item("a", "inbox/a", None)], [Item("b", "inbox/b", None)]])
    away = BrokerQueue(f"amqp://guest:guest@127.0.0.1:{free_port()}/", ledger)
    await away.start()
    info = await away.info()
    assert (info.waiting, info.workers) == (0, None)
    assert "RabbitMQ does not answer" in str(info.problem)
    await away.close()
    assert not await ledger.is_dispatched(JOB)

    later = BrokerQueue(broker.url, ledger)
    await later.start()
    await eventually(lambda: ledger.is_dispatched(JOB))
    assert (await later.info()).waiting == 2
    await later.close()
    third = BrokerQueue(broker.url, ledger)
    await third.start()
    await third.close()
    assert read_queues(broker.url).waiting == 2, "what was sent whole is not sent again"


def test_a_broker_that_is_new_has_nothing_waiting(broker: RabbitMQ) -> None:
    for url in (broker.url, broker.url + "/", broker.url.removesuffix("/")):
        info = read_queues(url)
        assert (info.waiting, info.dead_letters, info.workers, info.problem) == (0, 0, 0, None)


async def test_a_job_in_which_nothing_moves_is_told_of_until_it_ends(broker: RabbitMQ, ledger: JobLedger) -> None:
    await ledger.create(JOB, [[Item("a", "inbox/a", None)]])
    queue = BrokerQueue(broker.url, ledger, stalled_after=0.1, stuck_after=0.2)
    await queue.start()

    async def told() -> bool:
        return f"Nothing has moved in job {JOB}" in str((await queue.info()).problem)

    async def forgotten() -> bool:
        return (await queue.info()).problem is None

    try:
        await eventually(told)
        await ledger.finish(JOB)
        await eventually(forgotten)
    finally:
        await queue.close()


async def test_a_job_that_waits_its_turn_is_not_stuck_but_a_begun_one_is(broker: RabbitMQ, ledger: JobLedger) -> None:
    for job_id in (JOB, OTHER):
        await ledger.create(job_id, [[Item("a", "inbox/a", None)]])
    queue = BrokerQueue(broker.url, ledger, stuck_after=100)
    assert await queue._told_of({JOB: 101, OTHER: 99}) is None
    assert OTHER in str(await queue._told_of({OTHER: 101}))
    await ledger.begin(JOB, 0)
    assert JOB in str(await queue._told_of({JOB: 101, OTHER: 99}))
    assert await queue._told_of({}) is None
    await queue.close()


def test_what_is_told_of_a_broker_that_is_away_is_no_debug_output() -> None:
    refused = read_queues(f"amqp://guest:secret@127.0.0.1:{free_port()}/").problem
    assert refused == "RabbitMQ does not answer: it refuses connections."
