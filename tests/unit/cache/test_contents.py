"""What images last had, under the name of the Redis that answers."""

from __future__ import annotations

import asyncio
from typing import cast

from image_similarity.cache.contents import SharedContents
from image_similarity.cache.redis_connection import Answer, Command, RedisConnection


class HeldLink:
    """Holds each question back until it is let through."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[Command, ...], asyncio.Event]] = []

    async def ask(self, *commands: Command) -> Answer:
        through = asyncio.Event()
        self.asked.append((commands, through))
        await through.wait()
        return Answer("run-1", [None for _ in commands])


async def turns() -> None:
    """Let every call come to its next question."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_mark_without_a_run_is_set_again_though_another_call_learns_it() -> None:
    link = HeldLink()
    contents = SharedContents(cast(RedisConnection, link), prefix="p", ttl=1000)
    async with asyncio.TaskGroup() as group:
        group.create_task(contents.mark(["a"]))
        group.create_task(contents.find("a"))
        await asyncio.sleep(0)
        marking, finding = link.asked
        finding[1].set()
        await turns()
        link.asked[2][1].set()
        marking[1].set()
        await turns()
        for _, through in link.asked:
            through.set()
    sent = [key for commands, _ in link.asked for command in commands for key in command]
    assert "p:run-1:written:a" in sent
    assert "p:run-1:content:a" in sent
