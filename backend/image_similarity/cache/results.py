"""Cache of answers about the collection: valid until the next write, and computed once for concurrent callers."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from image_similarity.cache.base import Cache, Kind
from image_similarity.concurrency.single_flight import SingleFlight
from image_similarity.telemetry.tracing import span

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How a value becomes bytes and is read back."""

    dump: Callable[[T], bytes]
    load: Callable[[bytes], T]


class ResultCache:
    """Stores answers by question, model, and generation of the collection; see `Cache.generation`."""

    def __init__(self, cache: Cache, model: str, *, settings: str = "") -> None:
        """`settings` is the rest of the configuration that shapes answers, because a cache may outlive it."""
        self._cache = cache
        self._model = model
        self._settings = settings
        self._computing = SingleFlight[Any]()

    async def to(self, question: str, compute: Callable[[], Awaitable[T]], codec: Codec[T]) -> tuple[T, bool]:
        """Return the answer, and whether it came from the cache. Raises what `compute` raises.

        All callers that ask at the same time get the same object and may not change it. Only a cached answer is read
        from bytes.
        """
        generation = await self._cache.generation()
        if generation is None:
            return await compute(), False
        digest = hashlib.sha256(f"{self._settings}\n{question}".encode()).hexdigest()
        key = f"{self._model}:{generation}:{digest}"
        with span("cache"):
            stored = await self._cache.get(Kind.RESULT, key)
        if stored is not None:
            return codec.load(stored), True

        async def compute_and_keep() -> T:
            answer = await compute()
            await self._cache.set(Kind.RESULT, key, codec.dump(answer))
            return answer

        return await self._computing.run(key, compute_and_keep), False
