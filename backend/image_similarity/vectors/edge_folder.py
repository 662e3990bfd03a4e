"""A collection as a folder: Qdrant Edge's shard and, beside it, what it was made with."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import orjson
import qdrant_edge as edge

from image_similarity.domain import StoreLocked, StoreUnavailable
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.conditions import OWN_INDEXES
from image_similarity.vectors.edge_terms import INDEX_TYPES
from image_similarity.vectors.payload import VECTOR


def create(folder: Path, meta: CollectionMeta) -> None:
    """Make an empty collection; it appears at its place whole or not at all. Raises StoreUnavailable."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise StoreUnavailable(f"The data directory {folder.parent} cannot be written: {error}") from error
    try:
        shard = edge.EdgeShard.create(
            str(draft / "shard"),
            edge.EdgeConfig(
                vectors={VECTOR: edge.EdgeVectorParams(size=meta.dimension, distance=edge.Distance.Cosine)},
                wal_enabled=True,
            ),
        )
        for field, kind in OWN_INDEXES.items():
            shard.update(edge.UpdateOperation.create_field_index(field, INDEX_TYPES[kind]))
        shard.flush()
        shard.close()
        (draft / "collection.json").write_bytes(orjson.dumps(asdict(meta), option=orjson.OPT_INDENT_2))
        draft.rename(folder)
    except Exception as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise StoreUnavailable(f"The collection {folder} cannot be made: {error}") from error


def load(folder: Path) -> edge.EdgeShard:
    """Open a collection's shard. Raises StoreLocked where another process has it open, StoreUnavailable."""
    try:
        return edge.EdgeShard.load(str(folder / "shard"))
    except Exception as error:
        # The one sign Edge gives of a second opener: the lock on its write-ahead log is taken.
        if "WouldBlock" in str(error):
            raise StoreLocked(
                f"{folder} is in use by another process, most likely a running server. "
                "Talk to that server instead, with --url http://localhost:8000, or stop it."
            ) from error
        raise StoreUnavailable(f"The collection {folder} cannot be opened: {error}") from error
