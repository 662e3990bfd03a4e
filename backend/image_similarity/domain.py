"""The plain types and the error classes that every layer speaks in; imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Metadata = dict[str, Any]
"""The caller's own JSON object, stored with an image and never interpreted."""

Scalar = str | int | float | bool
"""A value that a filter can compare."""

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
class AnyOf:
    """The field has one of the values; a field that holds a list has it where one element does."""

    field: str
    """Path into the metadata, its steps joined by dots."""
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class InRange:
    """The field is a number, or an RFC 3339 time, within the bounds; at least one bound is given."""

    field: str
    gt: float | datetime | None = None
    gte: float | datetime | None = None
    lt: float | datetime | None = None
    lte: float | datetime | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there and neither null nor an empty list."""

    field: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition holds."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class OneOf:
    """At least one condition holds."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: Condition


Condition = AnyOf | InRange | Exists | AllOf | OneOf | Not
"""What a search demands of metadata; `filters.py` reads it from JSON."""


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


class FieldKind(StrEnum):
    """What the values of a metadata field are."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    """RFC 3339 texts, which a filter can compare as times."""


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One value of a metadata field."""

    value: Scalar
    """A time is in UTC, with microseconds."""
    count: int
    """Images that have it."""


@dataclass(frozen=True, slots=True)
class Facet:
    """A metadata field that images have."""

    field: str
    """As a filter names it: steps into nested objects are joined by dots."""
    kind: FieldKind
    """That of most of its values; the others are left out."""
    images: int
    """Those that have it."""
    values: tuple[FacetValue, ...]
    """Most frequent first."""
    more_values: bool
    minimum: float | str | None
    """Of numbers and of times; None for other kinds."""
    maximum: float | str | None
    exact: bool
    """False where the figures are estimates for the whole collection."""


@dataclass(frozen=True, slots=True)
class Facets:
    """The metadata fields of a collection, those that most images have first."""

    fields: tuple[Facet, ...]
    more_fields: bool
    images: int
    """In the collection."""
    sampled: int
    """The newest, whose metadata was read."""
    exact: bool
    """Whether that was all of them."""


class ImageSimilarityError(Exception):
    """Base of every error the product raises on purpose; its text is meant for the caller to read."""

    code: str = "internal_error"
    """Stable, machine-readable; part of the API."""


class InvalidRequest(ImageSimilarityError):
    """The request is well-formed but asks for something that does not exist or makes no sense."""

    code = "invalid_request"


class InvalidFilter(InvalidRequest):
    """The filter is not a sentence of the filter language."""

    code = "invalid_filter"


class InvalidImageData(InvalidRequest):
    """`image_data` is neither base64 nor a data: URL that holds base64."""

    code = "invalid_image_data"


class InvalidCursor(InvalidRequest):
    """The cursor was not made by this server."""

    code = "invalid_cursor"


class InvalidArchive(InvalidRequest):
    """The archive is damaged, hostile, or of a kind that is not read."""

    code = "invalid_archive"


class AnswerTooLarge(InvalidRequest):
    """What was asked for has more bytes than one answer may have."""

    code = "answer_too_large"


class BodyTooLarge(ImageSimilarityError):
    """The request body exceeds the limit."""

    code = "body_too_large"


class ImageUndecodable(ImageSimilarityError):
    """The bytes claim to be an image of a known format but cannot be decoded as one."""

    code = "image_undecodable"


class DecodeOutOfMemory(ImageUndecodable):
    """Decoding asked for more memory than the image's header let expect."""


class ImageTooLarge(ImageSimilarityError):
    """The image has more pixels than the limit; found in its header, nothing was decoded."""

    code = "image_too_large"


class UnsupportedFormat(ImageSimilarityError):
    """The bytes are not an image of a supported format."""

    code = "unsupported_format"


class DecodeTimeout(ImageSimilarityError):
    """Decoding took longer than the limit."""

    code = "decode_timeout"


class UrlFetchDisabled(ImageSimilarityError):
    """This server fetches no images by URL."""

    code = "url_fetch_disabled"


class UrlRefused(InvalidRequest):
    """The URL, or what it is redirected to, is none that an image is fetched from."""

    code = "url_refused"


class UrlUnreachable(ImageSimilarityError):
    """No image comes from the URL: no connection, or another answer than the bytes."""

    code = "url_unreachable"


class UrlFetchTimeout(ImageSimilarityError):
    """Fetching took longer than the limit."""

    code = "url_fetch_timeout"


class ImageNotFound(ImageSimilarityError):
    """No image of that id is indexed, or the part of it that was asked for is not stored."""

    code = "image_not_found"


class ImageDamaged(ImageSimilarityError):
    """The stored bytes of an image are not the ones that were sent."""

    code = "image_damaged"


class ImageExists(ImageSimilarityError):
    """There is an image of that id, which is not to be overwritten."""

    code = "image_exists"


class JobNotFound(ImageSimilarityError):
    """There is no job of that id, or it ended so long ago that it was forgotten."""

    code = "job_not_found"


class TextSearchUnavailable(ImageSimilarityError):
    """The running model cannot encode text; the message says what would."""

    code = "text_search_unavailable"


class ModelUnavailable(ImageSimilarityError):
    """The model's weights can be neither found nor downloaded."""

    code = "model_unavailable"


class ModelUnknown(ModelUnavailable):
    """There is no model of that name, which is probably misspelt: no other one is to stand in for it."""


class ModelMismatch(ImageSimilarityError):
    """The collection was made with another model; their vectors cannot be compared."""

    code = "model_mismatch"


class EncodingFailed(ImageSimilarityError):
    """The model returned something that is not a finite unit vector."""

    code = "encoding_failed"


class Overloaded(ImageSimilarityError):
    """Too many want the same at once, a place in a queue or to change an image; try again after `retry_after` s."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooMuchInFlight(Overloaded):
    """The bodies and answers of all requests together take as much memory as they may."""

    code = "too_much_in_flight"


class StoreUnavailable(ImageSimilarityError):
    """The vector store or the image storage does not answer, or answers with a failure."""

    code = "store_unavailable"


class DiskFull(StoreUnavailable):
    """A disk has too little room left for a write; searches and deletions go on."""

    code = "disk_full"


class WriteOutcomeUnknown(StoreUnavailable):
    """The vector store did not confirm a write that may have reached it: it is done, will be, or was lost."""


class StoreLocked(StoreUnavailable):
    """Another process has the data directory open."""

    code = "store_locked"


class MigrationFailed(ImageSimilarityError):
    """After a migration the target is not what the source is."""

    code = "migration_failed"
