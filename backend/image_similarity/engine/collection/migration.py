"""Copy a collection from one vector store to another; vectors are copied, not recomputed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from image_similarity.domain.errors import MigrationFailed
from image_similarity.domain.records import Embedding
from image_similarity.vectors.base import VectorStore

BATCH = 256
"""Images that are read and written at a time; 256 vectors of 1,152 dimensions are 6 MB as JSON."""

SAMPLE = 200
"""Number of images whose vectors are compared at the end."""

MIN_COSINE = 0.9999
"""A copied vector with a lower cosine is wrong; float32 and repeated normalisation cost only a millionth."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a migration."""

    done: int
    """Images that are in the target, copied by this run or before."""
    total: int


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a migration."""

    images: int
    """In the source, and so in the target."""
    copied: int
    """Images that were not in the target before, or differed there."""
    sampled: int
    lowest_cosine: float
    """Lowest cosine between a sampled vector in the source and its copy."""
    surplus: int
    """Images in the target that are not in the source."""


async def copy_collection(source: VectorStore, target: VectorStore, on_progress: Callable[[Progress], None]) -> Report:
    """Copy the images that the target lacks, then compare.

    The target itself shows what is left to do: a record that is equal in both is skipped. So a migration that was
    stopped continues at the next run, and a repeated one copies the changes made meanwhile.

    Raises MigrationFailed if the target differs from the source, StoreUnavailable.
    """
    total = (await source.info()).images
    sample = _Sample(SAMPLE)
    done = copied = 0
    after: str | None = None
    while True:
        batch = await source.export(after=after, limit=BATCH)
        there = await target.get_many([record.image_id for record, _ in batch.points])
        missing = [(record, vector) for record, vector in batch.points if there.get(record.image_id) != record]
        if missing:
            await target.upsert(missing)
        for record, vector in batch.points:
            sample.offer(record.image_id, vector)
        done += len(batch.points)
        copied += len(missing)
        on_progress(Progress(done, max(total, done)))
        if batch.after is None:
            break
        after = batch.after
    return await _verify(source, target, done, copied, sample)


async def _verify(source: VectorStore, target: VectorStore, done: int, copied: int, sample: _Sample) -> Report:
    expected = (await source.info(exact=True)).images
    if expected != done:
        raise MigrationFailed(
            f"{done} images were read, but the source holds {expected}: it was written to meanwhile. "
            "Stop what writes, then run the command again; it goes on from here."
        )
    arrived = (await target.info(exact=True)).images
    if arrived < expected:
        raise MigrationFailed(f"The target holds {arrived} of {expected} images. Run the command again.")
    lowest = 1.0
    for image_id, vector in sample.kept:
        copy = await target.get_vector(image_id)
        cosine = -1.0 if copy is None else _cosine(vector, copy)
        if cosine < MIN_COSINE:
            raise MigrationFailed(f'The vector of "{image_id}" is not the same in the target (cosine {cosine:.6f}).')
        lowest = min(lowest, cosine)
    return Report(expected, copied, len(sample.kept), lowest, surplus=arrived - expected)


class _Sample:
    """A uniform sample from a stream of unknown length (reservoir sampling: Vitter's algorithm R, 1985)."""

    def __init__(self, size: int) -> None:
        self.kept: list[tuple[str, Embedding]] = []
        self._size = size
        self._seen = 0

    def offer(self, image_id: str, vector: Embedding) -> None:
        self._seen += 1
        if len(self.kept) < self._size:
            self.kept.append((image_id, vector))
        elif (place := random.randrange(self._seen)) < self._size:  # noqa: S311 - not a secret
            self.kept[place] = (image_id, vector)


def _cosine(one: Embedding, other: Embedding) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
