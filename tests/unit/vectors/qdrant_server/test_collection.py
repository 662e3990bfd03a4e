"""How the store on a server makes its collection, and which collection it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from qdrant_client import models
from structlog.testing import capture_logs

from image_similarity.domain.errors import ModelMismatch, StoreUnavailable
from image_similarity.vectors.collection import CollectionMeta, ExistingCollection
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.collection import CollectionConfig
from image_similarity.vectors.qdrant_server.store import ServerConfig, ServerStore, inspect_collection
from tests.support.records import DIMENSION, record, towards
from tests.unit.vectors.qdrant_server.conftest import META, raw


async def test_a_collection_is_not_made_before_all_nodes_are_there(config: ServerConfig) -> None:
    impatient = replace(config.connection, settle_seconds=0.1)
    two = replace(config, connection=impatient, layout=CollectionConfig(expected_nodes=2))
    with capture_logs() as logged, pytest.raises(StoreUnavailable, match="1 of the 2 nodes that QDRANT_EXPECTED_PEERS"):
        await ServerStore.open(two, META)
    assert [line["there"] for line in logged if line["event"] == "waiting_for_qdrant_nodes"] == [[impatient.url]]
    assert await inspect_collection(two) is None

    await (await ServerStore.open(replace(two, layout=CollectionConfig(expected_nodes=1)), META)).close()
    # What is there needs no node more.
    await (await ServerStore.open(two, META)).close()


async def test_the_collection_is_laid_out_as_the_settings_say(config: ServerConfig) -> None:
    layout = CollectionConfig(shards=5, replicas=2, hnsw_m=24, hnsw_ef_construct=200)
    await (await ServerStore.open(ServerConfig(config.name, config.connection, layout), META)).close()

    made = (await raw(config)).config
    assert (made.params.shard_number, made.params.replication_factor) == (5, 2)
    assert made.params.write_consistency_factor == 1, "with more, one dead node stops every write"
    assert (made.hnsw_config.m, made.hnsw_config.ef_construct) == (24, 200)
    assert made.quantization_config is not None
    assert made.quantization_config.scalar.type is models.ScalarType.INT8
    assert made.metadata == {"model": "colours", "dimension": DIMENSION}


async def test_a_factor_of_ones_own_is_kept(config: ServerConfig) -> None:
    layout = CollectionConfig(replicas=2, write_consistency_factor=2)
    for _ in range(2):
        await (await ServerStore.open(ServerConfig(config.name, config.connection, layout), META)).close()

    assert (await raw(config)).config.params.write_consistency_factor == 2


async def test_the_factor_of_an_earlier_release_is_lowered_once_and_said(config: ServerConfig) -> None:
    earlier = CollectionConfig(replicas=2, write_consistency_factor=2)
    await (await ServerStore.open(ServerConfig(config.name, config.connection, earlier), META)).close()

    for lowered in (1, 0):
        with capture_logs() as events:
            await (await ServerStore.open(config, META)).close()
        said = [event for event in events if event["event"] == "write_consistency_factor_lowered"]
        assert [(event["was"], event["now"]) for event in said] == [(2, 1)] * lowered
        assert (await raw(config)).config.params.write_consistency_factor == 1


async def test_quantization_can_be_left_out(config: ServerConfig) -> None:
    config = ServerConfig(config.name, config.connection, CollectionConfig(quantize=False))
    store = await ServerStore.open(config, META)
    await store.upsert([(record("a"), towards(0))])
    assert [match.image_id for match in await store.query(towards(0), top_k=1)] == ["a"]
    await store.close()
    assert (await raw(config)).config.quantization_config is None


async def test_peeking_tells_what_is_there_and_makes_nothing(config: ServerConfig) -> None:
    assert await inspect_collection(config) is None
    store = await ServerStore.open(config, META)
    await store.upsert([(record("a"), towards(0))])
    await store.close()

    assert await inspect_collection(config) == ExistingCollection(META, 1)


@pytest.mark.parametrize("other", [CollectionMeta("shapes", DIMENSION), CollectionMeta("colours", 2 * DIMENSION)])
@pytest.mark.usefixtures("store")
async def test_another_model_is_refused_by_both_names_though_nothing_is_stored(
    config: ServerConfig, other: CollectionMeta
) -> None:
    with pytest.raises(ModelMismatch) as caught:
        await ServerStore.open(config, other)

    said = str(caught.value)
    assert "made with colours (8 dimensions)" in said
    assert f"runs {other.model} ({other.dimension})" in said
    assert await inspect_collection(config) == ExistingCollection(META, 0)


async def test_a_collection_of_another_program_is_left_alone(config: ServerConfig) -> None:
    calls = QdrantCalls(config.connection)
    vectors = {"image": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)}
    await calls.run(lambda client: client.create_collection(config.name, vectors_config=vectors))
    await calls.close()

    with pytest.raises(ModelMismatch, match="does not say which model made it"):
        await ServerStore.open(config, META)


async def test_a_collection_that_was_left_half_made_is_finished(config: ServerConfig) -> None:
    calls = QdrantCalls(config.connection)
    vectors = {"image": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)}
    metadata = {"model": META.model, "dimension": META.dimension}
    await calls.run(lambda client: client.create_collection(config.name, vectors_config=vectors, metadata=metadata))
    await calls.close()

    store = await ServerStore.open(config, META)
    assert (await store.scroll(limit=1)).records == ()
    await store.close()
