"""Several processes that index, delete, restore and sweep the same few contents: whatever is found can be shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from image_similarity.cache.local import LocalCache
from image_similarity.domain.errors import ImageExists, ImageNotFound
from image_similarity.engine.collection import trash as trash_module
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.storage.images import ImageStorage
from image_similarity.telemetry.metrics import Metrics
from tests.support.engines import BLUE, RED, digest
from tests.support.replicas import SharedStore, engine_over

Replicas = tuple[SharedStore, list[SearchEngine], ImageStorage]


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    store = SharedStore()
    async with AsyncExitStack() as stack:
        engines = []
        for _ in range(3):
            cache = LocalCache(max_entries=1000, max_bytes=10_000_000, ttl=600, metrics=Metrics())
            engines.append(engine_over(store, cache, tmp_path))
            stack.push_async_callback(engines[-1].close)
        yield store, engines, ImageStorage.open(None, default=tmp_path / "images", store_originals=True)


async def test_bytes_wait_for_the_sweep_if_another_process_may_need_them(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, [one, other, _], storage = replicas
    await one.index_image(RED, image_id="a")
    await one.index_image(BLUE, image_id="a")
    await one.delete_image("a")
    await sweep(one)
    assert await storage.has(digest(RED))
    assert await storage.has(digest(BLUE))

    monkeypatch.setattr(trash_module, "time", lambda: time.time() + trash_module.SETTLE_SECONDS + 1)
    await other.index_image(RED, image_id="b")
    assert await sweep(other) == 1
    assert await storage.has(digest(RED))
    assert not await storage.has(digest(BLUE))


async def test_a_sweep_between_bytes_and_record_of_another_does_no_harm(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_module, "SETTLE_SECONDS", -1.0)
    store, [one, other, _], storage = replicas
    await one.index_image(RED, image_id="a")
    await one.delete_image("a")
    original = store.upsert

    async def upsert(points: Any) -> None:
        assert await sweep(other) == 1
        await original(points)

    monkeypatch.setattr(store, "upsert", upsert)
    await one.index_image(RED, image_id="b")

    assert await storage.has(digest(RED))


async def test_bytes_that_get_a_record_while_they_are_dropped_are_put_back(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_module, "SETTLE_SECONDS", -1.0)
    _, [one, other, _], storage = replicas
    await one.index_image(RED, image_id="a")
    await one.delete_image("a")
    original = ImageStorage.delete

    async def delete(self: ImageStorage, sha256: str) -> None:
        await one.index_image(RED, image_id="b")
        await original(self, sha256)

    with monkeypatch.context() as patch:
        patch.setattr(ImageStorage, "delete", delete)
        assert await sweep(other) == 0

    assert await storage.has(digest(RED))
    assert await storage.original(digest(RED)) == RED


async def test_an_image_whose_bytes_go_while_it_is_restored_gets_them_again(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_module, "SETTLE_SECONDS", -20.0)
    store, [one, other, _], storage = replicas
    await one.index_image(RED, image_id="a")
    await one.delete_image("a", undo_seconds=10)
    original = store.upsert

    async def upsert(points: Any) -> None:
        assert await sweep(other) == 1
        await original(points)

    monkeypatch.setattr(store, "upsert", upsert)
    with pytest.raises(ImageNotFound, match="bytes are dropped"):
        await one.restore_image("a")

    assert await store.get("a") is None
    assert not await storage.has(digest(RED))


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_several_processes_do_at_once_what_is_found_can_be_shown(
    tmp_path: Path, replicas: Replicas, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random = Random(seed)
    # Due at once, so that sweeps meet everything.
    monkeypatch.setattr(trash_module, "SETTLE_SECONDS", -1.0)
    for name in ("save", "delete", "has", "copy", "put_back"):
        monkeypatch.setattr(ImageStorage, name, _hesitant(getattr(ImageStorage, name), random))
    store, engines, storage = replicas
    store._random = random

    async def use(number: int) -> None:
        # Each process has an id of its own, but they share the contents, which often nobody has.
        engine, image_id = engines[number % 3], str(number % 3)
        await asyncio.sleep(random.random() / 2)
        match random.randrange(6):
            case 0 | 1:
                await engine.delete_image(image_id)
            case 2:
                # Luck decides, too, until when it can be restored. The shorter entry is due after a fifth of a second:
                # `put` must have written the document by then, as `SETTLE_SECONDS` promises in production.
                await engine.delete_image(image_id, undo_seconds=random.choice((1.2, 60)))
            case 3:
                await engine.restore_image(image_id)
            case _:
                await engine.index_image(random.choice((RED, BLUE)), image_id=image_id)

    async def tidy(engine: SearchEngine) -> None:
        for _ in range(20):
            await sweep(engine)
            await asyncio.sleep(random.random() / 50)

    outcomes = await asyncio.gather(
        *(use(number) for number in range(120)), *(tidy(engine) for engine in engines), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} <= {type(None), ImageNotFound, ImageExists}

    async def check() -> set[str]:
        for record in store._records.values():
            assert await storage.has(record.sha256), record.image_id
            assert digest(await storage.original(record.sha256) or b"") == record.sha256
        return {record.sha256 for record in store._records.values()}

    await check()
    clock = trash_module.time() + 3600
    monkeypatch.setattr(trash_module, "time", lambda: clock)
    await sweep(engines[0])
    needed = await check()
    kept = {path.name for path in (tmp_path / "images" / "originals").rglob("*") if path.is_file()}
    assert kept == needed
    assert [path for path in (tmp_path / "trash").rglob("*") if path.is_file()] == []


async def sweep(engine: SearchEngine) -> int:
    return await engine._writes._trash.sweep()


def _hesitant(original: Callable[..., Any], random: Random) -> Callable[..., Any]:
    """Return a method that lets others go first, before it works and after."""

    async def method(*given: Any) -> Any:
        await asyncio.sleep(random.choice((0, 0, 0.001, 0.005)))
        answer = await original(*given)
        await asyncio.sleep(random.choice((0, 0, 0.001, 0.005)))
        return answer

    return method
