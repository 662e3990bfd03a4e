"""The Qdrant stand-in's queries and text indexes: the client's models in the words of Qdrant Edge, and back."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from tests.support.qdrant_conditions import to_edge
from tests.support.qdrant_refusal import Refused, only

_TOKENIZERS = {
    models.TokenizerType.PREFIX: edge.TokenizerType.Prefix,
    models.TokenizerType.MULTILINGUAL: edge.TokenizerType.Multilingual,
    models.TokenizerType.WORD: edge.TokenizerType.Word,
}


def to_edge_query(query: Any, using: str | None) -> Any:
    """Translate a query; what the stand-in does not know is refused."""
    match query:
        case list() | models.NearestQuery(nearest=list(), mmr=None):
            vector = query if isinstance(query, list) else query.nearest
            if using is None:
                raise Refused(400, "The stand-in knows named vectors only.")
            return edge.Query.Nearest(vector, using=using)
        case (
            models.TextQuery(text=str() as text)
            | models.TextQuery(text=models.TextQueryInput(query=str() as text, scoring=None))
        ):
            if using is None:
                raise Refused(400, "A text query names its field in `using`.")
            return edge.TextQuery(using, text)
        case models.RecommendQuery() | models.RelevanceFeedbackQuery():
            return _by_examples(query, using)
        case models.RrfQuery(rrf=models.Rrf(k=k, weights=None)):
            return edge.Fusion.Rrf(k if k is not None else 2)
        case models.FormulaQuery(formula=formula, defaults=defaults):
            return edge.Formula(_expression(formula), defaults or {})
    raise Refused(400, f"The stand-in does not know the query {query!r}.")


def _by_examples(query: Any, using: str | None) -> Any:
    match query:
        case models.RecommendQuery(recommend=asked):
            examples = edge.RecommendQuery(_vectors(asked.positive or []), _vectors(asked.negative or []))
            if asked.strategy is models.RecommendStrategy.BEST_SCORE:
                return edge.Query.RecommendBestScore(examples, using=using)
            if asked.strategy is models.RecommendStrategy.SUM_SCORES:
                return edge.Query.RecommendSumScores(examples, using=using)
        case models.RelevanceFeedbackQuery(relevance_feedback=asked):
            formula = asked.strategy.naive
            feedback = edge.FeedbackNaiveQuery(
                *_vectors([asked.target]),
                [edge.FeedbackItem(*_vectors([item.example]), item.score) for item in asked.feedback],
                edge.NaiveFeedbackStrategy(formula.a, formula.b, formula.c),
            )
            return edge.Query.FeedbackNaive(feedback, using=using)
    raise Refused(400, f"The stand-in does not know the query {query!r}.")


def _vectors(examples: list[Any]) -> list[Any]:
    if not all(isinstance(example, list) for example in examples):
        raise Refused(400, "The stand-in knows examples as vectors only.")
    return examples


def _expression(expression: Any) -> Any:
    match expression:
        case str():
            return edge.Expression.Variable(expression)
        case int() | float():
            return edge.Expression.Constant(float(expression))
        case models.SumExpression(sum=parts):
            return edge.Expression.Sum([_expression(part) for part in parts])
        case models.MultExpression(mult=parts):
            return edge.Expression.Mult([_expression(part) for part in parts])
    raise Refused(400, f"The stand-in does not know the expression {expression!r}.")


def to_edge_index(params: models.TextIndexParams) -> edge.TextIndexParams:
    stemmer = params.stemmer
    stopwords = params.stopwords
    return edge.TextIndexParams(
        tokenizer=_TOKENIZERS[params.tokenizer or models.TokenizerType.WORD],
        min_token_len=params.min_token_len,
        max_token_len=params.max_token_len,
        lowercase=params.lowercase,
        ascii_folding=params.ascii_folding,
        stemmer=edge.SnowballParams(getattr(edge.SnowballLanguage, stemmer.language.value.title()))
        if isinstance(stemmer, models.SnowballParams)
        else None,
        stopwords=getattr(edge.Language, stopwords.value.title()) if isinstance(stopwords, models.Language) else None,
        scoring=bool(params.scoring),
    )


def from_edge_index(params: edge.TextIndexParams) -> models.TextIndexParams:
    tokenizers = {str(ours): theirs for theirs, ours in _TOKENIZERS.items()}
    stemmer = params.stemmer
    return models.TextIndexParams(
        type=models.TextIndexType.TEXT,
        tokenizer=tokenizers[str(params.tokenizer)],
        min_token_len=params.min_token_len,
        max_token_len=params.max_token_len,
        lowercase=params.lowercase,
        ascii_folding=params.ascii_folding,
        stemmer=models.SnowballParams(
            type=models.Snowball.SNOWBALL, language=models.SnowballLanguage(_name(stemmer.language))
        )
        if isinstance(stemmer, edge.SnowballParams)
        else None,
        stopwords=None if params.stopwords is None else models.Language(_name(params.stopwords)),
        scoring=None if params.scoring is None else True,
    )


def _name(member: object) -> str:
    """Return the name of a member of one of Edge's enumerations, as the client writes it."""
    return str(member).rpartition(".")[2].lower()


def to_edge_prefetches(given: Any) -> list[edge.Prefetch]:
    listed: list[models.Prefetch] = given if isinstance(given, list) else [given] if given is not None else []
    for prefetch in listed:
        only(prefetch, "query", "prefetch", "using", "filter", "params", "score_threshold", "limit")
    return [
        edge.Prefetch(
            10 if prefetch.limit is None else prefetch.limit,
            to_edge_query(prefetch.query, prefetch.using),
            prefetches=to_edge_prefetches(prefetch.prefetch),
            params=to_edge_params(prefetch.params),
            filter=to_edge(prefetch.filter),
            score_threshold=prefetch.score_threshold,
        )
        for prefetch in listed
    ]


def to_edge_params(given: models.SearchParams | None) -> edge.SearchParams:
    params = given or models.SearchParams()
    only(params, "hnsw_ef", "exact", "quantization")
    return edge.SearchParams(hnsw_ef=params.hnsw_ef, exact=params.exact or False)


def to_edge_payload(wanted: Any) -> Any:
    match wanted:
        case bool():
            return wanted
        case list():
            return edge.PayloadSelector.Include(wanted)
        case models.PayloadSelectorInclude(include=keys):
            return edge.PayloadSelector.Include(keys)
    raise Refused(400, f"The stand-in does not know the payload selector {wanted!r}.")
