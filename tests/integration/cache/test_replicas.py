"""No replica serves a result that was computed before an acknowledged write, whatever Redis goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from image_similarity.cache.circuit_breaker import CircuitBreaker
from image_similarity.domain.errors import ImageNotFound
from image_similarity.domain.queries import SearchOptions
from image_similarity.engine.search_engine import SearchEngine
from tests.integration.cache.conftest import eventually
from tests.support.engines import BLUE, RED, TOP
from tests.support.redis_server import RedisServer
from tests.support.replicas import SHORT_TIMEOUT, replicas


async def found(engine: SearchEngine) -> list[str]:
    return sorted(match.image_id for match in (await engine.search_by_image(RED, TOP)).matches)


async def test_a_write_through_one_is_seen_by_the_next_search_through_another(
    redis: RedisServer, tmp_path: Path
) -> None:
    async with replicas(redis.url, tmp_path, count=3) as engines:
        for number in range(30):
            writer, *readers = Random(number).sample(engines, 3)
            await writer.index_image(BLUE, image_id=f"{number:02}")
            expected = [f"{n:02}" for n in range(number + 1)][:10]
            for reader in (*readers, writer):
                assert await found(reader) == expected
        await engines[0].delete_image("00")
        for engine in engines:
            assert "00" not in await found(engine)


async def test_results_and_embeddings_of_one_serve_the_others(redis: RedisServer, tmp_path: Path) -> None:
    async with replicas(redis.url, tmp_path) as (first, second):
        await first.index_image(RED, image_id="a")
        assert [(await engine.search_by_image(RED, TOP)).cached for engine in (first, second, second)] == [
            False,
            True,
            True,
        ]
        assert not (await second.search_by_image(RED, SearchOptions(top_k=3))).cached
        figures = {tier.tier: tier for tier in second._cache.stats()}
        # The second time it came from L1; the embedding for the other question from L2.
        assert figures["l2"].hits == {"result": 1, "embedding": 1}
        assert figures["l1"].hits == {"result": 1, "embedding": 0}
        assert second.metrics.registry.get_sample_value("image_similarity_encode_batch_size_count") == 0


async def test_saying_unchanged_or_not_found_promises_what_searches_keep(redis: RedisServer, tmp_path: Path) -> None:
    """A replica that dies after it wrote and before it told Redis leaves it to whoever repeats the request."""
    async with replicas(redis.url, tmp_path) as (first, second):
        await first.index_image(BLUE, image_id="kept")
        assert await found(second) == ["kept"]
        record = await first.get_image("kept")
        await first._vectors.upsert([(replace(record, image_id="new"), None)])  # type: ignore[list-item]
        assert await found(second) == ["kept"]
        assert not (await first.index_image(BLUE, image_id="new")).changed
        assert await found(second) == ["kept", "new"]

        await first._vectors.delete("new")
        assert await found(second) == ["kept", "new"]
        with pytest.raises(ImageNotFound):
            await first.delete_image("new")
        assert await found(second) == ["kept"]


async def version_seen(engine: SearchEngine) -> object:
    return ((await engine.search_by_image(RED, TOP)).matches[0].metadata or {})["version"]


async def with_version_1_cached(writer: SearchEngine, reader: SearchEngine) -> None:
    await writer.index_image(RED, image_id="a", metadata={"version": 1})
    assert await version_seen(reader) == 1
    assert (await reader.search_by_image(RED, TOP)).cached


async def test_a_redis_with_older_data_does_not_bring_older_results_back(
    mortal_redis: RedisServer, tmp_path: Path
) -> None:
    async with replicas(mortal_redis.url, tmp_path) as (writer, reader):
        await with_version_1_cached(writer, reader)
        mortal_redis.command("SAVE")
        await writer.index_image(RED, image_id="a", metadata={"version": 2})
        mortal_redis.kill()
        # Sooner than the saved generation expires.
        mortal_redis.start()
        assert [await version_seen(reader) for _ in range(5)] == [2] * 5


async def test_a_write_unknown_to_a_hanging_redis_is_seen_when_it_wakes_up(
    mortal_redis: RedisServer, tmp_path: Path
) -> None:
    async with replicas(mortal_redis.url, tmp_path, timeout=0.3) as (writer, reader):
        await with_version_1_cached(writer, reader)
        # The worst case: the reader has noticed nothing and its question is there before the writer's, which has
        # to open a new session first.
        reader._cache._far._tasks[0].cancel()  # type: ignore[attr-defined]
        mortal_redis.pause()
        assert await writer._cache.generation() is None
        await writer.index_image(RED, image_id="a", metadata={"version": 2})
        searching = asyncio.create_task(version_seen(reader))
        await asyncio.sleep(0.05)
        mortal_redis.resume()
        assert await searching == 2
        assert [await version_seen(reader) for _ in range(5)] == [2] * 5


async def test_while_redis_takes_no_writes_what_is_written_is_seen(mortal_redis: RedisServer, tmp_path: Path) -> None:
    async with replicas(mortal_redis.url, tmp_path) as (writer, reader):
        await with_version_1_cached(writer, reader)
        mortal_redis.command("CONFIG SET min-replicas-to-write 1")
        await writer.index_image(RED, image_id="a", metadata={"version": 2})
        assert await version_seen(writer) == await version_seen(reader) == 2
        mortal_redis.command("CONFIG SET min-replicas-to-write 0")
        await with_results_cached_again(reader)
        assert await version_seen(writer) == await version_seen(reader) == 2


async def test_a_replica_that_alone_is_cut_off_trusts_no_result_and_catches_up(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replicas(redis.url, tmp_path) as (writer, reader):
        await with_version_1_cached(writer, reader)
        link = writer._cache._far._link  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:

            async def unreachable(session: Any, _: object) -> None:
                await session.connection.disconnect(nowait=True)
                raise ConnectionError

            patch.setattr(link, "_converse", unreachable)
            await writer.index_image(RED, image_id="a", metadata={"version": 2})
            patch.undo()
            # Reached again, but the write is still owed.
            assert await writer._cache.generation() is None
            assert await version_seen(writer) == 2

        async def caught_up() -> bool:
            return await version_seen(reader) == 2

        await eventually(caught_up)
        await with_results_cached_again(writer)


async def test_a_write_is_not_acknowledged_because_its_connections_are_cut(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are answered all the while, and would go on with what they have cached."""
    async with replicas(redis.url, tmp_path) as (writer, reader):
        await with_version_1_cached(writer, reader)
        link = writer._cache._far._link  # type: ignore[attr-defined]
        converse, cuts = link._converse, 0

        async def cut(session: Any, commands: Any) -> Any:
            nonlocal cuts
            if commands[0][0] == "DEL" and cuts < 3:
                cuts += 1
                redis.command(f"CLIENT KILL ADDR {address(session)}")
            return await converse(session, commands)

        monkeypatch.setattr(link, "_converse", cut)
        await writer.index_image(RED, image_id="a", metadata={"version": 2})
        assert cuts == 3
        assert await version_seen(reader) == 2


