"""Select results that differ from each other: maximal marginal relevance (MMR), the same for every store.

Carbonell & Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing summaries",
SIGIR 1998: results are chosen one after the other; each is the one with the greatest
(1 - diversity) * (cosine to the query) - diversity * (greatest cosine to a result chosen before).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from image_similarity.domain.queries import MAX_DIVERSE
from image_similarity.domain.records import Embedding, Match

FEWEST_CANDIDATES = 100


def candidate_count(top_k: int) -> int:
    """Return how many of the nearest images MMR chooses `top_k` results from."""
    return max(FEWEST_CANDIDATES, min(4 * top_k, 2 * MAX_DIVERSE))


def diversify(
    nearest: Sequence[Match], vectors: Mapping[str, Embedding], query: Embedding, *, diversity: float, top_k: int
) -> list[Match]:
    """Return up to `top_k` of the nearest in the order in which MMR chooses them.

    `query` is a unit vector, shape (dimension,), float32, and so are `vectors`, by image id; a match without one is
    left out, because its image was deleted meanwhile. The first is the nearest. Of equally good ones, the nearer one is
    chosen, then the one whose id comes first. Scores are neither changed nor used: the answer depends only on the
    vectors, not on the order in which a store returned them.
    """
    found = sorted((match for match in nearest if match.image_id in vectors), key=lambda match: match.image_id)
    if not found:
        return []
    rows = np.stack([vectors[match.image_id] for match in found])
    # `vecdot` and not `@`: a vector gives the same number in any row, and no threads wait for each other, which took
    # 50 ms instead of 0.5 while a model was computing.
    cosines = np.vecdot(rows, query)
    ranking = np.argsort(-cosines, kind="stable")
    rows, relevance = rows[ranking], (1 - diversity) * cosines[ranking]
    redundancy = np.full(len(found), -1, np.float32)
    chosen: list[int] = []
    while len(chosen) < min(top_k, len(found)):
        # argmax returns the first of equal values.
        best = int((relevance - diversity * redundancy).argmax())
        chosen.append(best)
        relevance[best] = -np.inf
        np.maximum(redundancy, np.vecdot(rows, rows[best]), out=redundancy)
    return [found[place] for place in ranking[chosen].tolist()]
