"""What a store can be asked for, in Qdrant Edge's words."""

from __future__ import annotations

import qdrant_edge as edge

from image_similarity.vectors.base import Wanted
from image_similarity.vectors.payload import VECTOR


def edge_query(wanted: Wanted) -> edge.Query:
    """Return what is wanted as a query."""
    # The stub asks for a list, but any sequence of floats is taken, and an array far faster.
    return edge.Query.Nearest(wanted, using=VECTOR)  # type: ignore[arg-type]
