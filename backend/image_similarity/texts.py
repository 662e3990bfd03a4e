"""From a text to its embedding, remembered like those of images."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from image_similarity.cache.base import Cache, Kind
from image_similarity.cache.single_flight import SingleFlight
from image_similarity.domain import EncodingFailed, InvalidRequest, Overloaded, TextSearchUnavailable
from image_similarity.encoders.base import EncodedText, TextEncoder
from image_similarity.telemetry.metrics import Metrics
from image_similarity.telemetry.tracing import span

MAX_TEXT = 2000
"""Characters: many times what any text tower reads."""


class TextEmbedder:
    """Encodes in a thread of its own, so that a text never waits behind a batch of images.

    Without a text tower every text is refused with TextSearchUnavailable.
    """

    def __init__(self, encoder: TextEncoder | None, cache: Cache, metrics: Metrics, *, max_queue: int) -> None:
        self._encoder = encoder
        self._cache = cache
        self._metrics = metrics
        self._max_queue = max_queue
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="texts")
        self._embedding = SingleFlight[EncodedText]()

    @property
    def encoder(self) -> TextEncoder | None:
        """The text tower, where there is one."""
        return self._encoder

    async def embed(self, text: str) -> EncodedText:
        """Return a text's unit vector, shape (dimension,), and whether its end was ignored.

        Raises InvalidRequest for a text that is empty or too long, TextSearchUnavailable, EncodingFailed, Overloaded.
        """
        text = check_text(text)
        encoder = self._encoder
        if encoder is None:
            raise TextSearchUnavailable(
                "The running model has no text tower. Search with an image, or run a model that has one (MODEL_NAME)."
            )
        key = f"{encoder.name}:text:{hashlib.sha256(text.encode()).hexdigest()}"
        self._cache.count_query(key)
        with span("cache"):
            stored = await self._cache.get(Kind.EMBEDDING, key)
        if stored is not None and len(stored) == 1 + 4 * encoder.dimension:
            return EncodedText(np.frombuffer(stored, np.float32, offset=1), stored[0] == 1)
        return await self._embedding.run(key, lambda: self._compute(encoder, text, key))

    def close(self) -> None:
        """Finish what is under way and stop the thread."""
        self._thread.shutdown(cancel_futures=True)

    async def _compute(self, encoder: TextEncoder, text: str, key: str) -> EncodedText:
        if self._waiting >= self._max_queue:
            self._metrics.shed.inc()
            raise Overloaded(
                f"{self._waiting} texts are waiting for the model, which is the limit; try again in a moment.",
                retry_after=1.0,
            )
        self._waiting += 1
        try:
            with span("encode"):
                encoded = await asyncio.get_running_loop().run_in_executor(self._thread, self._encode, encoder, text)
        finally:
            self._waiting -= 1
        await self._cache.set(Kind.EMBEDDING, key, bytes([encoded.truncated]) + encoded.embedding.tobytes())
        return encoded

    def _encode(self, encoder: TextEncoder, text: str) -> EncodedText:
        with self._metrics.stage("encode_text"):
            [encoded] = encoder.encode_texts([text])
        if not np.isfinite(encoded.embedding).all():
            raise EncodingFailed("The model did not return a finite vector for the text.")
        return encoded


def check_text(text: str) -> str:
    """Return the text without space at its ends.

    Raises InvalidRequest where nothing is left, where it is too long, and where it is not Unicode.
    """
    text = text.strip()
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequest("A text to search for is Unicode; this one holds half a character.")
    if not 0 < len(text) <= MAX_TEXT:
        raise InvalidRequest(f"A text to search for has 1 to {MAX_TEXT} characters; this one has {len(text)}.")
    return text
