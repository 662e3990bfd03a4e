"""The errors that the product raises on purpose, each with a stable code; `api/errors.py` maps them to HTTP status."""

from __future__ import annotations


class ImageSimilarityError(Exception):
    """Base of every error the product raises on purpose; its text is meant for the caller to read."""

    code: str = "internal_error"
    """Stable, machine-readable; part of the API."""


class InvalidRequest(ImageSimilarityError):
    """The request is well-formed but asks for something that does not exist or makes no sense."""

    code = "invalid_request"


class InvalidFilter(InvalidRequest):
    """The filter does not follow the filter language."""

    code = "invalid_filter"


class InvalidImageData(InvalidRequest):
    """`image_data` is neither base64 nor a data: URL that holds base64."""

    code = "invalid_image_data"


class InvalidCursor(InvalidRequest):
    """The cursor was not made by this server."""

    code = "invalid_cursor"


class InvalidArchive(InvalidRequest):
    """The archive is damaged, hostile, or of an unsupported kind."""

    code = "invalid_archive"


class AnswerTooLarge(InvalidRequest):
    """The answer would have more bytes than the limit."""

    code = "answer_too_large"


class BodyTooLarge(ImageSimilarityError):
    """The request body exceeds the limit."""

    code = "body_too_large"


class ImageUndecodable(ImageSimilarityError):
    """The bytes claim to be an image of a known format but cannot be decoded as one."""

    code = "image_undecodable"


class DecodeOutOfMemory(ImageUndecodable):
    """Decoding took more memory than the image's header suggests."""


class ImageTooLarge(ImageSimilarityError):
    """The image has more pixels than the limit; its header says so, and nothing was decoded."""

    code = "image_too_large"


class UnsupportedFormat(ImageSimilarityError):
    """The bytes are not an image of a supported format."""

    code = "unsupported_format"


class DecodeTimeout(ImageSimilarityError):
    """Decoding took longer than the limit."""

    code = "decode_timeout"


class UrlFetchDisabled(ImageSimilarityError):
    """This server does not fetch images by URL."""

    code = "url_fetch_disabled"


class UrlRefused(InvalidRequest):
    """The server does not fetch images from this URL, or from the address that it redirects to."""

    code = "url_refused"


class UrlUnreachable(ImageSimilarityError):
    """The URL gives no image: no connection, or an answer other than the image's bytes."""

    code = "url_unreachable"


class UrlFetchTimeout(ImageSimilarityError):
    """Fetching took longer than the limit."""

    code = "url_fetch_timeout"


class ImageNotFound(ImageSimilarityError):
    """No image with that id is indexed, or the requested part of it is not stored."""

    code = "image_not_found"


class ImageDamaged(ImageSimilarityError):
    """The stored bytes of an image differ from those that were sent."""

    code = "image_damaged"


class ImageExists(ImageSimilarityError):
    """An image with that id exists, and the caller asked not to overwrite it."""

    code = "image_exists"


class JobNotFound(ImageSimilarityError):
    """There is no job with that id, or its record has expired."""

    code = "job_not_found"


class TextSearchUnavailable(ImageSimilarityError):
    """The running model cannot encode text; the message names models that can."""

    code = "text_search_unavailable"


class ModelUnavailable(ImageSimilarityError):
    """The model's weights can be neither found nor downloaded."""

    code = "model_unavailable"


class ModelUnknown(ModelUnavailable):
    """There is no model of that name. It is probably misspelt, so no other model replaces it."""


class ModelMismatch(ImageSimilarityError):
    """The collection was made with another model; their vectors cannot be compared."""

    code = "model_mismatch"


class EncodingFailed(ImageSimilarityError):
    """The model returned something that is not a finite unit vector."""

    code = "encoding_failed"


class Overloaded(ImageSimilarityError):
    """Too many callers want a place in the queue, or change one image, at once; retry after `retry_after` seconds."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooMuchInFlight(Overloaded):
    """The bodies and answers of all current requests have reached their memory limit."""

    code = "too_much_in_flight"


class StoreUnavailable(ImageSimilarityError):
    """The vector store or the image storage does not answer, or answers with a failure."""

    code = "store_unavailable"


class DiskFull(StoreUnavailable):
    """A disk has too little room left for a write; searches and deletions go on."""

    code = "disk_full"


class WriteOutcomeUnknown(StoreUnavailable):
    """The vector store did not confirm a write. The write may be done, may still happen, or may be lost."""


class StoreLocked(StoreUnavailable):
    """Another process has the data directory open."""

    code = "store_locked"


class MigrationFailed(ImageSimilarityError):
    """After a migration the target differs from the source."""

    code = "migration_failed"


IMAGE_ERRORS = (
    DecodeTimeout,
    EncodingFailed,
    ImageDamaged,
    ImageTooLarge,
    ImageUndecodable,
    InvalidRequest,
    UnsupportedFormat,
)
"""Errors of one image, which would recur if it were sent again; any other error would hit the next image too."""


def not_found(image_id: str) -> ImageNotFound:
    """Return the error for an id that belongs to no image."""
    return ImageNotFound(f'No image with the id "{image_id}" is indexed.')
