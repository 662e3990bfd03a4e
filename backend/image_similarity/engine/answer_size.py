"""How large an answer may be."""

from __future__ import annotations

from image_similarity.domain.errors import AnswerTooLarge

MAX_ANSWER_BYTES = 8 * 2**20
"""Of what one request is answered with; it is in memory several times while it is built and sent."""

ASK_LESS = (
    "ask for fewer results (top_k), or leave their metadata out (with_metadata: false) and fetch it image by image"
)
"""For answers of a search."""

READ_FIRST = 16
"""Images whose metadata, up to 64 KiB each, are read from the store before it is known how much they have."""

READ_AT_ONCE = 64
"""Images whose metadata are read at a time, at most."""

READ_BYTES = 2**18
"""Of metadata that are read at a time, as far as those read before tell: in Python they take many times that, and
thousands of keys some milliseconds of the event loop."""


def next_part(images: int, size: int) -> int:
    """Return how many images to read next, if those read so far have `size` bytes of metadata."""
    if not images:
        return READ_FIRST
    return max(1, min(READ_AT_ONCE, READ_BYTES * images // max(size, 1)))


def check_answer(size: int, instead: str) -> None:
    """Raise AnswerTooLarge for an answer of at least so many bytes, if that is too much; `instead` says what to ask."""
    if size > MAX_ANSWER_BYTES:
        raise AnswerTooLarge(f"The answer has at least {size} bytes, the limit is {MAX_ANSWER_BYTES}: {instead}.")
