"""A collection as a folder: the shard of Qdrant Edge, and files with the model that it was made with."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import orjson
import qdrant_edge as edge

from image_similarity.domain.errors import DiskFull, StoreLocked, StoreUnavailable
from image_similarity.filesystem.synced import sync_folder
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.filters import OWN_INDEXES
from image_similarity.vectors.payload import VECTOR
from image_similarity.vectors.qdrant_edge.filters import INDEX_TYPES, to_vector
from image_similarity.vectors.qdrant_edge.folder_lock import try_lock
from image_similarity.vectors.qdrant_edge.mending import DAMAGED, mend_documents, mend_indexes
from image_similarity.vectors.qdrant_edge.room import GROWTH, require, require_to_open

_NO_DAMAGE = ("No space left", "Permission denied", "Too many open files", "Cannot allocate", "Read-only", "locked")
"""Errors of Edge that do not mean damaged files."""

META_NAMES = ("collection.json", "collection.copy.json")
"""Two copies of the collection's model, because a collection without it cannot be searched."""


def create(folder: Path, meta: CollectionMeta) -> None:
    """Make an empty collection atomically: the folder appears complete or not at all. Raises StoreUnavailable."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise StoreUnavailable(f"The data directory {folder.parent} cannot be written: {error}") from error
    try:
        require(draft, GROWTH)
        shard = edge.EdgeShard.create(
            str(draft / "shard"),
            edge.EdgeConfig(
                vectors={VECTOR: edge.EdgeVectorParams(size=meta.dimension, distance=edge.Distance.Cosine)},
                wal_enabled=True,
            ),
        )
        ensure_own_indexes(shard)
        shard.flush()
        shard.close()
        write_meta(draft, meta)
        draft.rename(folder)
        sync_folder(folder.parent)
    except Exception as error:
        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, DiskFull):
            raise
        raise StoreUnavailable(f"The collection {folder} cannot be made: {error}") from error


def ensure_own_indexes(shard: edge.EdgeShard) -> None:
    """Make the indexes that every collection has, if they are missing."""
    present = shard.info().payload_schema
    for field, kind in OWN_INDEXES.items():
        if field not in present:
            shard.update(edge.UpdateOperation.create_field_index(field, INDEX_TYPES[kind]))


def write_meta(folder: Path, meta: CollectionMeta) -> None:
    """Write both copies of the collection's model, and sync them to disk. Raises OSError."""
    for name in META_NAMES:
        draft = folder / f".{name}"
        with draft.open("wb") as file:
            file.write(orjson.dumps(asdict(meta), option=orjson.OPT_INDENT_2))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(folder / name)
    sync_folder(folder)


def read_meta(folder: Path) -> CollectionMeta | None:
    """Return the model of a collection, None if neither copy of it is readable. Raises StoreUnavailable."""
    for name in META_NAMES:
        path = folder / name
        try:
            return CollectionMeta(**orjson.loads(path.read_bytes()))
        except FileNotFoundError:
            continue
        except (ValueError, TypeError) as error:
            get_logger().error("document_damaged", key=f"{folder.name}/{name}", reason=str(error))
        except OSError as error:
            raise StoreUnavailable(f"{path} cannot be read: {error}") from error
    return None


def metas_agree(folder: Path) -> bool:
    """Return whether both copies of the collection's model exist and are the same. Raises OSError."""
    paths = [folder / name for name in META_NAMES]
    return all(path.exists() for path in paths) and len({path.read_bytes() for path in paths}) == 1


def adopt(folder: Path, meta: CollectionMeta) -> None:
    """Assume that a collection was made with `meta`, because neither copy of its model is readable.

    Raises StoreUnavailable if its vectors are of another dimension.
    """
    shard = load(folder)
    try:
        points, _ = shard.scroll(edge.ScrollRequest(limit=1, with_payload=False, with_vector=True))
    finally:
        shard.close()
    if points and to_vector(points[0]).size != meta.dimension:
        raise StoreUnavailable(
            f'What the collection "{folder.name}" was made with cannot be read any more (collection.json is damaged), '
            f"and its vectors have not the {meta.dimension} dimensions of {meta.model}. Set MODEL_NAME to the model "
            "that made it."
        )
    get_logger().error("collection_adopted", collection=folder.name, model=meta.model, images=len(points))
    write_meta(folder, meta)


def count_images(folder: Path) -> int:
    """Count the images of a collection that no process has open. Raises as `load`."""
    shard = load(folder)
    try:
        return shard.info().points_count
    finally:
        shard.close()


def load(folder: Path) -> edge.EdgeShard:
    """Open the shard of a collection. The caller must hold its `FolderLock`: Edge's own lock comes too late.

    Damaged files that can be rebuilt are moved aside. Raises StoreLocked if another process has the shard open anyway,
    DiskFull, and StoreUnavailable if it cannot be opened for another reason.
    """
    if _is_open(folder):
        raise StoreLocked(
            f"{folder} is in use by another program, or by an earlier version of this one; stop it first."
        )
    require_to_open(folder)
    mended: list[str] = []
    for mend in (None, mend_documents, mend_indexes):
        try:
            mended += mend(folder) if mend is not None else []
            shard = edge.EdgeShard.load(str(folder / "shard"))
        # Edge raises plain `Exception`, and its panics are only BaseException.
        except BaseException as error:
            failure = error
            if not _may_be_damage(error):
                break
        else:
            if mended:
                get_logger().error("collection_mended", collection=folder.name, set_aside=mended, kept_in=DAMAGED)
            return shard
    raise _unopened(folder, failure, mended) from failure


def _may_be_damage(error: BaseException) -> bool:
    if isinstance(error, OSError | KeyboardInterrupt | SystemExit | MemoryError):
        return False
    return not any(text in str(error) for text in _NO_DAMAGE)


def _unopened(folder: Path, error: BaseException, mended: list[str]) -> BaseException:
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return error
    if "No space left" in str(error):
        return DiskFull(
            f"The disk of DATA_DIR is full, so that the collection {folder} cannot be opened. Nothing is lost. "
            "Make room on it, and start again."
        )
    if not _may_be_damage(error):
        return StoreUnavailable(f"The collection {folder} cannot be opened: {error}")
    get_logger().error("collection_damaged", collection=folder.name, set_aside=mended, reason=str(error))
    tried = f" Set aside below {DAMAGED}/, which did not help: {', '.join(mended)}." if mended else ""
    return StoreUnavailable(
        f"The collection {folder} is damaged and cannot be opened: {error}.{tried} Bring that folder back from a "
        "backup. Without one, move it away, start anew, and index your images again: their bytes are in the image "
        "storage still, but what each was called was in the store."
    )


def _is_open(folder: Path) -> bool:
    """Return whether a process has the shard open, by Edge's lock on the folder of its log."""
    try:
        log = os.open(folder / "shard" / "wal", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        # Edge will report what is wrong.
        return False
    try:
        return not try_lock(log)
    finally:
        os.close(log)
