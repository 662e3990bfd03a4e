"""The limit of the size of an answer."""

from __future__ import annotations

from image_similarity.domain.errors import AnswerTooLarge

MAX_ANSWER_BYTES = 8 * 2**20
"""Limit per answer; while it is built and sent, it is in memory several times."""

ASK_LESS = (
    "ask for fewer results (top_k), or leave their metadata out (with_metadata: false) and fetch it image by image"
)
"""Advice in the error if the answer of a search is too large."""

READ_FIRST = 16
"""Images whose metadata, up to 64 KiB each, is read first, before the average size is known."""

READ_AT_ONCE = 64
"""Most images whose metadata is read at a time."""

READ_BYTES = 2**18
"""Bytes of metadata to read at a time, estimated from the metadata read before. As Python objects it takes many times
that, and thousands of keys take some milliseconds of the event loop."""


def next_part(images: int, size: int) -> int:
    """Return how many images to read next, if the `images` read so far have `size` bytes of metadata."""
    if not images:
        return READ_FIRST
    return max(1, min(READ_AT_ONCE, READ_BYTES * images // max(size, 1)))


def check_answer(size: int, instead: str) -> None:
    """Raise AnswerTooLarge if an answer of at least `size` bytes is too large; `instead` is the advice in the error."""
    if size > MAX_ANSWER_BYTES:
        raise AnswerTooLarge(f"The answer has at least {size} bytes, the limit is {MAX_ANSWER_BYTES}: {instead}.")