def address(session: Any) -> str:
    """Return the client's end of a session's connection, as Redis names it."""
    host, port = session.connection._writer.get_extra_info("sockname")
    return f"{host}:{port}"


async def with_results_cached_again(engine: SearchEngine) -> None:
    async def cached() -> bool:
        return (await engine.search_by_image(RED, TOP)).cached

    await eventually(cached)


class Witness:
    """Writes version after version of one image, and holds every search against what was acknowledged before it."""

    def __init__(self, engines: list[SearchEngine], random: Random) -> None:
        self.engines = engines
        self.random = random
        self.acknowledged = 0
        self.searches = self.cached = 0
        self.done = False

    async def write(self) -> None:
        version = 0
        while not self.done:
            version += 1
            await self.random.choice(self.engines).index_image(RED, image_id="a", metadata={"version": version})
            self.acknowledged = version
            await asyncio.sleep(self.random.choice((0, 0.002, 0.02, 0.1)))

    async def search(self) -> None:
        while not self.done:
            engine, top_k = self.random.choice(self.engines), self.random.randint(1, 4)
            owed = self.acknowledged
            result = await engine.search_by_image(RED, SearchOptions(top_k=top_k))
            seen = (result.matches[0].metadata or {})["version"] if result.matches else 0
            assert seen >= owed, f"version {seen} was served, {owed} had been acknowledged; cached: {result.cached}"
            self.searches += 1
            self.cached += result.cached
            await asyncio.sleep(self.random.choice((0, 0, 0.001, 0.01)))

    async def has_seen_enough(self) -> bool:
        return self.acknowledged > 20 and self.cached > 20

    async def watch(self, trouble: Callable[[], Awaitable[None]]) -> None:
        async def make_trouble() -> None:
            await trouble()
            self.done = True

        async with asyncio.TaskGroup() as group:
            for work in (self.write, self.search, self.search, self.search, make_trouble):
                group.create_task(work())


async def restart(redis: RedisServer, random: Random) -> None:
    redis.kill()
    await asyncio.sleep(random.choice((0, 0.05, 0.5)))
    await asyncio.to_thread(redis.start)


async def pause(redis: RedisServer, random: Random) -> None:
    redis.pause()
    await asyncio.sleep(random.choice((0.05, 0.2, 0.6, 1.05, 1.3, 2)))
    redis.resume()


async def snapshot(redis: RedisServer, random: Random) -> None:
    """Save, and come back a moment later with what was saved."""
    redis.command("SAVE")
    await asyncio.sleep(random.choice((0.02, 0.1)))
    await restart(redis, random)


async def forget(redis: RedisServer, _: Random) -> None:
    redis.command("FLUSHALL")


async def cut_off(redis: RedisServer, _: Random) -> None:
    redis.command("CLIENT KILL TYPE normal")


@pytest.mark.parametrize(
    "troubles",
    [
        [pause, pause, pause, pause],
        [restart, snapshot, snapshot, restart],
        [forget, cut_off, cut_off, forget, cut_off],
        [pause, snapshot, pause, forget, restart, cut_off, pause],
    ],
    ids=lambda troubles: "-".join(trouble.__name__ for trouble in troubles),
)
async def test_no_stale_result_while_redis_goes_through_troubles(
    mortal_redis: RedisServer,
    tmp_path: Path,
    troubles: list[Callable[[RedisServer, Random], Awaitable[None]]],
) -> None:
    random = Random(len(troubles))
    # A short pause has the breaker try again, and so be at risk, as often as possible.
    async with replicas(mortal_redis.url, tmp_path, random=random, timeout=SHORT_TIMEOUT) as engines:
        for engine in engines:
            engine._cache._far._link._breaker = CircuitBreaker(pause=0.05)  # type: ignore[attr-defined]
        witness = Witness(engines, random)

        async def make_trouble() -> None:
            for trouble in random.sample(troubles, len(troubles)):
                await asyncio.sleep(random.uniform(0.2, 0.5))
                await trouble(mortal_redis, random)
            # On a busy machine what was seen so far may be too little to say anything.
            await eventually(witness.has_seen_enough)

        await witness.watch(make_trouble)
    assert witness.searches > witness.cached
