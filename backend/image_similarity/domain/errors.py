"""The errors that the product raises on purpose, each with its stable code; `api/errors.py` knows their HTTP status."""

from __future__ import annotations


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


IMAGE_ERRORS = (
    DecodeTimeout,
    EncodingFailed,
    ImageDamaged,
    ImageTooLarge,
    ImageUndecodable,
    InvalidRequest,
    UnsupportedFormat,
)
"""What is wrong with one image only, and will be so the next time; anything else is wrong with the next image too."""


def not_found(image_id: str) -> ImageNotFound:
    """Return the error for an id that no image has."""
    return ImageNotFound(f'No image with the id "{image_id}" is indexed.')
