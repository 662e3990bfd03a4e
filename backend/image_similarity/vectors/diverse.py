"""Nearest neighbours that are unlike each other: Qdrant's maximal marginal relevance (MMR).

Carbonell & Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing summaries",
SIGIR 1998: results are chosen one after the other, each the one with the greatest
(1 - diversity) * (cosine to the query) - diversity * (greatest cosine to a result chosen before).
"""

from __future__ import annotations

from dataclasses import dataclass

from image_similarity.domain import Embedding

MAX_DIVERSE = 256
"""Results of one query: the cost grows with the square of their number, and more (256: 20 ms, 1,000: 1 s)."""

_FEWEST_CANDIDATES = 100


@dataclass(frozen=True, slots=True, eq=False)
class Diverse:
    """The nearest to a vector, in the order in which MMR chooses them; scores are still cosines to the vector."""

    near: Embedding
    """A unit vector, shape (dimension,), float32."""
    diversity: float
    """From 0, by the cosine alone, to 1, where it only decides which comes first."""
    candidates: int
    """How many of the nearest are chosen from."""

    @property
    def relevance(self) -> float:
        """What the paper calls lambda."""
        return 1.0 - self.diversity


def diverse(near: Embedding, diversity: float, *, top_k: int) -> Diverse:
    """Return the query for `top_k` results, chosen from a few times as many."""
    return Diverse(near, diversity, max(_FEWEST_CANDIDATES, min(4 * top_k, 2 * MAX_DIVERSE)))
