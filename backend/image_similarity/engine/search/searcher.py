"""Answer a query: embed its parts, query the store, cache the result."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TypeVar

from uuid_utils import uuid7

from image_similarity.cache.results import ResultCache
from image_similarity.domain.errors import not_found
from image_similarity.domain.queries import (
    Example,
    ImageBytes,
    ImageUrl,
    IndexedImage,
    Mode,
    Query,
    QueryPart,
    SearchOptions,
    SearchResult,
    Source,
    Text,
)
from image_similarity.domain.records import Embedding
from image_similarity.encoders.base import EncodedText
from image_similarity.engine.answer_size import ASK_LESS, check_answer
from image_similarity.engine.embedding.images import ImageEmbedder
from image_similarity.engine.embedding.texts import TextEmbedder
from image_similarity.engine.search.calibration import Calibrations, add_confidence
from image_similarity.engine.search.query_vector import combine, shape
from image_similarity.engine.search.ranker import Ranker, Selected
from image_similarity.engine.search.results import FORMAT, KEPT_RESULT, KeptResult
from image_similarity.images.fetch import UrlFetcher
from image_similarity.telemetry.metrics import Metrics
from image_similarity.telemetry.tracing import span
from image_similarity.vectors.base import HybridQuery, StoreQuery, VectorStore
from image_similarity.vectors.keywords import KeywordQuery

S = TypeVar("S", Source, Example)


class Searcher:
    """Answers queries; results are cached until the next write.

    Methods that take a query raise the errors of `ImageEmbedder`, `TextEmbedder` and `UrlFetcher`, ImageNotFound, and
    StoreUnavailable.
    """

    def __init__(
        self,
        images: ImageEmbedder,
        texts: TextEmbedder,
        urls: UrlFetcher,
        vectors: VectorStore,
        answers: ResultCache,
        metrics: Metrics,
        calibrations: Calibrations,
        *,
        alike: float,
    ) -> None:
        """`alike` is the cosine from which on two images count as the same picture."""
        self._images = images
        self._texts = texts
        self._urls = urls
        self._vectors = vectors
        self._answers = answers
        self._metrics = metrics
        self._calibrations = calibrations
        self._selection = Ranker(vectors, alike=alike)

    async def run(self, query: Query, options: SearchOptions) -> SearchResult:
        """Find the images that are most like the query.

        Raises InvalidRequest if its parts cancel each other out, AnswerTooLarge if the results have too many bytes.
        """
        started = perf_counter()
        fetched = await self._fetch(query)
        query = _with_images(query, fetched)
        digests = [await self._digest(source) for source in query.sources]

        async def compute() -> KeptResult:
            return await self._find(query, digests, options)

        subject = [_subject(source, digest) for source, digest in zip(query.sources, digests, strict=True)]
        weights = [part.weight for part in query.parts], len(query.positive), query.strategy
        words = query.mode, "" if query.mode is Mode.VECTOR else query.words
        # Frozen dataclasses of plain values: different ones have different texts; even 1, 1.0 and True differ.
        question = f"{FORMAT}\n{subject!r}\n{weights!r}\n{words!r}\n{options!r}"
        found, cached = await self._answers.to(question, compute, KEPT_RESULT)
        previews = await self._previews_of(fetched) if query.previews else {}
        taken = round((perf_counter() - started) * 1000, 3)
        hits = add_confidence(query, found.hits, self._calibrations)
        return SearchResult(str(uuid7()), hits, taken, cached, found.truncated, found.threshold, found.texts, previews)

    async def _digest(self, source: Source) -> str:
        if not isinstance(source, ImageBytes):
            return ""
        digest = await self._images.digest(source.data)
        self._images.count_query(digest)
        return digest

    async def _fetch(self, query: Query) -> dict[str, bytes]:
        """Return the bytes of the images that the query names by URL; there are MAX_URLS at most."""
        urls = [source.url for source in query.sources if isinstance(source, ImageUrl)]
        return await self._urls.fetch_all(urls) if urls else {}

    async def _previews_of(self, fetched: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return a thumbnail of each image by URL, so that a page can show it without fetching the URL."""
        made = await asyncio.gather(*map(self._images.thumbnail, fetched.values()))
        return dict(zip(fetched, made, strict=True))

    async def _find(self, query: Query, digests: Sequence[str], options: SearchOptions) -> KeptResult:
        if query.mode is Mode.KEYWORDS:
            selected = await self._ask(KeywordQuery(query.words), options, exclude=())
            return _kept(selected, truncated=False)
        embedded = await asyncio.gather(
            *(self._embed(source, digest) for source, digest in zip(query.sources, digests, strict=True))
        )
        vectors = [one.embedding for one in embedded]
        parts, liked = len(query.parts), len(query.parts) + len(query.positive)
        vector = combine(vectors[:parts], [part.weight for part in query.parts]) if parts else None
        near = shape(vector, vectors[parts:liked], vectors[liked:], query.strategy)
        wanted = HybridQuery(near, KeywordQuery(query.words)) if query.mode is Mode.HYBRID else near
        own = [source.image_id for source in query.sources if isinstance(source, IndexedImage)]
        by_texts = all(isinstance(source, Text) for source in query.sources)
        selected = await self._ask(wanted, options, exclude=own, by_texts=by_texts)
        return _kept(selected, truncated=any(one.truncated for one in embedded))

    async def _embed(self, source: Source, digest: str) -> EncodedText:
        match source:
            case ImageBytes(data):
                return EncodedText(await self._images.embed(data, digest), truncated=False)
            case IndexedImage(image_id):
                return EncodedText(await self._indexed(image_id), truncated=False)
            case Text(text, template):
                return await self._texts.embed(text, template)
            case ImageUrl():
                raise AssertionError("URLs are fetched before anything is embedded")

    async def _indexed(self, image_id: str) -> Embedding:
        vector = await self._vectors.get_vector(image_id)
        if vector is None:
            raise not_found(image_id)
        return vector

    async def _ask(
        self, wanted: StoreQuery, options: SearchOptions, *, exclude: Sequence[str], by_texts: bool = False
    ) -> Selected:
        with self._metrics.stage("query"), span("store"):
            return await self._selection.of(wanted, options, exclude=exclude, by_texts=by_texts)


def _kept(selected: Selected, *, truncated: bool) -> KeptResult:
    result = KeptResult.of(selected, truncated=truncated)
    check_answer(result.size, ASK_LESS)
    return result


def _with_images(query: Query, fetched: Mapping[str, bytes]) -> Query:
    """Return the query with the images themselves instead of their URLs."""
    if not fetched:
        return query

    def image(source: S) -> S | ImageBytes:
        return ImageBytes(fetched[source.url]) if isinstance(source, ImageUrl) else source

    return replace(
        query,
        parts=tuple(QueryPart(image(part.source), part.weight) for part in query.parts),
        positive=tuple(map(image, query.positive)),
        negative=tuple(map(image, query.negative)),
    )


def _subject(source: Source, digest: str) -> tuple[str, str]:
    match source:
        case ImageBytes():
            return "image", digest
        case IndexedImage(image_id):
            return "id", image_id
        case Text(text, template):
            return "text" if template is None else f"text in {template}", text
        case ImageUrl():
            raise AssertionError("a URL is no cache key, because it may lead to another image tomorrow")
