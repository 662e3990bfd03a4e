"""The text and the ranking of keyword search; shared by both stores.

Both rank by BM25 over Qdrant's text indexes. An index has one way to split a text into terms, and keyword search needs
two: *words*, reduced to their stem, and *prefixes*, which match the last word while the user is still typing it. So the
payload contains the text twice, once per index.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from image_similarity.domain.records import Metadata

KEYWORDS = "keywords"
"""Payload field for keyword search. Every image has it, even without any text: so a point without it was written by an
earlier version."""

WORDS = f"{KEYWORDS}.words"
PREFIXES = f"{KEYWORDS}.prefixes"

PREFIX_WEIGHT = 0.25
"""Weight of a match by prefix relative to one of a whole word (which matches as a prefix too, and so gets both). Enough
to rank by if nothing else matches, but so little that the last word does not outweigh the others."""

SHORTEST_PREFIX = 2
LONGEST_PREFIX = 20
"""Characters; a longer word matches only by its stem."""

RRF_K = 60
"""The k of reciprocal rank fusion: the score of a rank, counted from 0 as in Qdrant, is 1 / (k + rank). Cormack, Clarke
& Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods", SIGIR 2009, found that
60 does well on all their data."""

BACKFILL_BATCH = 256
"""Points of an earlier version that one call of `backfill` updates."""

NO_LANGUAGE = "none"
"""No stemming and no stopwords."""

_WITHOUT_STOPWORDS = {"armenian", "tamil"}
"""Languages that Qdrant can stem but has no stopwords for."""


@dataclass(frozen=True, slots=True)
class KeywordQuery:
    """Words to find in descriptions and tags; ranked by BM25, whole words above words that begin with the last one."""

    text: str


@dataclass(frozen=True, slots=True)
class Language:
    """Stemmer and stopwords of a language, by Qdrant's names; None for none."""

    stemmer: str | None
    stopwords: str | None

    @classmethod
    def of(cls, name: str) -> Language:
        """Return the language of a value of the setting KEYWORD_LANGUAGE."""
        if name == NO_LANGUAGE:
            return cls(None, None)
        return cls(name, None if name in _WITHOUT_STOPWORDS else name)


def keyword_fields(metadata: Metadata) -> dict[str, Any]:
    """Return the payload field of keyword search for an image's metadata."""
    text = keyword_text(metadata)
    return {KEYWORDS: {"words": text, "prefixes": text}}


def keyword_text(metadata: Metadata) -> str:
    """Return an image's description and tags as one text; empty if it has neither."""
    return normalised("\n".join([*_texts(metadata.get("description")), *_texts(metadata.get("tags"))]))


def normalised(text: str) -> str:
    """Return the text in NFKC form, as it is indexed and searched: a letter with its accent is one character."""
    return unicodedata.normalize("NFKC", text)


def unfinished(text: str) -> str:
    """Return the last word of a text, which the user may still be typing: only this word is searched as a prefix.

    All other words are complete. As a prefix, "the" would find "theater" and, because it begins few words, count for
    more than "man" in "the man". Words are split at spaces: if the text ends in a separate full stop, the result is
    the full stop, and no word is searched as a prefix.
    """
    return text.split()[-1] if text.strip() else ""


def candidates(top_k: int) -> int:
    """Return how many hits of each ranking are fused."""
    return max(100, 4 * top_k)


def _texts(value: object) -> Iterator[str]:
    """Yield the texts of a value or a list; metadata comes from callers, so other types may occur."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (element for element in value if isinstance(element, str))
