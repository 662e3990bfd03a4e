"""Images, their metadata and their embeddings as plain types, which every layer speaks in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_similarity.domain.filters import Scalar

Metadata = dict[str, Any]
"""The caller's own JSON object, stored with an image and never interpreted."""


Embedding = NDArray[np.float32]
"""A unit vector, shape (dimension,), float32."""

Pixels = NDArray[np.uint8]
"""RGB pixels, shape (height, width, 3), uint8."""


@dataclass(frozen=True, slots=True)
class Tagging:
    """What a tagger, and not the caller, put into an image's metadata."""

    tagger: str
    """As in the setting TAGGER; it has looked at the image, whether or not it found anything to say."""
    filled: tuple[str, ...]
    """Fields of the metadata: of `tags` and `description`, those that are its own."""
    confidence: dict[str, float] = field(default_factory=dict)
    """Probability of each tag, 0 to 1."""

    @classmethod
    def read(cls, fields: dict[str, Any] | None) -> Tagging | None:
        """Read back what `dataclasses.asdict` made of one, or None."""
        if fields is None:
            return None
        return cls(fields["tagger"], tuple(fields["filled"]), fields.get("confidence") or {})


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """What the collection remembers of one image, its vector aside."""

    image_id: str
    sha256: str
    """Hex digest of the bytes as they were sent; the key of the original and of its thumbnail."""
    width: int
    """Pixels, as a viewer shows the image (EXIF orientation applied)."""
    height: int
    format: str
    """Pillow's name of the format: JPEG, PNG, …"""
    indexed_at: datetime
    """UTC, microseconds; strictly increasing within one process, so that browsing has an order."""
    metadata: Metadata = field(default_factory=dict)
    tagging: Tagging | None = None
    """None where no tagger has looked at the image."""
    revision: str | None = field(default=None, compare=False)
    """What the store knows this state of the record by, and renews with every write; None where a version without
    revisions wrote it."""


@dataclass(frozen=True, slots=True)
class Content:
    """Which bytes an image has."""

    image_id: str
    sha256: str
    """As of `ImageRecord`."""


@dataclass(frozen=True, slots=True)
class Match:
    """One neighbour of a query."""

    image_id: str
    score: float
    """Cosine similarity in [-1, 1]; 1 is the same direction."""
    sha256: str
    """Of the image's bytes: a URL that names it may be kept by browsers for ever."""
    width: int
    """Pixels, as a viewer shows the image; known before its bytes are, so that a page can make room for it."""
    height: int
    metadata: Metadata | None
    """None where the caller asked for results without metadata."""
    confidence: float | None = None
    """Probability that it shows what was searched for; None where scores of the model, or of such queries, have not
    been calibrated."""
    duplicates: tuple[str, ...] = ()
    """Images that are nearly the same and less alike to the query, where a search collapses them."""
    group: Scalar | None = None
    """The value that it was found under, where a search groups by a metadata field."""


@dataclass(frozen=True, slots=True)
class IndexResult:
    """What became of one image that was handed in."""

    image_id: str
    created: bool
    """False where an image of the same id was there before."""
    changed: bool
    """False where the very same image and metadata were there before, so nothing was written."""
    processing_time_ms: float
    untagged: bool = False
    """Whether a tagger that takes its time has still to look at it: see `SearchEngine.tag_image`."""


@dataclass(frozen=True, slots=True)
class Page:
    """A slice of the collection, newest first."""

    records: tuple[ImageRecord, ...]
    next_cursor: str | None
    """None on the last page."""
    texts: tuple[bytes, ...] = field(default=(), compare=False)
    """The metadata of each record as JSON, once it was made for an answer."""
