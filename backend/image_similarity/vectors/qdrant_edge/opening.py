"""Opens the shard of a collection, or makes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import qdrant_edge as edge

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.vectors.collection import CollectionMeta, mismatch
from image_similarity.vectors.qdrant_edge.folder import (
    adopt,
    count_images,
    create,
    ensure_own_indexes,
    load,
    metas_agree,
    read_meta,
    write_meta,
)
from image_similarity.vectors.qdrant_edge.keywords import ensure_text_indexes


def open_shard(folder: Path, meta: CollectionMeta, language: str) -> edge.EdgeShard:
    """Open the shard in a locked folder, or make it.

    Raises ModelMismatch if it was made with another model, StoreUnavailable if its files cannot be read.
    """
    found = read_meta(folder)
    if found is not None and found != meta:
        if count_images(folder):
            raise mismatch(folder.name, made_with=found, running=meta)
        # No images are lost: an empty collection is made again for the new model.
        shutil.rmtree(folder)
        found = None
    if found is None and (folder / "shard").exists():
        adopt(folder, meta)
    elif found is None:
        create(folder, meta)
    shard = load(folder)
    try:
        ensure_own_indexes(shard)
        ensure_text_indexes(shard, language)
        if not metas_agree(folder):
            write_meta(folder, meta)
    # Any error of Edge: an open shard would lock out other processes.
    except BaseException as error:
        shard.close()
        raise StoreUnavailable(f"The indexes of {folder} cannot be made: {error}") from error
    return shard
