"""What keyword search reads of an image and how it ranks; the same in the embedded store and on a server.

Both rank by BM25 over Qdrant's text indexes. An index is one way of cutting a text into terms, and two are wanted:
*words*, reduced to their stem, and *prefixes*, so that the last word is found while it is still being typed. So the
text is in the payload twice, each time under the index that reads it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from image_similarity.domain.records import Metadata

KEYWORDS = "keywords"
"""Payload field of what keyword search reads. Every image has it, also one without any text: so a point that lacks it
was written by an earlier version, and nothing else was."""

WORDS = f"{KEYWORDS}.words"
PREFIXES = f"{KEYWORDS}.prefixes"

PREFIX_WEIGHT = 0.25
"""What a match by prefix counts beside one of the whole word (which is its own prefix too, and so has both). Enough to
rank by where nothing else is there, and so little that the last word of many does not outdo the others."""

SHORTEST_PREFIX = 2
LONGEST_PREFIX = 20
"""Characters; a longer word is found by its stem only."""

RRF_K = 60
"""Of reciprocal rank fusion: a rank, from 0 as Qdrant counts, is worth 1 / (k + rank). Cormack, Clarke & Büttcher,
"Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods", SIGIR 2009, where 60 was found to
do well everywhere."""

BACKFILL_BATCH = 256
"""Points of an earlier version that are brought up to date at once."""

NO_LANGUAGE = "none"
"""Words are taken as they are, and none is too common to count."""

_WITHOUT_STOPWORDS = {"armenian", "tamil"}
"""Languages that Qdrant can stem but knows no common words of."""


@dataclass(frozen=True, slots=True)
class KeywordQuery:
    """Words to look for in descriptions and tags; ranked by BM25, whole words before what begins with the last one."""

    text: str


@dataclass(frozen=True, slots=True)
class Language:
    """What of a language the indexes use; names as Qdrant writes them."""

    stemmer: str | None
    stopwords: str | None

    @classmethod
    def of(cls, name: str) -> Language:
        """Return what the setting KEYWORD_LANGUAGE means."""
        if name == NO_LANGUAGE:
            return cls(None, None)
        return cls(name, None if name in _WITHOUT_STOPWORDS else name)


def keyword_fields(metadata: Metadata) -> dict[str, Any]:
    """Return the payload field that keyword search reads, made from an image's metadata."""
    text = keyword_text(metadata)
    return {KEYWORDS: {"words": text, "prefixes": text}}


def keyword_text(metadata: Metadata) -> str:
    """Return an image's description and tags as one text; empty where it has neither."""
    return normalised("\n".join([*_texts(metadata.get("description")), *_texts(metadata.get("tags"))]))


def normalised(text: str) -> str:
    """Return the text in the form that is indexed and asked for: letters and their accents as one character each."""
    return unicodedata.normalize("NFKC", text)


def unfinished(text: str) -> str:
    """Return the last word of a text, which may still be typed: it alone is looked for as the beginning of others.

    Any other word is whole. As a beginning, "the" would find "theater" and, being the beginning of little else, count
    for more than "man" in "the man". What follows a space ends the text: after a full stop that stands alone no word is
    unfinished.
    """
    return text.split()[-1] if text.strip() else ""


def candidates(top_k: int) -> int:
    """Return how many hits of each ranking are looked at where several become one."""
    return max(100, 4 * top_k)


def _texts(value: object) -> Iterator[str]:
    """Yield what is text; metadata is the caller's own, and anything may stand there."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (element for element in value if isinstance(element, str))
