"""Images, their metadata and their embeddings as plain types that all layers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from enum import StrEnum
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
    """The part of an image's metadata that a tagger wrote, not the caller."""

    tagger: str
    """Name, as in the setting TAGGER; it has processed the image, even if it found no tags."""
    filled: tuple[str, ...]
    """Fields of the metadata that it wrote: `tags`, `description`, or both."""
    confidence: dict[str, float] = field(default_factory=dict)
    """Probability of each tag, 0 to 1."""

    @classmethod
    def read(cls, fields: dict[str, Any] | None) -> Tagging | None:
        """Return the Tagging whose `dataclasses.asdict` is `fields`; None for None."""
        if fields is None:
            return None
        return cls(fields["tagger"], tuple(fields["filled"]), fields.get("confidence") or {})


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """What the collection stores about one image, except its vector."""

    image_id: str
    sha256: str
    """Hex digest of the bytes as sent; the key of the original and of its thumbnail."""
    width: int
    """Pixels, as a viewer shows the image (EXIF orientation applied)."""
    height: int
    format: str
    """Pillow's name of the format: JPEG, PNG, …"""
    indexed_at: datetime
    """UTC, microseconds; strictly increasing within one process, so that images have an order."""
    metadata: Metadata = field(default_factory=dict)
    tagging: Tagging | None = None
    """None if no tagger has processed the image."""
    revision: str | None = field(default=None, compare=False)
    """Identifies this state of the record; every write replaces it. None if an old version, which had no revisions,
    wrote the record."""


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
    """Digest of the image's bytes: browsers may cache a URL that contains it for ever."""
    width: int
    """Pixels, as a viewer shows the image; a page reserves the room before the bytes arrive."""
    height: int
    metadata: Metadata | None
    """None if the caller asked for results without metadata."""
    confidence: float | None = None
    """Probability that the image shows what was searched for; None if the model, or this kind of query, was not
    calibrated."""
    duplicates: tuple[str, ...] = ()
    """Ids of near-duplicates with lower scores, if the search collapses duplicates."""
    group: Scalar | None = None
    """The value that the image is grouped under, if the search groups by a metadata field."""


class Outcome(StrEnum):
    """The outcome of indexing an image; `IndexCounts` has a field for each."""

    INDEXED = "indexed"
    REPLACED = "replaced"
    """The id belonged to another image before."""
    UNCHANGED = "unchanged"
    """The same image and metadata were stored before, for example by the first run of a repeated chunk."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class IndexResult:
    """The outcome of indexing one image."""

    image_id: str
    created: bool
    """False if an image with the same id existed before."""
    changed: bool
    """False if the same image and metadata were stored before, so nothing was written."""
    processing_time_ms: float
    untagged: bool = False
    """Whether a slow tagger still has to process the image; see `SearchEngine.tag_image`."""

    @property
    def outcome(self) -> Outcome:
        """The outcome as one of the members of `Outcome`."""
        if not self.changed:
            return Outcome.UNCHANGED
        return Outcome.INDEXED if self.created else Outcome.REPLACED


@dataclass(frozen=True, slots=True)
class IndexCounts:
    """How many of a job's images, or of a part of them, have had which outcome."""

    total: int = 0
    """Those included that nothing has been done with yet."""
    indexed: int = 0
    replaced: int = 0
    unchanged: int = 0
    failed: int = 0

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> IndexCounts:
        """Count outcomes."""
        return cls(len(outcomes), **{outcome.value: outcomes.count(outcome) for outcome in Outcome})

    @classmethod
    def from_figures(cls, total: int, figures: str) -> IndexCounts:
        """Read what `figures` returned. Raises ValueError or TypeError for any other text."""
        return cls(total, **dict(zip(Outcome, map(int, figures.split(".")), strict=True)))

    @property
    def figures(self) -> str:
        """The numbers in the order of `Outcome`, as names in the storage have them: `30.0.1.1`."""
        return ".".join(str(getattr(self, outcome)) for outcome in Outcome)

    @property
    def processed(self) -> int:
        """Images that have been dealt with."""
        return self.indexed + self.replaced + self.unchanged + self.failed

    def __add__(self, other: IndexCounts) -> IndexCounts:
        """Return the sums."""
        return IndexCounts(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Page:
    """A slice of the collection, newest first."""

    records: tuple[ImageRecord, ...]
    next_cursor: str | None
    """None on the last page."""
    texts: tuple[bytes, ...] = field(default=(), compare=False)
    """The metadata of each record as JSON, once it was made for a response."""
