"""The cached part of a search's result: its hits, their metadata as JSON text, and their form in the cache."""

from __future__ import annotations

from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from typing import Any

import orjson

from image_similarity.cache.results import Codec
from image_similarity.domain.records import Match
from image_similarity.engine.search.ranker import Selected

_KEPT = tuple(field.name for field in fields_of(Match) if field.name not in ("metadata", "confidence"))
"""Fields of a hit that are cached unchanged. The metadata is cached as text, and the confidence is computed again."""

FORMAT = f"3 {' '.join(_KEPT)}"
"""Part of each cache key, because replicas of different versions may share a cache, and must not read each other's
results. It contains the names of the fields, so that it changes with them."""

_SIZE_OF_A_HIT = 120
"""Bytes of a hit in an answer in addition to its texts and metadata: mostly its sha256."""


@dataclass(frozen=True, slots=True)
class KeptResult:
    """The result of a search, without the parts that differ between requests."""

    hits: tuple[Match, ...]
    """Without metadata."""
    texts: tuple[bytes | None, ...]
    """The metadata of each hit as JSON; None if the search asked for none."""
    truncated: bool
    threshold: float | None

    @classmethod
    def of(cls, selected: Selected, *, truncated: bool) -> KeptResult:
        """Return the cached part of a selection."""
        hits = tuple(hit if hit.metadata is None else replace(hit, metadata=None) for hit in selected.matches)
        texts = (None,) * len(hits) if selected.texts is None else tuple(selected.texts)
        return cls(hits, texts, truncated, selected.threshold)

    @property
    def size(self) -> int:
        """Approximate size in bytes in an answer."""
        names = sum(len(str(name).encode()) for hit in self.hits for name in (hit.image_id, hit.group, *hit.duplicates))
        return names + sum(map(len, filter(None, self.texts))) + _SIZE_OF_A_HIT * len(self.hits)


def _dump(result: KeptResult) -> bytes:
    """Return one line of JSON with the lengths of the metadata, and the metadata after it."""
    rows = [[getattr(hit, name) for name in _KEPT] for hit in result.hits]
    lengths = [None if text is None else len(text) for text in result.texts]
    head = orjson.dumps((rows, lengths, result.truncated, result.threshold))
    return b"\n".join((head, b"".join(filter(None, result.texts))))


def _load(stored: bytes) -> KeptResult:
    head, _, tail = stored.partition(b"\n")
    rows, lengths, truncated, threshold = orjson.loads(head)
    texts: list[bytes | None] = []
    start = 0
    for length in lengths:
        texts.append(None if length is None else tail[start : start + length])
        start += length or 0
    return KeptResult(tuple(map(_hit, rows)), tuple(texts), truncated, threshold)


def _hit(row: list[Any]) -> Match:
    # JSON has no tuples, so fields with several values come back as lists.
    values = (tuple(value) if isinstance(value, list) else value for value in row)
    fields: dict[str, Any] = dict(zip(_KEPT, values, strict=True))
    return Match(**fields, metadata=None)


KEPT_RESULT = Codec(_dump, _load)
