"""Indexes of the metadata fields that searches filter on, made in a Qdrant Edge shard as they are needed."""

from __future__ import annotations

import qdrant_edge as edge

from image_similarity.domain import Condition
from image_similarity.vectors.conditions import MAX_FIELD_INDEXES, index_room, missing_indexes
from image_similarity.vectors.edge_terms import INDEX_TYPES


def ensure_field_indexes(shard: edge.EdgeShard, condition: Condition) -> None:
    """Make indexes for the fields of a condition that images have. Raises what Edge does."""
    present = shard.info().payload_schema
    room = index_room(present, MAX_FIELD_INDEXES)
    for path, kind in missing_indexes(condition, present).items():
        used = edge.Filter(must_not=[edge.IsEmptyCondition(path)])
        if room > 0 and shard.scroll(edge.ScrollRequest(limit=1, filter=used))[0]:
            shard.update(edge.UpdateOperation.create_field_index(path, INDEX_TYPES[kind]))
            room -= 1
