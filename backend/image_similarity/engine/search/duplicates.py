"""Merge near-identical hits into the best of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from image_similarity.domain.records import Embedding, Match


def collapse(matches: Sequence[Match], vectors: Mapping[str, Embedding], *, alike: float) -> list[Match]:
    """Return the matches, best first, without duplicates of better ones; `duplicates` of the better one names them.

    A duplicate has the same bytes, or a cosine of at least `alike` to the better match. `vectors` are unit vectors,
    shape (dimension,), by image id; if one is missing because the image was deleted meanwhile, only bytes are compared.
    A match is compared with the kept ones, never with their duplicates, so that a chain of small differences does not
    merge pictures that are not alike.
    """
    if not matches:
        return []
    found = [vectors.get(match.image_id) for match in matches]
    dimension = max((len(vector) for vector in found if vector is not None), default=1)
    missing = np.zeros(dimension, np.float32)
    rows = np.stack([missing if vector is None else vector for vector in found])
    contents = np.array([match.sha256 for match in matches])
    free = np.ones(len(matches), bool)
    leaders = []
    for place, match in enumerate(matches):
        if not free[place]:
            continue
        same = free & ((rows @ rows[place] >= alike) | (contents == match.sha256))
        same[: place + 1] = False
        free &= ~same
        leaders.append(
            replace(match, duplicates=tuple(matches[other].image_id for other in np.flatnonzero(same).tolist()))
        )
    return leaders
