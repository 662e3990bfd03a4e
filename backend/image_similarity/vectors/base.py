"""The Protocol of vector stores, and the ids of points that all stores share."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from image_similarity.domain.facets import FieldKind
from image_similarity.domain.filters import Condition
from image_similarity.domain.records import Embedding, ImageRecord, Match, Metadata, Page, Tagging
from image_similarity.vectors.examples import Examples
from image_similarity.vectors.keywords import KeywordQuery
from image_similarity.vectors.placement import PlacementSummary

POINT_NAMESPACE = uuid.UUID("6f3f2c1e-52c4-5d0b-9c0e-2b1f6f6d8a11")
"""Never change it: with another namespace no stored image could be found by its id."""


def point_id(image_id: str) -> str:
    """Return the UUIDv5 of an image id: indexing it again overwrites, and a retry never duplicates."""
    return str(uuid.uuid5(POINT_NAMESPACE, image_id))


VectorQuery = Embedding | Examples
"""A query that ranks by embeddings."""


@dataclass(frozen=True, eq=False, slots=True)
class HybridQuery:
    """A ranking by embeddings and one by words, fused by reciprocal rank."""

    near: VectorQuery
    words: KeywordQuery


StoreQuery = VectorQuery | KeywordQuery | HybridQuery
"""The queries of a store: a unit vector, shape (dimension,), float32, ranks by cosine similarity; examples rank as
`vectors/examples.py` says; words rank by BM25; a hybrid query combines words with one of the others."""


def is_cosine(wanted: StoreQuery) -> bool:
    """Return whether the scores are cosines, or at least within -1 to 1."""
    return not isinstance(wanted, KeywordQuery | HybridQuery)


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """The state of a collection."""

    name: str
    model: str
    """Name of the model whose embeddings it holds."""
    dimension: int
    images: int
    """On a server an image may count twice while it is moved to another segment; see `info`."""
    indexed_vectors: int
    """Number of vectors in the HNSW graph; the others are searched exactly."""
    field_indexes: tuple[str, ...]
    """Metadata fields that have an index."""
    builds_graph: bool = field(default=False, compare=False)
    """Whether the store extends its graph by itself during operation."""
    placement: PlacementSummary | None = field(default=None, compare=False)
    """Where its copies are, some seconds old; None for a store in this process, or if the cluster does not answer."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A part of a collection: records with their vectors."""

    points: list[tuple[ImageRecord, Embedding]]
    after: str | None
    """Position of the next batch; None after the last one."""


@dataclass(frozen=True, slots=True)
class IndexedFacet:
    """A metadata field according to its index; counts may be slightly wrong, because Qdrant estimates them."""

    field: str
    kind: FieldKind
    images: int
    """Number of images that have a value of this kind in the field."""
    values: tuple[tuple[str | bool, int], ...] = ()
    """Each value with its number of images, most frequent first; empty for numbers and times."""
    minimum: float | str | None = None
    """Smallest number, or smallest time as RFC 3339 text."""
    maximum: float | str | None = None


CHANGES = 16
"""Attempts to change one image while other processes change it at the same time."""


class WriteNotes(Protocol):
    """Notes of writes that the store gave up but that may still land; see `engine/collection/unsettled.py`."""

    async def note(self, image_id: str, revision: str | None) -> None:
        """Record an attempt that was given up, before the next attempt.

        The revision is the one that a write makes, or that a deletion removes. Raises nothing.
        """
        ...

    async def is_condemned(self, image_id: str, revision: str) -> bool:
        """Return whether the image was deleted during this write, so that the write is deleted too if it still lands.

        Raises StoreUnavailable.
        """
        ...


