"""Answers that would be large: read in steps, refused as soon as they are too large, metadata taken over as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from image_similarity.domain.errors import AnswerTooLarge
from image_similarity.domain.queries import SearchOptions
from image_similarity.domain.records import ImageRecord, Page
from image_similarity.engine import answer_size
from tests.support.engines import running_engine
from tests.support.records import record


async def test_metadata_of_many_results_is_read_in_steps_up_to_the_answers_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_engine(tmp_path) as rig:
        store = rig.engine._vectors
        metadata = {"kind": "x" * 1000, "deep": {"number": 2**63, "none": None}}
        vectors = np.random.default_rng(0).normal(size=(200, rig.engine.model.spec.dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        points = [(record(str(number), metadata), vector) for number, vector in enumerate(vectors)]
        await store.upsert(points)
        whole = SearchOptions(top_k=200, threshold=-1.0)
        answer = await rig.engine.search_by_id("0", whole)
        again = await rig.engine.search_by_id("0", whole)
        assert len(answer.matches) == len(again.matches) == 199
        assert {orjson.dumps(match.metadata) for match in answer.matches} == {orjson.dumps(metadata)}
        assert again.cached
        assert again.texts == answer.texts
        grouped = await rig.engine.search_by_id("0", replace(whole, group_by="kind", group_size=100))
        assert grouped.matches[0].metadata == metadata
        bare = await rig.engine.search_by_id("0", replace(whole, with_metadata=False))
        assert {match.metadata for match in bare.matches} == {None}

        monkeypatch.setattr(answer_size, "MAX_ANSWER_BYTES", 50_000)
        read: list[int] = []
        get_many = store.get_many

        async def noting(image_ids: Sequence[str]) -> dict[str, ImageRecord]:
            read.append(len(image_ids))
            return await get_many(image_ids)

        monkeypatch.setattr(store, "get_many", noting)
        with pytest.raises(AnswerTooLarge, match="top_k"):
            await rig.engine.search_by_id("1", whole)
        assert read == [answer_size.READ_FIRST, answer_size.READ_AT_ONCE]
        # The name of the group, which each hit repeats, counts as well.
        with pytest.raises(AnswerTooLarge, match="top_k"):
            await rig.engine.search_by_id("1", replace(whole, with_metadata=False, group_by="kind", group_size=100))
        pages: list[int] = []
        scroll = store.scroll

        async def counting(*, limit: int, cursor: str | None = None) -> Page:
            pages.append(limit)
            return await scroll(limit=limit, cursor=cursor)

        monkeypatch.setattr(store, "scroll", counting)
        with pytest.raises(AnswerTooLarge, match="limit"):
            await rig.engine.list_images(limit=200)
        assert pages == [answer_size.READ_FIRST, answer_size.READ_AT_ONCE]
        monkeypatch.setattr(answer_size, "MAX_ANSWER_BYTES", 10**9)
        monkeypatch.setattr(answer_size, "READ_BYTES", 3500)
        read.clear()
        await rig.engine.search_by_id("2", whole)
        assert read == [answer_size.READ_FIRST, *[3] * 61]
        page = await rig.engine.list_images(limit=150)
        rest = await rig.engine.list_images(limit=150, cursor=page.next_cursor)
        listed = [image.image_id for image in (*page.records, *rest.records)]
        assert (len(page.records), len(listed), len(set(listed)), rest.next_cursor) == (150, 200, 200, None)
