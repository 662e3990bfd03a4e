"""From a query to its answer: embed its parts, ask the store, remember what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import orjson
from uuid_utils import uuid7

from image_similarity.cache.answers import Answers
from image_similarity.confidence import Calibrations, add_confidence
from image_similarity.domain import Embedding, InvalidRequest, Match
from image_similarity.embedder import ImageEmbedder
from image_similarity.queries import ImageBytes, IndexedImage, Query, SearchOptions, SearchResult, Source, Text
from image_similarity.telemetry.metrics import Metrics
from image_similarity.telemetry.tracing import span
from image_similarity.texts import TextEmbedder
from image_similarity.vectors.base import VectorStore
from image_similarity.writes import not_found


@dataclass(frozen=True, slots=True)
class _Found:
    """What is remembered of an answer."""

    matches: Sequence[Match]
    truncated: bool


class Searches:
    """Answers queries; an answer is kept until the next write.

    All that takes a query raises what `ImageEmbedder` and `TextEmbedder` raise, ImageNotFound, and StoreUnavailable.
    """

    def __init__(
        self,
        images: ImageEmbedder,
        texts: TextEmbedder,
        vectors: VectorStore,
        answers: Answers,
        metrics: Metrics,
        calibrations: Calibrations,
    ) -> None:
        self._images = images
        self._texts = texts
        self._vectors = vectors
        self._answers = answers
        self._metrics = metrics
        self._calibrations = calibrations

    async def run(self, query: Query, options: SearchOptions) -> SearchResult:
        """Find the images that are most like the query. Raises InvalidRequest where its parts cancel each other out."""
        started = perf_counter()
        digests = [await self._digest(part.source) for part in query.parts]

        async def compute() -> bytes:
            return _dump(await self._find(query, digests, options))

        subject = [_subject(part.source, digest) for part, digest in zip(query.parts, digests, strict=True)]
        weights = [part.weight for part in query.parts]
        # Frozen dataclasses of plain values: their text tells any two apart, 1 from 1.0 and from True included.
        stored, cached = await self._answers.to(f"{subject!r}\n{weights!r}\n{options!r}", compute)
        found = _load(stored)
        taken = round((perf_counter() - started) * 1000, 3)
        matches = add_confidence(query, found.matches, self._calibrations)
        return SearchResult(str(uuid7()), matches, taken, cached, found.truncated)

    async def _digest(self, source: Source) -> str:
        if not isinstance(source, ImageBytes):
            return ""
        digest = await self._images.digest(source.data)
        self._images.count_query(digest)
        return digest

    async def _find(self, query: Query, digests: Sequence[str], options: SearchOptions) -> _Found:
        truncated = False
        vectors: list[Embedding] = []
        for part, digest in zip(query.parts, digests, strict=True):
            match part.source:
                case ImageBytes(data):
                    vectors.append(await self._images.embed(data, digest))
                case IndexedImage(image_id):
                    vectors.append(await self._indexed(image_id))
                case Text(text):
                    encoded = await self._texts.embed(text)
                    vectors.append(encoded.embedding)
                    truncated = truncated or encoded.truncated
        vector = combine(vectors, [part.weight for part in query.parts])
        own = [part.source.image_id for part in query.parts if isinstance(part.source, IndexedImage)]
        return _Found(await self._ask(vector, options, exclude=own), truncated)

    async def _indexed(self, image_id: str) -> Embedding:
        vector = await self._vectors.get_vector(image_id)
        if vector is None:
            raise not_found(image_id)
        return vector

    async def _ask(self, vector: Embedding, options: SearchOptions, *, exclude: Sequence[str]) -> list[Match]:
        with self._metrics.stage("query"), span("store"):
            return await self._vectors.query(
                vector,
                top_k=options.top_k,
                threshold=options.threshold,
                condition=options.filter,
                with_metadata=options.with_metadata,
                exclude=exclude,
            )


def combine(vectors: Sequence[Embedding], weights: Sequence[float]) -> Embedding:
    """Return the weighted sum of unit vectors, each of shape (dimension,), as a unit vector, float32.

    Raises InvalidRequest where nothing is left of it.
    """
    if len(vectors) == 1:
        return vectors[0]
    # float64: the sum of nearly opposite vectors loses digits.
    total = np.dot(np.asarray(weights, np.float64), np.asarray(vectors, np.float64))
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise InvalidRequest("The parts of the query cancel each other out; change a weight.")
    combined: Embedding = (total / length).astype(np.float32)
    return combined


def _subject(source: Source, digest: str) -> tuple[str, str]:
    match source:
        case ImageBytes():
            return "image", digest
        case IndexedImage(image_id):
            return "id", image_id
        case Text(text):
            return "text", text


def _dump(found: _Found) -> bytes:
    # By hand, for `astuple` would copy the metadata; in the order of the fields, for that is how they are read back.
    rows = [(hit.image_id, hit.score, hit.sha256, hit.width, hit.height, hit.metadata) for hit in found.matches]
    return orjson.dumps((rows, found.truncated))


def _load(stored: bytes) -> _Found:
    rows, truncated = orjson.loads(stored)
    return _Found([Match(*fields) for fields in rows], truncated)