class VectorStore(Protocol):
    """One collection of embeddings with their records.

    Every method raises StoreUnavailable if the store does not answer or fails. It is WriteOutcomeUnknown if a write was
    not confirmed and not found afterwards, but may still land.
    Once the method has returned, the next query sees the write, and the write survives the death of the process.
    """

    async def upsert(self, points: Sequence[tuple[ImageRecord, Embedding]]) -> None:
        """Write records with their unit vectors, shape (dimension,), float32; an existing image_id is overwritten."""
        ...

    async def put(self, record: ImageRecord, vector: Embedding, before: ImageRecord | None) -> bool:
        """Write a record with its unit vector, shape (dimension,), float32, if the image is still `before` or gone.

        Returns whether it was written; False has the same meaning as for `set_metadata`. A write that lands late
        overwrites nothing, but brings back an image that was deleted meanwhile.
        """
        ...

    async def set_metadata(self, before: ImageRecord, metadata: Metadata, tagging: Tagging | None = None) -> bool:
        """Replace only the metadata and tagging of an image, if the stored image is still `before`.

        Returns whether it was replaced. Changes nothing if the image was written or deleted since `before` was read.
        May return False although the change was applied, if another write followed at once. The caller retries with a
        fresh record, so the change must be idempotent.
        """
        ...

    async def query(
        self,
        wanted: StoreQuery,
        *,
        top_k: int,
        threshold: float | None = None,
        condition: Condition | None = None,
        with_metadata: bool = True,
        field: str | None = None,
        exclude: Sequence[str] = (),
    ) -> list[Match]:
        """Return up to `top_k` images without those in `exclude`, best match first.

        With `field`, named as in a filter, their metadata contains only this field, as filters see it.
        """
        ...

    async def backfill(self) -> int:
        """Add the fields of keyword search to some images that an earlier version wrote; return how many it changed.

        Returns 0 if none is left. Searches and writes may go on meanwhile.
        """
        ...

    async def get(self, image_id: str) -> ImageRecord | None:
        """Return one record, or None if no such image is indexed."""
        ...

    async def get_many(self, image_ids: Sequence[str]) -> dict[str, ImageRecord]:
        """Return the records of those images that are indexed, by image id."""
        ...

    async def get_vector(self, image_id: str) -> Embedding | None:
        """Return one embedding, shape (dimension,), float32, or None if no such image is indexed."""
        ...

    async def get_vectors(self, image_ids: Sequence[str]) -> dict[str, Embedding]:
        """Return the embeddings, shape (dimension,), float32, of those images that are indexed, by image id."""
        ...

    async def scroll(self, *, limit: int, cursor: str | None = None) -> Page:
        """Return a page of records, newest first. Raises InvalidCursor."""
        ...

    async def export(self, *, after: str | None, limit: int) -> Batch:
        """Return up to `limit` records with their vectors, shape (dimension,), float32, in the store's own order.

        Start with `after=None`, and continue with `after` of the last batch. May miss images written meanwhile.
        """
        ...

    async def sample(self, limit: int) -> list[Embedding]:
        """Return the embeddings, shape (dimension,), float32, of up to `limit` images, the first ones of `export`.

        Ids are hashes, so this is a random sample, and the same one each time.
        """
        ...

    async def indexed_facets(self, *, values: int) -> list[IndexedFacet]:
        """Return the metadata fields that have an index, with up to `values` values per field; quick, not exact."""
        ...

    async def delete(self, image_id: str, *, revision: str | None = None) -> ImageRecord | None:
        """Delete one image and return its record, or None if there was none; with `revision`, only if it has that one.

        A deletion that lands late deletes nothing that was written since. Raises Overloaded if other processes keep
        writing the image.
        """
        ...

    async def count_content(self, sha256: str) -> int:
        """Count the records of one content: its bytes may be deleted when none is left."""
        ...

    async def check(self) -> None:
        """Raise StoreUnavailable if the store cannot serve; cheap enough for every probe.

        A store in this process also raises it while its writes cannot be flushed to disk.
        """
        ...

    async def info(self, *, exact: bool = False) -> CollectionInfo:
        """Return the state of the collection; cheap enough to call every few seconds.

        With `exact`, images are counted one by one. A server scans all of them, so no probe may use it.
        """
        ...

    async def close(self) -> None:
        """Flush pending writes and close the files or connections.

        Raises StoreUnavailable if the latest writes may be lost.
        """
        ...
