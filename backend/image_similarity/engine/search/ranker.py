"""Turn a query for the store into the matches of the answer.

The order: get candidates that reach the threshold from the store, diversified if requested; collapse near-identical
ones; group; take the best.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.filters import AllOf, Exists
from image_similarity.domain.queries import AUTO, MAX_DIVERSE, SearchOptions
from image_similarity.domain.records import Embedding, Match
from image_similarity.engine.answer_size import ASK_LESS, READ_FIRST, check_answer, next_part
from image_similarity.engine.search.auto_threshold import FALSE_ALARMS, FALSE_ALARMS_OF_TEXTS, WINDOW, score_cut
from image_similarity.engine.search.diversity import candidate_count, diversify
from image_similarity.engine.search.duplicates import collapse
from image_similarity.engine.search.groups import group, has_group
from image_similarity.vectors.base import StoreQuery, VectorStore, is_cosine
from image_similarity.vectors.examples import direction_of

BACKGROUND = 256
"""Randomly chosen images whose scores show how a query scores with any image."""

MOST_CANDIDATES = 2000
"""Most candidates in which distinct pictures or groups are searched."""

_FEWEST_CANDIDATES = 64
_GROWTH = 4
"""Factor by which the number of candidates grows if too few results were left."""

_FETCHED_AT_ONCE = 64
"""Embeddings to fetch at a time: reading one from a store's answer blocks the event loop for 50 microseconds."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The selected matches of a ranking."""

    matches: list[Match]
    threshold: float | None
    """The lowest score that was allowed; None if any was."""
    texts: Sequence[bytes] | None = None
    """The metadata of each match as JSON; None if it was not requested."""


class Ranker:
    """Queries a store, and applies the search options to its ranking.

    `alike` is the cosine from which on two images count as the same picture. Raises InvalidRequest for diversity with a
    ranking by anything but one vector, and for an automatic threshold with keywords; AnswerTooLarge, StoreUnavailable.
    """

    def __init__(self, vectors: VectorStore, *, alike: float) -> None:
        self._vectors = vectors
        self._alike = alike

    async def of(
        self, wanted: StoreQuery, options: SearchOptions, *, exclude: Sequence[str], by_texts: bool = False
    ) -> Selected:
        """Return the matches; a search without options takes one request to the store.

        `by_texts`: the query consists of texts alone, so an automatic threshold is more lenient.
        """
        selected = await self._select(wanted, options, exclude, by_texts=by_texts)
        if not options.with_metadata:
            return selected
        if all(match.metadata is not None for match in selected.matches):
            return replace(selected, texts=[orjson.dumps(match.metadata) for match in selected.matches])
        return await self._with_metadata(selected)

    async def _with_metadata(self, selected: Selected) -> Selected:
        """Return the matches that still exist with their metadata as JSON. Raises AnswerTooLarge before all is read."""
        matches: list[Match] = []
        texts: list[bytes] = []
        read = size = 0
        while read < len(selected.matches):
            some = selected.matches[read : read + next_part(read, size)]
            records = await self._vectors.get_many([match.image_id for match in some])
            read += len(some)
            there = [match for match in some if match.image_id in records]
            matches += there
            texts += [orjson.dumps(records[match.image_id].metadata) for match in there]
            size = sum(map(len, texts))
            check_answer(size, ASK_LESS)
        return replace(selected, matches=matches, texts=texts)

    async def _select(
        self, wanted: StoreQuery, options: SearchOptions, exclude: Sequence[str], *, by_texts: bool
    ) -> Selected:
        search = _Search(self._vectors, wanted, options, exclude, _Embeddings(self._vectors))
        if not isinstance(options.threshold, str):
            return Selected(await self._choose(search, options.threshold), options.threshold)
        nearest, threshold = await self._gap(search, FALSE_ALARMS_OF_TEXTS if by_texts else FALSE_ALARMS)
        if search.plain and (options.top_k <= len(nearest) or len(nearest) < WINDOW):
            # No further candidate can be part of the answer.
            kept = [match for match in nearest if threshold is None or match.score >= threshold]
            return Selected(kept[: options.top_k], threshold)
        return Selected(await self._choose(search, threshold), threshold)

    async def _gap(self, search: _Search, false_alarms: float) -> tuple[list[Match], float | None]:
        """Return the nearest images, and the score at which to cut them."""
        wanted = search.wanted
        if not is_cosine(wanted):
            raise InvalidRequest(f'A threshold "{AUTO}" goes with a search by looks alone, not with keywords.')
        direction = direction_of(wanted)
        if direction is None:
            nearest = await search.nearest(WINDOW)
            return nearest, score_cut([match.score for match in nearest], None, images=1)
        nearest, background, state = await asyncio.gather(
            search.nearest(WINDOW), self._vectors.sample(BACKGROUND), self._vectors.info()
        )
        sample = np.array([vector @ direction for vector in background], np.float64)
        scores = [match.score for match in nearest]
        cut = score_cut(scores, sample, images=state.images, alike=self._alike, false_alarms=false_alarms)
        return nearest, cut

    async def _choose(self, search: _Search, threshold: float | None) -> list[Match]:
        """Return the matches, from more and more candidates until there are enough distinct ones, or groups."""
        options = search.options
        if not options.collapse_duplicates and options.group_by is None:
            return await search.ask(options.top_k, threshold)
        most = MAX_DIVERSE if options.diversity else MOST_CANDIDATES
        hits = options.top_k * (options.group_size if options.group_by is not None else 1)
        size = min(most, max(_FEWEST_CANDIDATES, 2 * hits))
        while True:
            candidates = await search.ask(size, threshold)
            chosen = candidates
            if options.collapse_duplicates:
                vectors = await search.embeddings.of(candidates)
                # In a thread, because a thousand candidates take tens of milliseconds.
                chosen = await asyncio.to_thread(collapse, candidates, vectors, alike=self._alike)
            matches, enough = _best(chosen, options)
            if enough or len(candidates) < size:
                return matches
            if search.mostly_ungrouped(candidates):
                search = replace(search, only_grouped=True)
            elif size == most:
                return matches
            else:
                size = min(most, _GROWTH * size)


