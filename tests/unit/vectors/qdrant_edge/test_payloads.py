"""Payloads are read in parts that are short for the interpreter's lock, and never in the event loop's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.qdrant_edge import payloads as edge_payloads
from image_similarity.vectors.qdrant_edge import store as embedded
from image_similarity.vectors.qdrant_edge.payloads import FIRST, MOST, with_payloads
from tests.support.records import DIMENSION, record, towards


@dataclass
class Shard:
    """Reads payloads that take some time each, on a clock of its own."""

    seconds: float
    gone: frozenset[int] = frozenset()
    now: float = 0.0
    parts: list[int] = field(default_factory=list)

    def retrieve(self, ids: Sequence[int], **_: object) -> list[Any]:
        self.parts.append(len(ids))
        self.now += self.seconds * len(ids)
        there = [number for number in ids if number not in self.gone]
        return [SimpleNamespace(id=number, payload={"n": number}) for number in reversed(there)]

    async def run(self, call: Callable[[Any], Any]) -> Any:
        return call(self)


async def read(shard: Shard, count: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(edge_payloads, "perf_counter", lambda: shard.now)
    points: Any = [SimpleNamespace(id=number) for number in range(count)]
    return await with_payloads(shard.run, lambda _: points, lambda _, payload: int(payload["n"]))  # type: ignore[arg-type]


async def test_large_payloads_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shard = Shard(seconds=0.001)
    assert await read(shard, 50, monkeypatch) == list(range(50))
    assert max(shard.parts) <= FIRST
    enormous = Shard(seconds=1.0)
    assert await read(enormous, 7, monkeypatch) == list(range(7))
    assert enormous.parts == [FIRST, 1, 1, 1]


async def test_small_payloads_are_read_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shard = Shard(seconds=1e-7, gone=frozenset({3, 700}))
    assert await read(shard, 1000, monkeypatch) == [number for number in range(1000) if number not in shard.gone]
    assert shard.parts == [4, 16, 64, MOST, MOST, MOST, 1000 - 84 - 3 * MOST]


async def test_nothing_found_is_nothing_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shard = Shard(seconds=0.001)
    assert await read(shard, 0, monkeypatch) == []
    assert shard.parts == []


async def test_what_is_read_becomes_records_and_hits_in_the_threads_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = embedded.EmbeddedStore.open(tmp_path / "photos", CollectionMeta("mini", DIMENSION))
    here: list[str] = []

    def noting(name: str) -> None:
        made = getattr(embedded, name)

        def make(*args: Any, **options: Any) -> Any:
            here.append(threading.current_thread().name)
            return made(*args, **options)

        monkeypatch.setattr(embedded, name, make)

    for name in ("to_match", "to_record", "to_vector"):
        noting(name)
    try:
        await store.upsert([(record(f"{angle}", {"angle": angle}), towards(angle)) for angle in range(6)])
        assert len(await store.query(towards(0), top_k=6)) == 6
        assert len(await store.get_many(["1", "2"])) == 2
        assert len((await store.scroll(limit=6)).records) == 6
        assert len((await store.export(after=None, limit=6)).points) == 6
        assert len(await store.get_vectors(["1"])) == len(await store.sample(1)) == 1
    finally:
        await store.close()
    assert len(here) == 6 + 2 + 6 + 12 + 2
    assert all(name.startswith("vectors") for name in here)
