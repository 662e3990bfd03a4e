"""Writes to a Qdrant server that check their outcome before they return.

Every write of an image has the condition that the image is still in the state that the writer has read. Qdrant does not
report whether the condition held, and its answer may be lost; so we read the image again after the write, and its
revision shows whether the write was applied. An attempt that was given up and lands late has the condition too, so it
cannot overwrite later writes. One case is left, because an insertion has no state to compare with: it brings back an
image that was deleted meanwhile. So each attempt that was given up is noted; `engine/collection/unsettled.py` deals
with the notes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import AsyncQdrantClient, models

from image_similarity.domain.errors import Overloaded, StoreUnavailable, WriteOutcomeUnknown
from image_similarity.domain.records import Embedding, ImageRecord, Metadata, Tagging
from image_similarity.vectors.base import CHANGES, WriteNotes, point_id
from image_similarity.vectors.filters import unchanged_since_filter
from image_similarity.vectors.payload import REVISION, metadata_fields, to_record
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.filters import QdrantFilterBuilder, to_point

ORDERING = models.WriteOrdering.MEDIUM
"""Writes go through one living copy of a shard, so that all copies apply the writes of an image in the same order; see
docs/decisions/0001-qdrant-writes.md."""

Call = Callable[[AsyncQdrantClient], Awaitable[models.UpdateResult]]

_TERMS = QdrantFilterBuilder()
_NO_POINT = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class _Doubt:
    """What is uncertain about a write."""

    unknown: WriteOutcomeUnknown | None = None
    """Error to raise if the write is not found; None if it was confirmed."""
    may_land: bool = False
    """Whether an attempt may still be under way."""


class NoNotes:
    """Implements `WriteNotes` for a program that is the only writer, and that ends after its writes."""

    async def note(self, image_id: str, revision: str | None) -> None:
        """No-op."""

    async def is_condemned(self, image_id: str, revision: str) -> bool:  # noqa: ARG002
        """Return False."""
        return False


class QdrantWrites:
    """The writing part of `VectorStore`."""

    def __init__(self, calls: QdrantCalls, name: str, notes: WriteNotes) -> None:
        self._calls = calls
        self._name = name
        self._notes = notes

    async def upsert(self, points: Sequence[tuple[ImageRecord, Embedding]]) -> None:
        """Write records with their vectors, without a condition; see `VectorStore`."""
        written = [to_point(*point) for point in points]
        doubt = await self._write(
            lambda client: client.upsert(self._name, written, wait=True, ordering=ORDERING), None, None
        )
        if doubt.unknown is not None:
            raise doubt.unknown

    async def put(self, record: ImageRecord, vector: Embedding, before: ImageRecord | None) -> bool:
        """Write a record with its vector; see `VectorStore`."""

        def insertion(before: ImageRecord | None) -> tuple[str, Call]:
            point = to_point(record, vector)
            # Qdrant inserts a new point under any condition; this one keeps it from changing an existing point.
            unchanged = (
                _TERMS.all_of([_TERMS.points([_NO_POINT])])
                if before is None
                else unchanged_since_filter(before, _TERMS)
            )
            return str((point.payload or {})[REVISION]), lambda client: client.upsert(
                self._name, [point], update_filter=unchanged, wait=True, ordering=ORDERING
            )

        return await self._change(record.image_id, before, insertion)

    async def set_metadata(self, before: ImageRecord, metadata: Metadata, tagging: Tagging | None) -> bool:
        """Replace the metadata; see `VectorStore`."""

        def replacement(before: ImageRecord | None) -> tuple[str, Call]:
            assert before is not None  # noqa: S101 - `_change` begins with `before`, and goes on with the record that it read
            fields = metadata_fields(metadata, tagging, for_wire=True)
            unchanged = unchanged_since_filter(before, _TERMS)
            return str(fields[REVISION]), lambda client: client.set_payload(
                self._name, fields, points=unchanged, wait=True, ordering=ORDERING
            )

        return await self._change(before.image_id, before, replacement)

    async def delete(self, image_id: str, revision: str | None) -> ImageRecord | None:
        """Delete one image; see `VectorStore`."""
        for _ in range(CHANGES):
            record = await self._get(image_id)
            if record is None or revision not in (None, record.revision):
                return None
            doubt = await self._write(self._deletion(record), image_id, record.revision)
            now = await self._look(image_id, doubt)
            if now is None:
                return record
            if _is_same(now, record) and doubt.unknown is not None:
                raise doubt.unknown
        raise Overloaded(
            f'"{image_id}" was changed elsewhere whenever it was to be deleted here, {CHANGES} times in a row; '
            "try again in a moment.",
            retry_after=1.0,
        )

    def _deletion(self, record: ImageRecord) -> Call:
        unchanged = models.FilterSelector(filter=unchanged_since_filter(record, _TERMS))
        return lambda client: client.delete(self._name, unchanged, wait=True, ordering=ORDERING)

    async def _change(
        self, image_id: str, before: ImageRecord | None, make: Callable[[ImageRecord | None], tuple[str, Call]]
    ) -> bool:
        """Make the write that `make` returns as (revision, call); return whether it was stored."""
        for _ in range(CHANGES):
            revision, call = make(before)
            doubt = await self._write(call, image_id, revision)
            now = await self._look(image_id, doubt)
            if now is None or now.revision != revision:
                if doubt.unknown is not None and _is_same(now, before):
                    raise doubt.unknown
                return False
            if not doubt.may_land or not await self._notes.is_condemned(image_id, revision):
                return True
            # The image was deleted during the write, and the rest of this write will be removed. So write it again.
            before = now
        return False

    async def _look(self, image_id: str, doubt: _Doubt) -> ImageRecord | None:
        try:
            return await self._get(image_id)
        except StoreUnavailable as error:
            reason = f"A write could not be looked for afterwards: {error} It may have been done; repeating it is safe."
            raise doubt.unknown or WriteOutcomeUnknown(reason) from error

    async def _get(self, image_id: str) -> ImageRecord | None:
        ids: list[Any] = [point_id(image_id)]
        found = await self._calls.run(lambda client: client.retrieve(self._name, ids, with_payload=True))
        return to_record(found[0].payload) if found else None

    async def _write(self, call: Call, image_id: str | None, revision: str | None) -> _Doubt:
        try:
            written = await self._calls.write(call)
        except WriteOutcomeUnknown as error:
            doubt = _Doubt(error, may_land=True)
        else:
            status = written.answer.status
            # Other states are only a promise, and a write that is not visible yet must not be acknowledged.
            unfinished = status is not models.UpdateStatus.COMPLETED
            reason = f"Qdrant accepted a write but did not finish it in time ({status.value}); repeating it is safe."
            doubt = _Doubt(WriteOutcomeUnknown(reason) if unfinished else None, unfinished or written.abandoned)
        if doubt.may_land and image_id is not None:
            await self._notes.note(image_id, revision)
        return doubt


def _is_same(one: ImageRecord | None, other: ImageRecord | None) -> bool:
    """Return whether two readings found the image in the same state."""
    if one is None or other is None:
        return one is other
    return (one.revision, one.sha256) == (other.revision, other.sha256)
