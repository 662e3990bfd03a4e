"""How large an answer may be."""

from __future__ import annotations

from image_similarity.domain.errors import AnswerTooLarge

MAX_ANSWER_BYTES = 8 * 2**20
"""Of what one request is answered with; it is in memory several times while it is built and sent."""

ASK_LESS = (
    "ask for fewer results (top_k), or leave their metadata out (with_metadata: false) and fetch it image by image"
)
"""For answers of a search."""

READ_AT_ONCE = 64
"""Images whose metadata, up to 64 KiB each, are read from the store at a time: in Python they take many times that."""


def check_answer(size: int, instead: str) -> None:
    """Raise AnswerTooLarge for an answer of at least so many bytes, if that is too much; `instead` says what to ask."""
    if size > MAX_ANSWER_BYTES:
        raise AnswerTooLarge(f"The answer has at least {size} bytes, the limit is {MAX_ANSWER_BYTES}: {instead}.")
