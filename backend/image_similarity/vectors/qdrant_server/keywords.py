"""Keyword search on a Qdrant server: the ranking, and the indexes that it needs."""

from __future__ import annotations

import re
from time import monotonic
from typing import Any

from qdrant_client import models

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.keywords import (
    BACKFILL_BATCH,
    LONGEST_PREFIX,
    PREFIX_WEIGHT,
    PREFIXES,
    SHORTEST_PREFIX,
    WORDS,
    Language,
    candidates,
    keyword_fields,
    normalised,
    unfinished,
)
from image_similarity.vectors.payload import EXACT, payload_metadata
from image_similarity.vectors.qdrant_server.client import QdrantCalls

_OLD = models.IsEmptyCondition(is_empty=models.PayloadField(key=WORDS))

_WAITED_FOR = 10_000
"""Maximum images for which the caller waits for an index; with a million it takes longer than a call may."""

_RECHECK = 60.0
"""Seconds until the version of a server that was too old is checked again."""

RANKS_TEXT_SINCE = (1, 20)
"""First version of Qdrant that ranks by a text index."""

_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_TOO_OLD = "Keyword search needs Qdrant 1.20 or newer; upgrade the server. Everything else works as it is."


def word_ranking(text: str, top_k: int, condition: models.Filter | None) -> models.Prefetch:
    """Return the ranking by BM25: whole words, and with less weight words that begin with the last one."""
    looked_at = candidates(top_k)
    text = normalised(text)
    score = models.SumExpression(sum=["$score[0]", models.MultExpression(mult=[PREFIX_WEIGHT, "$score[1]"])])
    return models.Prefetch(
        query=models.FormulaQuery(formula=score, defaults={"$score[0]": 0.0, "$score[1]": 0.0}),
        prefetch=[
            models.Prefetch(query=models.TextQuery(text=asked), using=path, filter=condition, limit=looked_at)
            for path, asked in ((WORDS, text), (PREFIXES, unfinished(text)))
        ],
        limit=top_k,
    )


class TextIndexes:
    """The text indexes of a collection: makes them, replaces those of another language, and updates older points."""

    def __init__(self, calls: QdrantCalls, name: str, language: str) -> None:
        self._calls = calls
        self._name = name
        self._indexes = _indexes(Language.of(language))
        self._ready = False
        self._refused_until = 0.0

    async def backfill(self) -> int:
        """Update some points of an earlier version; see `VectorStore`.

        Does not change a point that another process writes at the same time. Does nothing on a server that is too
        old.
        """
        if not await self.try_to_ensure():
            return 0
        points, _ = await self._calls.run(
            lambda client: client.scroll(
                self._name,
                scroll_filter=models.Filter(must=[_OLD]),
                limit=BACKFILL_BATCH,
                with_payload=["metadata", EXACT],
            )
        )
        changes: list[Any] = [_change(point) for point in points]
        if changes:
            await self._calls.write(lambda client: client.batch_update_points(self._name, changes, wait=True))
        return len(changes)

    async def ensure(self) -> None:
        """Make missing indexes, replace those of another language, and check that the server can rank by them.

        Raises StoreUnavailable, also if the server is too old.
        """
        if self._ready:
            return
        if monotonic() < self._refused_until:
            raise StoreUnavailable(_TOO_OLD)
        await self._check_version()
        state = await self._calls.run(lambda client: client.get_collection(self._name))
        wait = (state.points_count or 0) <= _WAITED_FOR
        for path, wanted in self._indexes.items():
            index = state.payload_schema.get(path)
            if index is not None and _traits(index.params) == _traits(wanted):
                continue
            if index is not None:
                await self._delete(path)
            await self._create(path, wanted, wait=wait)
        self._ready = True

    async def try_to_ensure(self) -> bool:
        """Call `ensure` and return whether it succeeded; if not, the next keyword search tries again."""
        try:
            await self.ensure()
        except StoreUnavailable as error:
            get_logger().warning("keyword_search_unavailable", reason=str(error))
            return False
        return True

    async def _create(self, path: str, wanted: models.TextIndexParams, *, wait: bool) -> None:
        await self._calls.write(
            lambda client: client.create_payload_index(self._name, field_name=path, field_schema=wanted, wait=wait)
        )

    async def _delete(self, path: str) -> None:
        await self._calls.write(lambda client: client.delete_payload_index(self._name, field_name=path, wait=True))

    async def _check_version(self) -> None:
        # An older server makes the indexes too, and ignores the parameters that it does not know.
        version = (await self._calls.run(lambda client: client.info())).version
        numbers = _VERSION.match(version)
        if numbers is not None and tuple(map(int, numbers.groups())) < RANKS_TEXT_SINCE:
            self._refused_until = monotonic() + _RECHECK
            raise StoreUnavailable(f"{_TOO_OLD} It is {version}.")


def _change(point: models.Record) -> models.SetPayloadOperation:
    payload = keyword_fields(payload_metadata(point.payload or {}))
    # Unless the point was written since it was read.
    still_old = models.Filter(must=[models.HasIdCondition(has_id=[point.id]), _OLD])
    return models.SetPayloadOperation(set_payload=models.SetPayload(payload=payload, filter=still_old))


def _indexes(language: Language) -> dict[str, models.TextIndexParams]:
    stopwords = models.Language(language.stopwords) if language.stopwords else None
    return {
        WORDS: models.TextIndexParams(
            type=models.TextIndexType.TEXT,
            tokenizer=models.TokenizerType.MULTILINGUAL,
            lowercase=True,
            ascii_folding=True,
            stemmer=_stemmer(language),
            stopwords=stopwords,
            scoring=True,
        ),
        PREFIXES: models.TextIndexParams(
            type=models.TextIndexType.TEXT,
            tokenizer=models.TokenizerType.PREFIX,
            min_token_len=SHORTEST_PREFIX,
            max_token_len=LONGEST_PREFIX,
            lowercase=True,
            ascii_folding=True,
            stopwords=stopwords,
            scoring=True,
        ),
    }


def _stemmer(language: Language) -> models.SnowballParams | None:
    if language.stemmer is None:
        return None
    return models.SnowballParams(type=models.Snowball.SNOWBALL, language=models.SnowballLanguage(language.stemmer))


def _traits(params: Any) -> tuple[object, ...]:
    """Return the parameters in which an index must equal the wanted one."""
    stopwords: Any = params.stopwords
    if isinstance(stopwords, models.StopwordsSet):
        # Qdrant may return a single language as a set.
        stopwords = next(iter(stopwords.languages or ()), None)
    language = getattr(params.stemmer, "language", None)
    return params.tokenizer, language, stopwords, params.max_token_len, bool(params.scoring)
