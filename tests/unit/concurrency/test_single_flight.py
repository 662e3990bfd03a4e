"""Identical concurrent work is done once, for all who wait and for nobody else."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from image_similarity.concurrency.single_flight import SingleFlight


class Work:
    """Counts its runs and waits until the test lets it end."""

    def __init__(self) -> None:
        self.runs = 0
        self.cancelled = 0
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.runs += 1
        self.started.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        return self.runs


async def waiters(flight: SingleFlight[int], work: Work, count: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(flight.run("key", work)) for _ in range(count)]
    await work.started.wait()
    await asyncio.sleep(0)
    return tasks


async def test_one_run_serves_all_who_wait() -> None:
    flight, work = SingleFlight[int](), Work()
    tasks = await waiters(flight, work, 5)
    work.go.set()

    assert await asyncio.gather(*tasks) == [1] * 5
    assert work.runs == 1


async def test_other_keys_run_at_the_same_time() -> None:
    flight, first, second = SingleFlight[int](), Work(), Work()
    one = asyncio.create_task(flight.run("one", first))
    two = asyncio.create_task(flight.run("two", second))
    await first.started.wait()
    await second.started.wait()
    second.go.set()

    assert await two == 1
    assert not one.done()
    first.go.set()
    assert await one == 1


async def test_what_is_over_is_not_kept() -> None:
    flight, work = SingleFlight[int](), Work()
    work.go.set()

    assert [await flight.run("key", work) for _ in range(3)] == [1, 2, 3]


async def test_an_error_reaches_all_who_wait_and_the_next_call_runs_again() -> None:
    flight, work = SingleFlight[int](), Work()
    work.error = ValueError("broken")
    tasks = await waiters(flight, work, 3)
    work.go.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["broken"] * 3

    work.error = None
    assert await flight.run("key", work) == 2


async def test_one_waiter_cancelled_leaves_the_others_served() -> None:
    flight, work = SingleFlight[int](), Work()
    first, second, third = await waiters(flight, work, 3)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.go.set()

    assert await asyncio.gather(second, third) == [1, 1]
    assert work.cancelled == 0


async def test_the_last_waiter_cancelled_cancels_the_work() -> None:
    flight, work = SingleFlight[int](), Work()
    tasks = await waiters(flight, work, 2)
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)

    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2
    assert work.cancelled == 1


async def test_who_comes_after_the_last_cancellation_gets_a_run_of_his_own() -> None:
    flight, work = SingleFlight[int](), Work()
    [task] = await waiters(flight, work, 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    late = asyncio.create_task(flight.run("key", work))
    work.go.set()

    assert await late == 2


async def test_an_error_after_every_waiter_has_gone_is_nobodys_warning() -> None:
    flight, work = SingleFlight[int](), Work()

    async def stubborn() -> int:
        try:
            return await work()
        except asyncio.CancelledError:
            raise ValueError("gone wrong while being cancelled") from None

    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    task = asyncio.create_task(flight.run("key", stubborn))
    await work.started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)
    del task

    assert work.cancelled == 1
    assert complaints == []


async def test_the_work_runs_in_the_context_of_the_first_caller() -> None:
    name: ContextVar[str] = ContextVar("name")
    flight = SingleFlight[str]()

    async def whose() -> str:
        await asyncio.sleep(0)
        return name.get()

    async def call(caller: str) -> str:
        name.set(caller)
        return await flight.run("key", whose)

    assert await asyncio.gather(call("first"), call("second")) == ["first", "first"]
