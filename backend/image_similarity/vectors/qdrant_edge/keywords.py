"""Keyword search in Qdrant Edge: the ranking, and the indexes that it needs."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

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

_OLD = edge.Filter(must=[edge.IsEmptyCondition(WORDS)])


def word_ranking(text: str, top_k: int, condition: edge.Filter | None) -> edge.Prefetch:
    """Return the ranking by BM25: whole words, and with less weight words that begin with the last one."""
    looked_at = candidates(top_k)
    text = normalised(text)
    score = edge.Expression.Sum(
        [
            edge.Expression.Variable("$score[0]"),
            edge.Expression.Mult([edge.Expression.Constant(PREFIX_WEIGHT), edge.Expression.Variable("$score[1]")]),
        ]
    )
    return edge.Prefetch(
        top_k,
        edge.Formula(score, {"$score[0]": 0.0, "$score[1]": 0.0}),
        prefetches=[
            edge.Prefetch(looked_at, edge.TextQuery(path, asked), filter=condition)
            for path, asked in ((WORDS, text), (PREFIXES, unfinished(text)))
        ],
    )


def ensure_text_indexes(shard: edge.EdgeShard, language: str) -> None:
    """Make the text indexes; replace those of another language."""
    present = shard.info().payload_schema
    for path, wanted in _indexes(Language.of(language)).items():
        index: Any = present.get(path)
        if index is not None and _same(index.params, wanted):
            continue
        if index is not None:
            shard.update(edge.UpdateOperation.delete_field_index(path))
        shard.update(edge.UpdateOperation.create_field_index(path, wanted))


def backfill(shard: edge.EdgeShard) -> int:
    """Update some points of an earlier version; return how many."""
    request = edge.ScrollRequest(limit=BACKFILL_BATCH, filter=_OLD, with_payload=["metadata", EXACT])
    points, _ = shard.scroll(request)
    for point in points:
        fields = keyword_fields(payload_metadata(point.payload or {}))
        shard.update(edge.UpdateOperation.set_payload([point.id], fields))
    return len(points)


def _indexes(language: Language) -> dict[str, edge.TextIndexParams]:
    stopwords = getattr(edge.Language, language.stopwords.title()) if language.stopwords else None
    return {
        WORDS: edge.TextIndexParams(
            tokenizer=edge.TokenizerType.Multilingual,
            lowercase=True,
            ascii_folding=True,
            stemmer=_stemmer(language),
            stopwords=stopwords,
            scoring=True,
        ),
        PREFIXES: edge.TextIndexParams(
            tokenizer=edge.TokenizerType.Prefix,
            min_token_len=SHORTEST_PREFIX,
            max_token_len=LONGEST_PREFIX,
            lowercase=True,
            ascii_folding=True,
            stopwords=stopwords,
            scoring=True,
        ),
    }


def _stemmer(language: Language) -> edge.SnowballParams | edge.DisabledStemmer:
    if language.stemmer is None:
        return edge.DisabledStemmer()
    return edge.SnowballParams(getattr(edge.SnowballLanguage, language.stemmer.title()))


def _same(present: edge.TextIndexParams, wanted: edge.TextIndexParams) -> bool:
    return _traits(present) == _traits(wanted)


def _traits(params: edge.TextIndexParams) -> tuple[object, ...]:
    language = params.stemmer.language if isinstance(params.stemmer, edge.SnowballParams) else None
    return str(params.tokenizer), str(language), str(params.stopwords), params.max_token_len, params.scoring is not None
