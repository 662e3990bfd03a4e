"""Changing one image's metadata through two replicas at once: whoever is overtaken begins anew, and nothing is lost."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from image_similarity.cache.local import LocalCache
from image_similarity.domain.errors import ImageNotFound, Overloaded
from image_similarity.domain.records import Metadata, Tagging
from image_similarity.engine.collection import indexer as indexing
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.telemetry.metrics import Metrics
from image_similarity.vectors.base import CHANGES
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.qdrant_server.store import ServerConfig, ServerStore
from tests.support.encoders import ColourEncoder
from tests.support.engines import BLUE, RED, digest
from tests.support.qdrant_process import QdrantProcess
from tests.support.replicas import engine_over
from tests.support.taggers import ColourTagger

Step = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two replicas that have a Qdrant and the bytes in common; `slow` is overtaken by `quick`."""

    slow: SearchEngine
    quick: SearchEngine
    before: list[Step]
    """What happens between a reading and the writing that follows from it, once each, one at a time."""
    after: list[Step]
    """What happens between a writing and the look whether it was made."""

    def patch(self, patch: Metadata) -> Step:
        """Return a change through the quick one."""
        return lambda: self.quick.patch_metadata("a", patch)

    async def metadata(self) -> Metadata:
        return (await self.quick.get_image("a")).metadata


@pytest.fixture
async def pair(qdrant: QdrantProcess, tmp_path: Path) -> AsyncIterator[Pair]:
    spec = ColourEncoder().spec
    config = ServerConfig(f"photos-{uuid.uuid4().hex}", qdrant.connection())
    stores = [await ServerStore.open(config, CollectionMeta(spec.name, spec.dimension)) for _ in range(2)]
    slow, quick = [
        engine_over(
            store,
            LocalCache(max_entries=100, max_bytes=1_000_000, ttl=60, metrics=Metrics()),
            tmp_path,
            tagger=ColourTagger(quick=False),
        )
        for store in stores
    ]
    pair = Pair(slow, quick, before=[], after=[])
    write: Any = stores[0]._calls.write

    async def overtaken(call: Any) -> Any:
        if pair.before:
            await pair.before.pop(0)()
        written = await write(call)
        if pair.after:
            await pair.after.pop(0)()
        return written

    stores[0]._calls.write = overtaken  # type: ignore[method-assign]
    await quick.index_image(RED, image_id="a", metadata={"v": 1})
    yield pair
    for engine in (slow, quick):
        await engine.close()


async def test_a_tagger_keeps_what_was_changed_while_it_wrote(pair: Pair) -> None:
    pair.before.append(pair.patch({"v": 2, "owner": "kim"}))
    assert await pair.slow.tag_image("a")

    assert await pair.metadata() == {"v": 2, "owner": "kim", "description": "a red picture"}
    assert (await pair.quick.get_image("a")).tagging == Tagging("colours", ("description",))


async def test_a_tagger_leaves_what_was_described_or_replaced_while_it_wrote(pair: Pair) -> None:
    pair.before.append(pair.patch({"description": "mine"}))
    assert not await pair.slow.tag_image("a")
    assert await pair.metadata() == {"v": 1, "description": "mine"}

    await pair.quick.index_image(RED, image_id="a")
    pair.before.append(lambda: pair.quick.index_image(BLUE, image_id="a", metadata={"v": 3}))
    assert not await pair.slow.tag_image("a")
    found = await pair.quick.get_image("a")
    assert (found.sha256, found.metadata, found.tagging) == (digest(BLUE), {"v": 3}, None)


async def test_a_change_keeps_what_a_tagger_filled_meanwhile(pair: Pair) -> None:
    pair.before.append(lambda: pair.quick.tag_image("a"))
    patched = await pair.slow.patch_metadata("a", {"v": 2})

    assert patched.metadata == {"v": 2, "description": "a red picture"}
    assert await pair.quick.get_image("a") == patched


async def test_of_two_changes_none_is_lost_however_often_one_is_overtaken(pair: Pair) -> None:
    pair.before.extend(pair.patch({f"k{n}": n}) for n in range(3))
    await pair.slow.patch_metadata("a", {"v": 2})
    assert await pair.metadata() == {"v": 2, "k0": 0, "k1": 1, "k2": 2}


async def test_a_change_that_is_overwritten_before_it_is_confirmed_is_not_lost(pair: Pair) -> None:
    pair.after.append(pair.patch({"w": 1}))
    await pair.slow.patch_metadata("a", {"v": 2})
    assert await pair.metadata() == {"v": 2, "w": 1}


async def test_an_image_that_is_deleted_before_it_is_changed_does_not_come_back(pair: Pair) -> None:
    pair.before.append(lambda: pair.quick.delete_image("a"))
    with pytest.raises(ImageNotFound):
        await pair.slow.patch_metadata("a", {"v": 2})
    with pytest.raises(ImageNotFound):
        await pair.quick.get_image("a")


async def test_who_is_overtaken_every_time_is_told_so(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "MAX_BACKOFF_SECONDS", 0)
    pair.before.extend(pair.patch({"n": n}) for n in range(CHANGES))
    with pytest.raises(Overloaded, match='"a" was changed elsewhere'):
        await pair.slow.patch_metadata("a", {"v": 2})
    assert await pair.metadata() == {"v": 1, "n": CHANGES - 1}
