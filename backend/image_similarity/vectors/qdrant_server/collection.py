"""Makes a collection on a Qdrant server, and recognises an existing one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic

from qdrant_client import AsyncQdrantClient, models

from image_similarity.domain.errors import ModelMismatch, StoreUnavailable, WriteOutcomeUnknown
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.collection import CollectionMeta, mismatch
from image_similarity.vectors.filters import OWN_INDEXES, IndexKind
from image_similarity.vectors.payload import REVISION, VECTOR
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.failures import is_conflict
from image_similarity.vectors.qdrant_server.placement import wait_for_peers

INDEX_TYPES = {kind: models.PayloadSchemaType(kind.value) for kind in IndexKind}

_KNOWN_EVERYWHERE = 10.0
"""Seconds within which every node of a cluster knows a new collection."""


@dataclass(frozen=True, slots=True)
class CollectionConfig:
    """How a collection is sharded, indexed and compressed; the process that makes the collection decides it."""

    shards: int = 3
    replicas: int = 1
    """Copies of each shard."""
    expected_nodes: int | None = None
    """Nodes that the cluster must have before the collection is made; None for any number."""
    write_consistency_factor: int | None = None
    """Copies that must confirm a write; None means 1, see docs/decisions/0001-qdrant-writes.md."""
    hnsw_m: int = 16
    """Edges per vector in the graph."""
    hnsw_ef_construct: int = 100
    """Candidates that are kept while the graph is built."""
    quantize: bool = True
    """Search in an int8 copy of the vectors, which is kept in memory and has a quarter of their size."""


async def find(calls: QdrantCalls, name: str) -> tuple[CollectionMeta, models.CollectionInfo] | None:
    """Return the model of a collection and its state, or None if there is none.

    Raises ModelMismatch if another program made it, and StoreUnavailable.
    """
    if not await calls.run(lambda client: client.collection_exists(name)):
        return None
    info = await calls.run(lambda client: client.get_collection(name))
    try:
        found = CollectionMeta(**(info.config.metadata or {}))
    except TypeError as error:
        raise ModelMismatch(
            f'The collection "{name}" does not say which model made it: something else than this program did, or a '
            "Qdrant older than 1.16, which forgets it. Choose another QDRANT_COLLECTION_NAME, or upgrade Qdrant."
        ) from error
    return found, info


async def ensure(calls: QdrantCalls, name: str, meta: CollectionMeta, layout: CollectionConfig) -> None:
    """Make the collection unless it exists; any number of processes may call this at once.

    Raises ModelMismatch if it was made with another model, and StoreUnavailable.
    """
    found = await find(calls, name) or await _create(calls, name, meta, layout)
    made_with, info = found
    # Never replace even an empty collection, because another process may be about to fill it.
    if made_with != meta:
        raise mismatch(name, made_with=made_with, running=meta)
    if layout.write_consistency_factor is None:
        await _lower_write_consistency(calls, name, info)
    for path, kind in OWN_INDEXES.items():
        # The process that made the collection may have stopped before it made the indexes.
        if path not in info.payload_schema:
            await create_index(calls, name, path, kind, wait=True)
    if REVISION not in info.payload_schema and _wants_indexes(info):
        # Only if the server demands it: the condition names the point as well, so the index would only cost memory.
        await create_index(calls, name, REVISION, IndexKind.UUID, wait=False)


async def create_index(calls: QdrantCalls, name: str, path: str, kind: IndexKind, *, wait: bool) -> None:
    """Make an index of a payload field; harmless if it exists. Raises StoreUnavailable."""
    await calls.write(
        lambda client: client.create_payload_index(name, field_name=path, field_schema=INDEX_TYPES[kind], wait=wait)
    )


async def _create(
    calls: QdrantCalls, name: str, meta: CollectionMeta, layout: CollectionConfig
) -> tuple[CollectionMeta, models.CollectionInfo]:
    if layout.expected_nodes is not None:
        await _wait_for_nodes(calls, layout.expected_nodes)
    failure: StoreUnavailable | None = None
    try:
        # One attempt only: a second one would find the collection that the first one has made.
        await calls.write(lambda client: _request(client, name, meta, layout), attempts=1)
    except StoreUnavailable as error:
        # Another process was first, or the answer got lost: check below whether the collection exists now.
        failure = error
    deadline = monotonic() + _KNOWN_EVERYWHERE
    while (found := await find(calls, name)) is None:
        if failure is not None and not _may_come(failure):
            raise failure
        if monotonic() > deadline:
            raise StoreUnavailable(f'Qdrant made the collection "{name}" but does not know it.') from failure
        await asyncio.sleep(0.1)
    return found


async def _wait_for_nodes(calls: QdrantCalls, expected: int) -> None:
    """Wait for all nodes, because Qdrant distributes the shards only once, when the collection is made."""

    def tell(nodes: list[str]) -> None:
        get_logger().info("waiting_for_qdrant_nodes", expected=expected, there=nodes)

    await wait_for_peers(calls, expected, calls.settle_seconds, tell)


def _may_come(failure: StoreUnavailable) -> bool:
    """Return whether the collection may appear shortly after this failure to make it."""
    return isinstance(failure, WriteOutcomeUnknown) or is_conflict(failure.__cause__)


async def _lower_write_consistency(calls: QdrantCalls, name: str, info: models.CollectionInfo) -> None:
    """Change a collection of an earlier release, which required all copies: one dead node stopped all writes."""
    factor = info.config.params.write_consistency_factor or 1
    if factor == 1:
        return
    once = models.CollectionParamsDiff(write_consistency_factor=1)
    await calls.write(lambda client: client.update_collection(name, collection_params=once))
    get_logger().warning(
        "write_consistency_factor_lowered",
        collection=name,
        was=factor,
        now=1,
        advice="Set QDRANT_WRITE_CONSISTENCY_FACTOR to keep a factor of your own.",
    )


def _wants_indexes(info: models.CollectionInfo) -> bool:
    """Return whether the server refuses conditional writes on fields without an index, as Qdrant Cloud does."""
    strict = info.config.strict_mode_config
    return strict is not None and bool(strict.enabled) and strict.unindexed_filtering_update is False


async def _request(client: AsyncQdrantClient, name: str, meta: CollectionMeta, layout: CollectionConfig) -> bool:
    int8 = models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    )
    return await client.create_collection(
        name,
        vectors_config={VECTOR: models.VectorParams(size=meta.dimension, distance=models.Distance.COSINE)},
        shard_number=layout.shards,
        replication_factor=layout.replicas,
        write_consistency_factor=layout.write_consistency_factor or 1,
        hnsw_config=models.HnswConfigDiff(m=layout.hnsw_m, ef_construct=layout.hnsw_ef_construct),
        quantization_config=int8 if layout.quantize else None,
        metadata={"model": meta.model, "dimension": meta.dimension},
    )
