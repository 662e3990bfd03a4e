"""Open the vector store that the settings choose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from image_similarity.bootstrap.deployment import Deployment, StoreKind, collection_folder
from image_similarity.domain.errors import InvalidRequest
from image_similarity.engine.collection.migration import Progress, Report, copy_collection
from image_similarity.settings import Settings
from image_similarity.vectors.base import CollectionInfo, VectorStore, WriteNotes
from image_similarity.vectors.collection import CollectionMeta, ExistingCollection
from image_similarity.vectors.placement import Placement
from image_similarity.vectors.qdrant_edge.folder_lock import FolderLock
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore, inspect_collection

if TYPE_CHECKING:
    from image_similarity.vectors.qdrant_server.balance import Progress as BalanceProgress
    from image_similarity.vectors.qdrant_server.client import QdrantCalls
    from image_similarity.vectors.qdrant_server.store import ServerConfig


def embedded_collections(settings: Settings) -> set[str]:
    """Return the names of the collections in DATA_DIR, which may all have their images in the same storage."""
    return {found.parent.name for found in (settings.data_dir / "collections").glob("*/collection.json")}


async def lock_collection(settings: Settings) -> FolderLock | None:
    """Lock the folder of an embedded collection for this process; None for one on a server, which processes share.

    Raises FolderInUse, StoreUnavailable.
    """
    folder = Deployment.of(settings).folder
    return None if folder is None else await asyncio.to_thread(FolderLock.take, folder)


async def find_collection(
    settings: Settings, kind: StoreKind, lock: FolderLock | None = None
) -> ExistingCollection | None:
    """Return the collection's model and size, None if there is no collection; `lock` is the folder's, if locked.

    Raises StoreLocked, StoreUnavailable, ModelMismatch if another program made it, InvalidRequest if no server is set.
    """
    if kind is StoreKind.EMBEDDED:
        return await asyncio.to_thread(inspect_collection, collection_folder(settings), lock)
    from image_similarity.vectors.qdrant_server import store as server

    return await server.inspect_collection(_server_config(settings))


async def open_collection(
    settings: Settings,
    kind: StoreKind,
    meta: CollectionMeta,
    notes: WriteNotes | None = None,
    *,
    lock: FolderLock | None = None,
    on_flush_failure: Callable[[], object] = lambda: None,
) -> VectorStore:
    """Open the collection for a model's embeddings, or create it. Raises the errors of the stores' `open`.

    A shared store records in `notes` the writes whose outcome it does not know; `EmbeddedStore.open` explains `lock`
    and `on_flush_failure`.
    """
    if kind is StoreKind.EMBEDDED:
        folder, language = collection_folder(settings), settings.keyword_language
        return await asyncio.to_thread(
            lambda: EmbeddedStore.open(
                folder,
                meta,
                language=language,
                lock=lock,
                on_flush_failure=on_flush_failure,
                durable=settings.durability == "power",
            )
        )
    from image_similarity.vectors.qdrant_server.store import ServerStore

    return await ServerStore.open(_server_config(settings), meta, notes)


async def optimize(settings: Settings) -> CollectionInfo:
    """Build the search graph of an embedded collection that no server has open.

    Raises InvalidRequest if there is no such collection, StoreLocked, StoreUnavailable.
    """
    folder = Deployment.of(settings).folder
    if folder is None:
        raise InvalidRequest(
            "optimize is for embedded collections only: a Qdrant server builds its search graph by itself, while it "
            "serves. Unset QDRANT_URL and QDRANT_HOST to work on the collection in DATA_DIR."
        )
    found = inspect_collection(folder)
    if found is None:
        raise InvalidRequest(f"There is no collection in {folder}; index some images first.")
    vectors = EmbeddedStore.open(folder, found.meta, language=settings.keyword_language)
    try:
        await vectors.optimize()
        return await vectors.info()
    finally:
        await vectors.close()


async def migrate(
    settings: Settings, source: StoreKind, target: StoreKind, on_progress: Callable[[Progress], None]
) -> Report:
    """Copy the collection from one kind of store to the other, and create it there if there is none.

    Raises InvalidRequest if there is nothing to copy or no server is set, ModelMismatch if another model made the
    target, MigrationFailed if the copy differs from the source, StoreLocked and StoreUnavailable.
    """
    if source is target:
        raise InvalidRequest(f"There is nothing to do from {source} to {target}.")
    found = await find_collection(settings, source)
    if found is None:
        raise InvalidRequest(f'There is no {source} collection "{settings.qdrant_collection_name}" to migrate.')
    async with AsyncExitStack() as opened:
        origin = await open_collection(settings, source, found.meta)
        opened.push_async_callback(origin.close)
        copy = await open_collection(settings, target, found.meta)
        opened.push_async_callback(copy.close)
        return await copy_collection(origin, copy, on_progress)


async def read_placement(settings: Settings, copies: int | None = None) -> Placement:
    """Return the placement of the collection's shards on the Qdrant server; each shard should have `copies` copies.

    None: as many as the collection's configuration says. Raises InvalidRequest if no server is set, StoreUnavailable.
    """
    from image_similarity.vectors.qdrant_server.placement import copies_wanted, read

    async with _administering(settings) as calls:
        name = settings.qdrant_collection_name
        return await read(calls, name, copies or await copies_wanted(calls, name))


async def balance_placement(
    settings: Settings, *, copies: int | None, lost: Iterable[int], on_progress: Callable[[BalanceProgress], None]
) -> Placement:
    """Move the shards' copies to the nodes where they should be, and return the new placement.

    If `copies` is given, first change how many copies each shard should have. It can be stopped at any time; the next
    call continues. Raises as `read_placement`.
    """
    from image_similarity.vectors.qdrant_server.balance import Balance
    from image_similarity.vectors.qdrant_server.placement import copies_wanted, want_copies

    async with _administering(settings) as calls:
        name = settings.qdrant_collection_name
        if copies is not None:
            await want_copies(calls, name, copies)
        wanted = copies or await copies_wanted(calls, name)
        return await Balance(calls, name, wanted=wanted, lost=lost, on_progress=on_progress).run()


@asynccontextmanager
async def _administering(settings: Settings) -> AsyncIterator[QdrantCalls]:
    from image_similarity.vectors.qdrant_server.client import QdrantCalls

    connection = _server_config(settings).connection
    # A longer timeout, because the nodes may take ten seconds to agree on a change. No collection name is passed, so
    # calls do not wait for active shards: these commands are for shards that are not active.
    calls = QdrantCalls(replace(connection, timeout=max(connection.timeout, 15.0)))
    try:
        yield calls
    finally:
        await calls.close()


def _server_config(settings: Settings) -> ServerConfig:
    # The client and gRPC take a second to import, so they are only imported for a server.
    from image_similarity.vectors.qdrant_server.collection import CollectionConfig
    from image_similarity.vectors.qdrant_server.nodes import Connection
    from image_similarity.vectors.qdrant_server.store import SearchConfig, ServerConfig

    if not Deployment.of(settings).shared:
        raise InvalidRequest("No Qdrant server is set; set QDRANT_URL or QDRANT_HOST.")
    return ServerConfig(
        name=settings.qdrant_collection_name,
        connection=Connection(
            url=settings.qdrant_url or f"http://{settings.qdrant_host}:{settings.qdrant_port}",
            grpc_port=settings.qdrant_grpc_port,
            prefer_grpc=settings.qdrant_prefer_grpc,
            api_key=settings.qdrant_api_key,
            timeout=settings.qdrant_timeout,
            settle_seconds=settings.qdrant_settle_seconds,
        ),
        layout=CollectionConfig(
            shards=settings.qdrant_shard_number,
            replicas=settings.qdrant_replication_factor,
            expected_nodes=settings.qdrant_expected_peers,
            write_consistency_factor=settings.qdrant_write_consistency_factor,
            hnsw_m=settings.qdrant_hnsw_m,
            hnsw_ef_construct=settings.qdrant_hnsw_ef_construct,
            quantize=settings.qdrant_quantization == "int8",
        ),
        searching=SearchConfig(settings.qdrant_hnsw_ef, settings.qdrant_rescore, settings.qdrant_oversampling),
        language=settings.keyword_language,
    )
