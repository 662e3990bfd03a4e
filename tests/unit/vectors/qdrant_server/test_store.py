"""What is particular to the store on a server: many processes at once, and a server that is away."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import monotonic

import pytest
from pydantic import SecretStr
from qdrant_client import models
from structlog.testing import capture_logs

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.domain.filters import parse_filter
from image_similarity.vectors.payload import VECTOR
from image_similarity.vectors.qdrant_server import field_indexes as qdrant_indexes
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.nodes import Connection
from image_similarity.vectors.qdrant_server.store import ServerConfig, ServerStore
from tests.support.qdrant_process import QdrantProcess
from tests.support.records import DIMENSION, read, record, towards
from tests.support.servers import PATIENCE
from tests.unit.vectors.qdrant_server.conftest import META, raw


@pytest.fixture
def own_qdrant(tmp_path: Path) -> Iterator[QdrantProcess]:
    """A server that a test may take away."""
    process = QdrantProcess(tmp_path)
    process.start()
    yield process
    process.stop()


async def found(store: ServerStore, condition: dict[str, object]) -> list[str]:
    matches = await store.query(towards(0), top_k=10, condition=parse_filter(condition))
    return [match.image_id for match in matches]


async def test_three_replicas_that_start_at_once_share_one_collection(config: ServerConfig) -> None:
    stores = await asyncio.gather(*(ServerStore.open(config, META) for _ in range(3)))
    try:
        for number, store in enumerate(stores):
            await store.upsert([(record(f"{number}"), towards(number))])
        for store in stores:
            assert (await store.info()).images == 3
            assert len(await store.query(towards(0), top_k=5)) == 3
    finally:
        for store in stores:
            await store.close()
    indexed = set((await raw(config)).payload_schema)
    assert {"sha256", "indexed_at", "booleans"} <= indexed
    assert "revision" not in indexed


async def test_a_write_through_one_is_found_by_the_next_query_through_another(config: ServerConfig) -> None:
    one, other = [await ServerStore.open(config, META) for _ in range(2)]
    try:
        for angle in range(0, 90, 9):
            await one.upsert([(record(f"{angle}"), towards(angle))])
            assert [match.image_id for match in await other.query(towards(angle), top_k=1)] == [f"{angle}"]
            await other.delete(f"{angle}")
            assert await one.get(f"{angle}") is None
    finally:
        await one.close()
        await other.close()


async def test_metadata_is_changed_though_unindexed_conditions_are_refused(
    config: ServerConfig,
) -> None:
    calls = QdrantCalls(config.connection)
    strict = models.StrictModeConfig(enabled=True, unindexed_filtering_update=False)
    await calls.run(
        lambda client: client.create_collection(
            config.name,
            vectors_config={VECTOR: models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)},
            metadata=asdict(META),
            strict_mode_config=strict,
        )
    )
    await calls.close()

    store = await ServerStore.open(config, META)
    try:
        await store.upsert([(record("a"), towards(0))])
        assert await store.set_metadata(await read(store, "a"), {"n": 1})
        assert (await read(store, "a")).metadata == {"n": 1}
    finally:
        await store.close()


async def test_a_field_gets_its_index_when_it_is_first_filtered_on(store: ServerStore) -> None:
    await store.upsert([(record("a", {"n": 1, "s": "x", "t": "2024-01-01", "c": {"d e": 1}, "b": True}), towards(0))])
    assert (await store.info()).field_indexes == ()

    await found(store, {"s": "x"})
    await found(store, {"or": [{"n": {"gt": 0}}, {"t": {"gt": "2020-01-01"}}, {"c.d e": 1}]})
    for raw_filter in ({"nowhere": 1}, {"b": True}, {"n": {"exists": True}}):
        await found(store, raw_filter)
    assert (await store.info()).field_indexes == ("c.d e", "n", "s", "t")


async def test_an_index_that_another_replica_made_is_not_made_again(config: ServerConfig, store: ServerStore) -> None:
    await store.upsert([(record("a", {"s": "x"}), towards(0))])
    await found(store, {"s": "x"})
    other = await ServerStore.open(config, META)
    assert await found(other, {"s": "x"}) == ["a"]
    assert (await other.info()).field_indexes == ("s",)
    await other.close()


async def test_a_caller_cannot_fill_the_memory_with_indexes(
    store: ServerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdrant_indexes, "MAX_FIELD_INDEXES", 3)
    await store.upsert([(record("a", {f"f{number}": number for number in range(6)}), towards(0))])

    for number in range(6):
        assert await found(store, {f"f{number}": number}) == ["a"]
    await found(store, {"and": [{f"f{number}": number} for number in range(6)]})
    assert (await store.info()).field_indexes == ("f0", "f1", "f2")


async def test_a_vector_of_another_length_is_refused_in_the_servers_words(store: ServerStore) -> None:
    wrong = towards(0).repeat(2)

    with pytest.raises(StoreUnavailable, match="expected dim: 8, got 16"):
        await store.upsert([(record("a"), wrong)])
    assert (await store.info()).images == 0


async def test_closing_twice_is_harmless_and_a_closed_store_says_so(store: ServerStore) -> None:
    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await store.get("a")


@pytest.mark.parametrize("grpc", [False, True], ids=["rest", "grpc"])
async def test_what_was_acknowledged_is_there_when_the_server_returns(own_qdrant: QdrantProcess, grpc: bool) -> None:
    store = await ServerStore.open(ServerConfig("photos", own_qdrant.connection(grpc=grpc, timeout=2)), META)
    try:
        for number in range(30):
            await store.upsert([(record(f"{number}"), towards(number))])
        own_qdrant.kill()

        started = monotonic()
        for call in (
            store.check(),
            store.info(),
            store.get("1"),
            store.query(towards(0), top_k=1),
            store.upsert([(record("lost"), towards(0))]),
            store.delete("1"),
        ):
            with pytest.raises(StoreUnavailable, match="Qdrant "):
                await call
        assert monotonic() - started < 6 * 2

        own_qdrant.start()
        deadline = monotonic() + PATIENCE
        while True:
            try:
                await store.check()
                break
            except StoreUnavailable:
                assert monotonic() < deadline, "the store does not notice that the server is back"
        assert (await store.info()).images == 30
        for number in range(30):
            assert await store.get(f"{number}") == record(f"{number}")
        await store.upsert([(record("new"), towards(0))])
        assert await store.get("new") == record("new")
    finally:
        await store.close()


@pytest.mark.parametrize("grpc", [False, True], ids=["rest", "grpc"])
async def test_a_wrong_key_is_named_and_no_key_is_shown(
    tmp_path: Path, grpc: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    process = QdrantProcess(tmp_path, api_key="the-right-key")
    process.start()
    wrong = ServerConfig("photos", process.connection(grpc=grpc, api_key=SecretStr("the-wrong-key")))
    right = ServerConfig("photos", process.connection(grpc=grpc, api_key=SecretStr("the-right-key")))
    try:
        with capture_logs() as events:
            with pytest.raises(StoreUnavailable, match="QDRANT_API_KEY") as refused:
                await ServerStore.open(wrong, META)
            store = await ServerStore.open(right, META)
            await store.upsert([(record("a"), towards(0))])
            process.kill()
            with pytest.raises(StoreUnavailable) as failed:
                await store.get("a")
            await store.close()
    finally:
        process.stop()
    assert any(event["event"] == "stamina.retry_scheduled" for event in events)
    errors = ["".join(traceback.format_exception(caught.value)) for caught in (refused, failed)]
    shown = "".join([*errors, repr(right), repr(wrong), caplog.text, repr(events)])
    assert "the-right-key" not in shown
    assert "the-wrong-key" not in shown


def test_a_connection_waits_five_seconds_unless_told_otherwise() -> None:
    assert Connection("http://localhost:6333").timeout == 5


async def test_the_state_tells_where_the_copies_are(config: ServerConfig, store: ServerStore) -> None:
    placement = (await store.info()).placement
    assert placement is not None
    shards = config.layout.shards
    assert (placement.nodes, placement.shards, placement.copies_active) == (1, shards, shards)
    assert (placement.shards_short, placement.shards_over, placement.shards_on_one_node) == (0, 0, 0)
