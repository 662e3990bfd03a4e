"""Whoever asks gets a run that begins afterwards; many share one."""

from __future__ import annotations

import asyncio

from image_similarity.concurrency.coalesce import CoalescedTask


class Work:
    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.gate = asyncio.Semaphore(0)

    async def __call__(self) -> None:
        self.begun += 1
        await self.gate.acquire()
        self.ended += 1


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_ask_before_it_begins_share_a_run() -> None:
    work = Work()
    coalesced = CoalescedTask(work)
    runs = {coalesced.next() for _ in range(10)}
    await settle()
    work.gate.release()
    await asyncio.wait(runs)
    assert (len(runs), work.begun) == (1, 1)


async def test_a_run_under_way_is_not_shared_and_never_runs_beside_another() -> None:
    work = Work()
    coalesced = CoalescedTask(work)
    first = coalesced.next()
    await settle()
    later = [coalesced.next() for _ in range(5)]
    await settle()
    assert first is not later[0]
    assert len(set(later)) == work.begun == 1

    work.gate.release()
    await asyncio.wait({first})
    await settle()
    assert (work.begun, work.ended, later[0].done()) == (2, 1, False)
    work.gate.release()
    await asyncio.wait(later)
    assert work.ended == 2


async def test_one_who_gives_up_leaves_the_run_to_the_others() -> None:
    work = Work()
    coalesced = CoalescedTask(work)
    run = coalesced.next()
    await asyncio.wait({run}, timeout=0.01)
    work.gate.release()
    await asyncio.wait({run})
    assert work.ended == 1


async def test_cancel_ends_what_runs_and_what_waits() -> None:
    work = Work()
    coalesced = CoalescedTask(work)
    coalesced.next()
    await settle()
    coalesced.next()
    await settle()
    tasks = coalesced.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (len(tasks), work.begun, work.ended) == (2, 1, 0)
    assert all(task.cancelled() for task in tasks)
