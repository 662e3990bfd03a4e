"""The metadata fields of a collection, and their values: exact if it is small, else from a sample and from indexes.

Metadata has no schema, and a registry of fields would have to be kept correct across replicas, replacements and
deletions. So the newest images are read, as many as possible in a second. If that is not all of them, the indexes of
fields that were filtered on give exact counts, because they cover the whole collection; other counts are projected.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

import orjson

from image_similarity.cache.results import Codec
from image_similarity.domain.facets import Facet, Facets, FacetValue, FieldKind
from image_similarity.domain.filters import Scalar, is_field, read_time
from image_similarity.domain.metadata import as_rfc3339, flatten_metadata
from image_similarity.domain.records import ImageRecord
from image_similarity.vectors.base import IndexedFacet, VectorStore

MOST_FIELDS = 100
"""Most fields to return, the most frequent ones."""

MOST_VALUES = 100
"""Most values to return per field, the most frequent ones."""

MAX_TEXT = 256
"""Longer texts, in characters, are not listed as values, but still counted."""

SAMPLE = 5_000
"""Most images to read; it takes 35 ms of the embedded store's time."""

SAMPLE_SECONDS = 1.0
"""Most seconds for reading them, because metadata may have 64 KiB per image."""

_PAGE = 250
"""Images to read at a time: the embedded store holds the GIL for 2 ms per page, and searches run in between."""

_MOST_TRACKED = 2_000
"""Most fields to count; more are probably a mistake, such as ids used as keys."""


async def compute_facets(vectors: VectorStore) -> Facets:
    """Return the fields of a collection with up to MOST_VALUES values per field. Raises StoreUnavailable."""
    sample = Sample()
    cursor: str | None = None
    deadline = monotonic() + SAMPLE_SECONDS
    while True:
        page = await vectors.scroll(limit=_PAGE, cursor=cursor)
        # In a thread, so that the event loop can answer searches meanwhile.
        await asyncio.to_thread(sample.add, page.records)
        cursor = page.next_cursor
        if cursor is None:
            return sample.facets(sample.images, ())
        if sample.images >= SAMPLE or monotonic() > deadline:
            break
    # One more shows whether there are more.
    indexed = await vectors.indexed_facets(values=MOST_VALUES + 1)
    return sample.facets((await vectors.info()).images, indexed)


def _load(stored: bytes) -> Facets:
    document: dict[str, Any] = orjson.loads(stored)
    fields = [
        Facet(**(facet | {"kind": FieldKind(facet["kind"]), "values": tuple(FacetValue(**v) for v in facet["values"])}))
        for facet in document["fields"]
    ]
    return Facets(**(document | {"fields": tuple(fields)}))


FACETS: Codec[Facets] = Codec(orjson.dumps, _load)
"""Converts the result of `compute_facets` to bytes for the cache, and back."""


class Sample:
    """Counts the values in images' metadata, as a filter sees them."""

    def __init__(self) -> None:
        self.images = 0
        self._having: Counter[str] = Counter()
        """Images that have a field, by field."""
        self._kinds: defaultdict[str, Counter[FieldKind]] = defaultdict(Counter)
        """Images that have a value of a kind, by field."""
        self._values: defaultdict[tuple[str, FieldKind], Counter[Scalar]] = defaultdict(Counter)
        """Images that have a value, by field and kind, because in Python 1 equals True."""

    def add(self, records: Sequence[ImageRecord]) -> None:
        """Count some images."""
        for record in records:
            self.images += 1
            # As sets: a value that an image has twice counts once.
            found = set(self._fields(record.metadata))
            self._having.update({field for field, _, _ in found})
            for field, kind in {(field, kind) for field, kind, _ in found}:
                self._kinds[field][kind] += 1
            for field, kind, value in found:
                self._values[field, kind][value] += 1

    def facets(self, images: int, indexed: Sequence[IndexedFacet]) -> Facets:
        """Return the facets of a collection of `images` images; values from indexes replace projected ones."""
        known = {(facet.field, facet.kind): facet for facet in indexed}
        kinds = {field: self._kind(field) for field in self._having}
        for facet in sorted(indexed, key=lambda facet: -facet.images):
            kinds.setdefault(facet.field, facet.kind)
        found = [self._facet(field, kind, known.get((field, kind)), images) for field, kind in kinds.items()]
        found.sort(key=lambda facet: (-facet.images, facet.field))
        return Facets(
            fields=tuple(found[:MOST_FIELDS]),
            more_fields=len(found) > MOST_FIELDS,
            images=images,
            sampled=self.images,
            exact=images == self.images,
        )

    def _facet(self, field: str, kind: FieldKind, indexed: IndexedFacet | None, images: int) -> Facet:
        counted: dict[Scalar, int] = dict(self._values[field, kind])
        ends: list[Any] = [] if kind in (FieldKind.TEXT, FieldKind.BOOLEAN) else list(counted)
        low, high = min(ends, default=None), max(ends, default=None)
        having = self._project(self._having[field], images)
        if indexed is not None:
            having = indexed.images
            if indexed.minimum is not None:
                low, high = indexed.minimum, indexed.maximum
        if indexed is not None and indexed.values:
            counted = dict(indexed.values)
        else:
            counted = {value: self._project(count, images) for value, count in counted.items()}
        short = [(value, count) for value, count in counted.items() if len(str(value)) <= MAX_TEXT]
        short.sort(key=lambda entry: (-entry[1], entry[0]))
        return Facet(
            field=field,
            kind=kind,
            images=having,
            values=tuple(FacetValue(value, count) for value, count in short[:MOST_VALUES]),
            more_values=len(counted) > min(len(short), MOST_VALUES),
            minimum=low,
            maximum=high,
            exact=images == self.images,
        )

    def _kind(self, field: str) -> FieldKind:
        kinds = self._kinds[field]
        # TEXT if two kinds are equally frequent, because any value can be read as text.
        return max(FieldKind, key=lambda kind: (kinds[kind], kind is FieldKind.TEXT))

    def _project(self, count: int, images: int) -> int:
        return round(count * images / self.images)

    def _fields(self, metadata: dict[str, Any]) -> Iterator[tuple[str, FieldKind, Scalar]]:
        for field, value in flatten_metadata(metadata):
            if field not in self._having and (len(self._having) >= _MOST_TRACKED or not is_field(field)):
                continue
            if isinstance(value, bool):
                yield field, FieldKind.BOOLEAN, value
            elif isinstance(value, int | float):
                yield field, FieldKind.NUMBER, value
            elif isinstance(value, str):
                moment = read_time(value)
                if moment is None:
                    yield field, FieldKind.TEXT, value
                else:
                    yield field, FieldKind.TIME, as_rfc3339(moment)
