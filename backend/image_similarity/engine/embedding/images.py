"""Embed images: decode and encode them, with a cache and in batches."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, replace

import numpy as np

from image_similarity.cache.base import Cache, Kind
from image_similarity.concurrency.single_flight import SingleFlight
from image_similarity.domain.records import Embedding, Pixels
from image_similarity.encoders.base import ImageEncoder
from image_similarity.engine.embedding.batching import DynamicBatcher
from image_similarity.images.decoders import Decoders
from image_similarity.images.recipe import Preprocess, Recipe
from image_similarity.images.thumbnail import THUMBNAIL_SIDE
from image_similarity.telemetry.tracing import span

PREVIEW_SIDE = 1440
"""Longest side of a preview in pixels: sharp on most screens, with a twentieth of a photograph's bytes."""

_LARGE = 256 * 1024
"""Bytes above which hashing (0.5 ms per megabyte) is moved to another thread."""


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """The results of decoding and encoding an image for indexing."""

    embedding: Embedding
    thumbnail: bytes
    """WebP."""
    width: int
    height: int
    format: str
    for_tagger: Pixels | None = None
    """The tagger's input, if requested."""


class ImageEmbedder:
    """Decodes images, encodes them in batches, caches embeddings by content, and does identical work once.

    `embed` and `prepare` raise ImageUndecodable, ImageTooLarge, UnsupportedFormat, DecodeTimeout, Overloaded and
    EncodingFailed.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        batching: DynamicBatcher[Pixels, Embedding],
        cache: Cache,
        decoders: Decoders,
        *,
        max_pixels: int,
    ) -> None:
        """`decoders` must know the encoder's `preprocess`, and those that the other methods are given."""
        self._batching = batching
        self._model = f"{encoder.spec.name}@{encoder.fingerprint}"
        self._cache = cache
        self._decoders = decoders
        self._recipe = recipe_for(encoder, max_pixels=max_pixels)
        self._embedding = SingleFlight[Embedding]()

    @property
    def queue_depth(self) -> int:
        """How many images are being decoded, wait for the model, or are in it."""
        return self._batching.depth

    def failure(self) -> str | None:
        """Return why no image can be decoded now; None if decoding works."""
        return self._decoders.failure()

    async def digest(self, data: bytes) -> str:
        """Return the sha256 of the bytes, in hex."""
        if len(data) < _LARGE:
            return hashlib.sha256(data).hexdigest()
        return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())

    def count_query(self, digest: str) -> None:
        """Count a search with this embedding, so that a new replica can load the popular ones at its start."""
        self._cache.count_query(self._key(digest))

    async def embed(self, data: bytes, digest: str) -> Embedding:
        """Return the unit vector of an image, shape (dimension,); `digest` is the sha256 of `data`."""
        if (cached := await self._recall(digest)) is not None:
            return cached
        return await self._embedding.run(digest, lambda: self._compute(data, digest))

    async def prepare(self, data: bytes, digest: str, for_tagger: Preprocess | None = None) -> PreparedImage:
        """Return an image's embedding and, from the same decoding, its thumbnail, its size and the tagger's input."""
        wanted = self._recipe.preprocess if for_tagger is None else (*self._recipe.preprocess, for_tagger)
        recipe = replace(self._recipe, preprocess=wanted, thumbnail_side=THUMBNAIL_SIDE)
        with self._batching.place():
            with span("decode"):
                prepared = await self._decoders.run(data, recipe)
            embedding = await self._recall(digest)
            if embedding is None:
                embedding = await self._encode(prepared.pixels[0], digest)
        return PreparedImage(
            embedding,
            prepared.thumbnail,
            prepared.width,
            prepared.height,
            prepared.format,
            for_tagger=None if for_tagger is None else prepared.pixels[1],
        )

    async def decode_for(self, data: bytes, preprocess: Preprocess, *, min_side: int) -> Pixels:
        """Return the output of `preprocess` for an image, decoded with at least `min_side` pixels per side."""
        short_side = max(min_side, self._recipe.min_short_side)
        recipe = replace(self._recipe, preprocess=(preprocess,), min_short_side=short_side)
        with self._batching.place(), span("decode"):
            return (await self._decoders.run(data, recipe)).pixels[0]

    async def thumbnail(self, data: bytes) -> bytes:
        """Return only an image's thumbnail, the same as `prepare` makes."""
        return await self._small(data, THUMBNAIL_SIDE)

    async def preview(self, data: bytes) -> bytes:
        """Return an image with at most `PREVIEW_SIDE` pixels per side, WebP."""
        return await self._small(data, PREVIEW_SIDE)

    async def _small(self, data: bytes, side: int) -> bytes:
        recipe = replace(self._recipe, preprocess=(), min_long_side=side, thumbnail_side=side)
        with self._batching.place(), span("decode"):
            return (await self._decoders.run(data, recipe)).thumbnail

    def close(self) -> None:
        """Finish the model's queue and stop, without waiting for images that are being decoded."""
        self._decoders.close()
        self._batching.close()

    async def _compute(self, data: bytes, digest: str) -> Embedding:
        with self._batching.place():
            with span("decode"):
                prepared = await self._decoders.run(data, self._recipe)
            return await self._encode(prepared.pixels[0], digest)

    async def _encode(self, pixels: Pixels, digest: str) -> Embedding:
        # The span includes the wait for the model. The batch belongs to many traces, so its time is in the metrics.
        with span("encode"):
            embedding = await self._batching.encode(pixels)
        await self._cache.set(Kind.EMBEDDING, self._key(digest), embedding.tobytes())
        return embedding

    async def _recall(self, digest: str) -> Embedding | None:
        with span("cache"):
            cached = await self._cache.get(Kind.EMBEDDING, self._key(digest))
        return None if cached is None else np.frombuffer(cached, dtype=np.float32)

    def _key(self, digest: str) -> str:
        return f"{self._model}:{digest}"


def recipe_for(encoder: ImageEncoder, *, max_pixels: int) -> Recipe:
    """Return how to decode for a model; the same everywhere, so that an image finds itself with a score of 1."""
    return Recipe(max_pixels, encoder.spec.input_size, THUMBNAIL_SIDE, (encoder.preprocess,))
