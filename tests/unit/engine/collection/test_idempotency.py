"""The same request sent again under its key: answered as the first attempt was to be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from image_similarity.domain.errors import ImageExists, ImageNotFound, StoreUnavailable
from image_similarity.engine.collection import idempotency as repeats
from image_similarity.engine.collection.idempotency import Repeats, Request
from image_similarity.storage.objects import Objects
from tests.support.engines import BLUE, RED, EngineUnderTest, digest, found, running_engine


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineUnderTest]:
    async with running_engine(tmp_path) as rig:
        yield rig


@pytest.mark.parametrize("undo_seconds", [0, 60])
async def test_a_deletion_that_was_done_is_answered_as_done_under_its_key_alone(
    rig: EngineUnderTest, undo_seconds: float
) -> None:
    await rig.engine.index_image(RED, image_id="a")
    until = await rig.engine.delete_image("a", undo_seconds=undo_seconds, request_key="k")
    assert (until is None) == (undo_seconds == 0)
    assert await rig.engine.delete_image("a", undo_seconds=undo_seconds, request_key="k") == until

    for key in ("another", None):
        with pytest.raises(ImageNotFound):
            await rig.engine.delete_image("a", undo_seconds=undo_seconds, request_key=key)
    with pytest.raises(ImageNotFound):
        await rig.engine.delete_image("b", undo_seconds=undo_seconds, request_key="k")


async def test_a_deletion_that_was_begun_and_not_done_is_done_by_its_repetition(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.engine.index_image(RED, image_id="a")

    async def fail(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(rig.vectors, "delete", fail)
        with pytest.raises(StoreUnavailable):
            await rig.engine.delete_image("a", request_key="k")
    assert await found(rig) == ["a"]
    await rig.engine.delete_image("a", request_key="k")
    assert await found(rig) == []


async def test_a_restoration_that_was_done_is_done_again_under_its_key_alone(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a")
    await rig.engine.delete_image("a", undo_seconds=60)
    restored = await rig.engine.restore_image("a", request_key="k")
    assert await rig.engine.restore_image("a", request_key="k") == restored

    for key in ("another", None):
        with pytest.raises(ImageExists):
            await rig.engine.restore_image("a", request_key=key)
    # Not if the image is another by now.
    await rig.engine.index_image(BLUE, image_id="a")
    with pytest.raises(ImageExists):
        await rig.engine.restore_image("a", request_key="k")
    assert (await rig.engine.get_image("a")).sha256 == digest(BLUE)


async def test_requests_are_forgotten_when_nobody_sends_them_again(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, request = Repeats(objects, collection="photos"), Request("delete", "a", "k")
    assert await log.begin(request, {"until": None})
    assert not await log.begin(request, {"until": "later"})
    assert await log.sweep() == 0
    assert await log.find(request) == {"until": None}

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(UTC) + timedelta(seconds=repeats.KEEP_SECONDS + 60)

    monkeypatch.setattr(repeats, "datetime", Later)
    assert await log.sweep() == 1
    assert await log.find(request) is None
