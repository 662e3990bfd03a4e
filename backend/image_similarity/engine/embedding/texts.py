"""Embed texts, with a cache and in batches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from image_similarity.cache.base import Cache, Kind
from image_similarity.concurrency.single_flight import SingleFlight
from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.prompts import apply_template
from image_similarity.encoders.base import EncodedText, TextEncoder
from image_similarity.engine.embedding.batching import batch_texts
from image_similarity.telemetry.metrics import Metrics
from image_similarity.telemetry.tracing import span

MAX_TEXT = 2000
"""Most characters of a text, many times more than any text tower reads."""


@dataclass(frozen=True, slots=True)
class TextModelState:
    """The state of the text tower, for the operator."""

    name: str
    loaded: bool
    """Whether its weights are in memory; a model's own tower may wait for the first text."""
    max_tokens: int
    """Most tokens of a text that it reads."""


class TextEmbedder:
    """Encodes texts in batches and in its own thread, so that a text never waits behind a batch of images."""

    def __init__(
        self,
        encoder: TextEncoder,
        cache: Cache,
        metrics: Metrics,
        *,
        batch_size: int,
        max_queue: int,
        template: str | None = None,
    ) -> None:
        """`template` is the prompt template for texts without one of their own."""
        self._template = template
        self._encoder = encoder
        self._model = f"{encoder.spec.name}@{encoder.spec.fingerprint}"
        self._batching = batch_texts(encoder, batch_size=batch_size, max_queue=max_queue, metrics=metrics)
        self._cache = cache
        self._embedding = SingleFlight[EncodedText]()

    def state(self) -> TextModelState:
        """Return the name of the text tower, whether it is loaded, and how much it reads."""
        return TextModelState(self._encoder.spec.name, self._encoder.loaded, self._encoder.spec.max_tokens)

    async def embed(self, text: str, template: str | None = None) -> EncodedText:
        """Return the unit vector, shape (dimension,), of a text in its template, and whether its end was ignored.

        Raises InvalidRequest if the text is empty or too long or the template has no place for it,
        TextSearchUnavailable if there is no text tower or it cannot be loaded, EncodingFailed, Overloaded.
        """
        text = apply_template(self._template if template is None else template, check_text(text))
        key = f"{self._model}:text:{hashlib.sha256(text.encode()).hexdigest()}"
        self._cache.count_query(key)
        with span("cache"):
            stored = await self._cache.get(Kind.EMBEDDING, key)
        if stored is not None and len(stored) == 1 + 4 * self._encoder.spec.dimension:
            return EncodedText(np.frombuffer(stored, np.float32, offset=1), stored[0] == 1)
        return await self._embedding.run(key, lambda: self._compute(text, key))

    def close(self) -> None:
        """Finish the queue and stop the thread."""
        self._batching.close()

    async def _compute(self, text: str, key: str) -> EncodedText:
        with self._batching.place(), span("encode"):
            encoded = await self._batching.encode(text)
        await self._cache.set(Kind.EMBEDDING, key, bytes([encoded.truncated]) + encoded.embedding.tobytes())
        return encoded


def check_text(text: str) -> str:
    """Return the text without space at its ends.

    Raises InvalidRequest if nothing is left, if it is too long, or if it is not valid Unicode.
    """
    text = text.strip()
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequest("A text to search for is Unicode; this one holds half a character.")
    if not 0 < len(text) <= MAX_TEXT:
        raise InvalidRequest(f"A text to search for has 1 to {MAX_TEXT} characters; this one has {len(text)}.")
    return text
