"""How the shard of a collection is opened, or made."""

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
    """Open the shard in a folder that is locked, or make it.

    Raises ModelMismatch where it was made with another model, StoreUnavailable where its files cannot be read.
    """
    found = read_meta(folder)
    if found is not None and found != meta:
        if count_images(folder):
            raise mismatch(folder.name, made_with=found, running=meta)
        # Nobody's images are lost: an empty collection just follows the model.
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
    # Whatever Edge raises; what is open keeps every other process out.
    except BaseException as error:
        shard.close()
        raise StoreUnavailable(f"The indexes of {folder} cannot be made: {error}") from error
    return shard
