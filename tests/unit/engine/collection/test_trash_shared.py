"""Bytes that several collections share: what one deletes, another may still need."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs

from tests.support.engines import BLUE, RED, digest, running_engine


async def test_bytes_that_another_collection_may_need_are_kept(tmp_path: Path) -> None:
    async with running_engine(tmp_path / "one", collection="one", images=tmp_path / "images") as one:
        await one.engine.index_image(RED, image_id="red")
        await one.engine.index_image(BLUE, image_id="blue")
        await one.engine.delete_image("blue", undo_seconds=0)
        assert one.stored() == {digest(RED)}
        async with running_engine(tmp_path / "two", collection="two", images=tmp_path / "images") as two:
            await two.engine.index_image(RED, image_id="red")
            with capture_logs() as logs:
                for rig in (one, two):
                    await rig.engine.delete_image("red", undo_seconds=0)
                    assert await rig.trash.sweep() == 0
                    assert rig.stored() == {digest(RED)}
            shared = [line["collections"] for line in logs if line["event"] == "storage_shared"]
            assert shared == [["two"], ["one"]]


async def test_a_collection_that_has_not_been_opened_since_keeps_its_bytes_too(tmp_path: Path) -> None:
    async with running_engine(tmp_path, neighbours={"older", "photos"}) as rig:
        await rig.engine.index_image(RED, image_id="red")
        await rig.engine.delete_image("red", undo_seconds=0)
        assert rig.stored() == {digest(RED)}