class _Embeddings:
    """The embeddings of the candidates of one search, each fetched once."""

    def __init__(self, vectors: VectorStore) -> None:
        self._vectors = vectors
        self._known: dict[str, Embedding] = {}

    async def of(self, matches: Sequence[Match]) -> dict[str, Embedding]:
        """Return the embeddings by image id: of all matches that still exist, and perhaps of others."""
        unknown = [match.image_id for match in matches if match.image_id not in self._known]
        for start in range(0, len(unknown), _FETCHED_AT_ONCE):
            self._known |= await self._vectors.get_vectors(unknown[start : start + _FETCHED_AT_ONCE])
        return self._known


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """A search that is repeated with different limits."""

    vectors: VectorStore
    wanted: StoreQuery
    options: SearchOptions
    exclude: Sequence[str]
    embeddings: _Embeddings
    only_grouped: bool = False
    """Whether to query only images that have the field to group by. This saves candidates, but the store must read the
    metadata of every image."""

    @property
    def plain(self) -> bool:
        """Whether the store's ranking is the answer, without further steps."""
        options = self.options
        return not options.diversity and not options.collapse_duplicates and options.group_by is None

    async def ask(self, size: int, threshold: float | None) -> list[Match]:
        """Return up to `size` candidates, in the order of the answer."""
        diversity = self.options.diversity
        if not diversity:
            return await self._query(self.wanted, size, threshold)
        direction = direction_of(self.wanted)
        if direction is None:
            raise InvalidRequest("Diversity works only with a search for the nearest images, not with this ranking.")
        nearest = await self._query(direction, candidate_count(size), threshold)
        vectors = await self.embeddings.of(nearest)
        # In a thread, because it takes milliseconds.
        return await asyncio.to_thread(diversify, nearest, vectors, direction, diversity=diversity, top_k=size)

    async def nearest(self, size: int) -> list[Match]:
        """Return the best candidates by their score."""
        return await self._query(self.wanted, size, None)

    async def _query(self, wanted: StoreQuery, size: int, threshold: float | None) -> list[Match]:
        options, condition = self.options, self.options.filter
        if self.only_grouped and options.group_by is not None:
            has_field = Exists(options.group_by)
            condition = has_field if condition is None else AllOf((condition, has_field))
        return await self.vectors.query(
            wanted,
            top_k=size,
            threshold=threshold,
            condition=condition,
            with_metadata=options.with_metadata and size <= READ_FIRST,
            field=options.group_by,
            exclude=self.exclude,
        )

    def mostly_ungrouped(self, candidates: Sequence[Match]) -> bool:
        """Return whether most candidates lack the field to group by, so that a filter on the field helps."""
        by = self.options.group_by
        return (
            by is not None
            and not self.only_grouped
            and sum(has_group(match, by, self.options.group_step) for match in candidates) < len(candidates) / 2
        )


def _best(matches: list[Match], options: SearchOptions) -> tuple[list[Match], bool]:
    """Return the matches of the answer, and whether more candidates could not add to it."""
    if options.group_by is None:
        return matches[: options.top_k], len(matches) >= options.top_k
    by, step = options.group_by, options.group_step
    groups = group(matches, by, top_k=options.top_k, size=options.group_size, step=step)
    # The metadata is incomplete: it holds only the field to group by.
    answered = [replace(match, metadata=None) for match in groups.matches]
    return answered, groups.full and len(groups.hits) == options.top_k
