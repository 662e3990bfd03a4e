#!/usr/bin/env python3
"""Measure the cost of diverse results: the choice alone, and whole searches, for docs/PERFORMANCE.md.

Random unit vectors in an embedded collection. The processor's time, the least of all rounds, because
what else runs on a machine only adds to it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np

from image_similarity.domain.queries import SearchOptions
from image_similarity.domain.records import Embedding, ImageRecord, Match
from image_similarity.engine.search.diversity import candidate_count, diversify
from image_similarity.engine.search.ranker import Ranker
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore

_DIMENSION = 512
_IMAGES = 5_000
_ROUNDS = 40


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Return the minimum CPU milliseconds of a piece of work."""
    times = []
    for _ in range(_ROUNDS):
        started = process_time()
        await work()
        times.append(process_time() - started)
    return 1000 * min(times)


def choice(rows: Embedding, top_k: int) -> float:
    """Return the minimum CPU milliseconds for choosing among the rows; the first row is the query."""
    matches = [Match(str(place), float(row @ rows[0]), "", 1, 1, None) for place, row in enumerate(rows)]
    vectors = {str(place): row for place, row in enumerate(rows)}
    times = []
    for _ in range(_ROUNDS):
        started = process_time()
        diversify(matches, vectors, rows[0], diversity=0.5, top_k=top_k)
        times.append(process_time() - started)
    return 1000 * min(times)


async def main() -> None:
    """Print the table."""
    rows = np.random.default_rng(0).normal(size=(_IMAGES, _DIMENSION)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    digest, now = hashlib.sha256(b"").hexdigest(), datetime.now(UTC)
    print("| top_k | candidates | the choice | diverse search | plain search |\n| --- | --- | --- | --- | --- |")
    with TemporaryDirectory() as folder:
        store = EmbeddedStore.open(Path(folder) / "photos", CollectionMeta("random", _DIMENSION))
        await store.upsert(
            [(ImageRecord(str(place), digest, 1, 1, "JPEG", now, {}), row) for place, row in enumerate(rows)]
        )
        selection = Ranker(store, alike=0.95)
        for top_k in (10, 50, 256):
            count = candidate_count(top_k)
            cells = [f"{choice(rows[:count], top_k):.1f} ms"]
            for diversity in (0.5, 0.0):
                options = SearchOptions(top_k=top_k, diversity=diversity)
                taken = await timed(lambda options=options: selection.of(rows[0], options, exclude=[]))
                cells.append(f"{taken:.1f} ms")
            print(f"| {top_k} | {count} | {' | '.join(cells)} |")
        await store.close()


if __name__ == "__main__":
    asyncio.run(main())
