"""What a vector store can do, as a Protocol, and the identity that every store shares."""

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
"""Fixed for ever: with another namespace no stored image could be found by its id again."""


def point_id(image_id: str) -> str:
    """Return the UUIDv5 of an image id, so that indexing twice overwrites and a retry never duplicates."""
    return str(uuid.uuid5(POINT_NAMESPACE, image_id))


VectorQuery = Embedding | Examples
"""What is ranked by looks."""


@dataclass(frozen=True, eq=False, slots=True)
class HybridQuery:
    """What is near, and what has the words: the two rankings are fused by reciprocal rank."""

    near: VectorQuery
    words: KeywordQuery


StoreQuery = VectorQuery | KeywordQuery | HybridQuery
"""What a store can rank its images by: a unit vector, shape (dimension,), float32, by cosine similarity to it;
examples, whose scores are those of `scale_of`; words, by BM25; or one of the others and words."""


def is_cosine(wanted: StoreQuery) -> bool:
    """Tell whether the scores are cosines, or at least within -1 to 1."""
    return not isinstance(wanted, KeywordQuery | HybridQuery)


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """The state of a collection."""

    name: str
    model: str
    """Name of the model whose embeddings it holds."""
    dimension: int
    images: int
    """On a server an image may count twice for the moment in which it is moved to another segment; see `info`."""
    indexed_vectors: int
    """Vectors that an HNSW graph covers; the others are searched exactly."""
    field_indexes: tuple[str, ...]
    """Metadata fields that have an index."""
    builds_graph: bool = field(default=False, compare=False)
    """Whether the store extends its graph by itself while it serves."""
    placement: PlacementSummary | None = field(default=None, compare=False)
    """Where its copies are, some seconds old; None for a store in this process, and while the cluster does not tell."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of a collection's records, each with its vector."""

    points: list[tuple[ImageRecord, Embedding]]
    after: str | None
    """What leads to the next batch; None on the last one."""


@dataclass(frozen=True, slots=True)
class IndexedFacet:
    """A metadata field as an index has it; counts may be a little off, for Qdrant only estimates them."""

    field: str
    kind: FieldKind
    images: int
    """Those that have a value of this kind in the field."""
    values: tuple[tuple[str | bool, int], ...] = ()
    """With the images that have each, most frequent first; none for numbers and times."""
    minimum: float | str | None = None
    """Of numbers, and of times as RFC 3339 texts."""
    maximum: float | str | None = None


CHANGES = 16
"""Times that a change of one image is begun anew because other processes were quicker."""


class WriteNotes(Protocol):
    """Where a store notes what it gave up and what may land late all the same; see `engine/collection/unsettled.py`."""

    async def note(self, image_id: str, revision: str | None) -> None:
        """Note an attempt that was given up, before another is made.

        The revision is the one that a write makes, or that a deletion removes. Raises nothing.
        """
        ...

    async def is_condemned(self, image_id: str, revision: str) -> bool:
        """Tell whether somebody deleted the image while this write was under way, and what lands of it goes too.

        Raises StoreUnavailable.
        """
        ...


class VectorStore(Protocol):
    """One collection of embeddings with their records.

    Every method raises StoreUnavailable if the store does not answer or fails: WriteOutcomeUnknown for a write that was
    looked for and not found, and may be done later.
    A write is visible to the next query once the method has returned, and survives the process's death.
    """

    async def upsert(self, points: Sequence[tuple[ImageRecord, Embedding]]) -> None:
        """Write records with their unit vectors, shape (dimension,), float32; the same image_id overwrites."""
        ...

    async def put(self, record: ImageRecord, vector: Embedding, before: ImageRecord | None) -> bool:
        """Write a record with its unit vector, shape (dimension,), float32, as long as the image is `before`, or gone.

        Tells whether it stands, in the way of `set_metadata`. What lands late of it overwrites nothing, but brings back
        an image that was deleted meanwhile.
        """
        ...

    async def set_metadata(self, before: ImageRecord, metadata: Metadata, tagging: Tagging | None = None) -> bool:
        """Replace an image's metadata, with what of it is a tagger's, and nothing else, as long as it is `before`.

        Tells whether it was. Where it was written, replaced or deleted since `before` was read, nothing is changed. The
        answer may be no as well where the change was made and another followed at once: who repeats it on a fresh
        record must be able to make it twice.
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
        """Return up to `top_k` images, those most like what is wanted first, without those of `exclude`.

        With `field`, named as in a filter, that is all of the metadata that they have, as filters see it.
        """
        ...

    async def backfill(self) -> int:
        """Add to some images that an earlier version wrote what this one searches in; returns how many they were.

        0 is for none left. Searches and writes may go on meanwhile.
        """
        ...

    async def get(self, image_id: str) -> ImageRecord | None:
        """Return one record, or None where no such image is indexed."""
        ...

    async def get_many(self, image_ids: Sequence[str]) -> dict[str, ImageRecord]:
        """Return the records of those images that are indexed, by image id."""
        ...

    async def get_vector(self, image_id: str) -> Embedding | None:
        """Return one embedding, shape (dimension,), float32, or None where no such image is indexed."""
        ...

    async def get_vectors(self, image_ids: Sequence[str]) -> dict[str, Embedding]:
        """Return the embeddings, shape (dimension,), float32, of those images that are indexed, by image id."""
        ...

    async def scroll(self, *, limit: int, cursor: str | None = None) -> Page:
        """Return a page of records, newest first. Raises InvalidCursor."""
        ...

    async def export(self, *, after: str | None, limit: int) -> Batch:
        """Return up to `limit` records with their vectors, shape (dimension,), float32, in an order of the store's own.

        Start with `after=None` and go on with what the last batch said. What is written meanwhile may be missed.
        """
        ...

    async def sample(self, limit: int) -> list[Embedding]:
        """Return the embeddings, shape (dimension,), float32, of up to `limit` images, those that `export` names first.

        Ids are hashes, so they are as good as drawn by lot, and the same each time.
        """
        ...

    async def indexed_facets(self, *, values: int) -> list[IndexedFacet]:
        """Return what the field indexes know of metadata, with up to `values` values a field; quick, not exact."""
        ...

    async def delete(self, image_id: str, *, revision: str | None = None) -> ImageRecord | None:
        """Remove one image and return its record, or None if there was none; given a revision, only in that state.

        What lands late of it removes nothing that was written since. Raises Overloaded if other processes write the
        image all the time.
        """
        ...

    async def count_content(self, sha256: str) -> int:
        """Count the records of one content: the bytes may be dropped when none is left."""
        ...

    async def check(self) -> None:
        """Return where the store can serve, and raise StoreUnavailable where not; cheap enough for every probe.

        A store in this process also raises it while what was written cannot be brought to disk.
        """
        ...

    async def info(self, *, exact: bool = False) -> CollectionInfo:
        """Return the state of the collection; cheap enough to be asked every few seconds.

        With `exact`, images are counted one by one. A server goes through all of them, so no probe may ask for that.
        """
        ...

    async def close(self) -> None:
        """Write out what is pending and let go of the files or connections.

        Raises StoreUnavailable where what was written last may be lost.
        """
        ...
