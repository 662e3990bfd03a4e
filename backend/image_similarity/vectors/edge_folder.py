"""A collection as a folder: Qdrant Edge's shard and, beside it, what it was made with."""

from __future__ import annotations

import os
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
from image_similarity.vectors.folder_lock import try_lock
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


def read_meta(folder: Path) -> CollectionMeta | None:
    """Return what a collection was made with, None where there is none. Raises StoreUnavailable."""
    path = folder / "collection.json"
    try:
        return CollectionMeta(**orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StoreUnavailable(f"{path} cannot be read: {error}") from error


def count_images(folder: Path) -> int:
    """Count the images of a collection that nobody has open. Raises as `load`."""
    shard = load(folder)
    try:
        return shard.info().points_count
    finally:
        shard.close()


def load(folder: Path) -> edge.EdgeShard:
    """Open the shard of a collection whose `FolderLock` the caller has: Edge changes files before it sees its own lock.

    Raises StoreLocked where another process has it open all the same, StoreUnavailable.
    """
    if _is_open(folder):
        raise StoreLocked(
            f"{folder} is in use by another program, or by an earlier version of this one; stop it first."
        )
    try:
        return edge.EdgeShard.load(str(folder / "shard"))
    except Exception as error:
        raise StoreUnavailable(f"The collection {folder} cannot be opened: {error}") from error


def _is_open(folder: Path) -> bool:
    """Tell whether a process has the shard open, by the lock that Edge holds on the folder of its log."""
    try:
        log = os.open(folder / "shard" / "wal", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        # Edge will say what is wrong with it.
        return False
    try:
        return not try_lock(log)
    finally:
        os.close(log)
