"""Bytes that changed at rest: they are never handed out as the image, and indexing the image again mends them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from image_similarity.domain import ImageDamaged, ImageNotFound
from image_similarity.storage import ImageStorage
from tests.support.engines import RED, running_engine

DIGEST = hashlib.sha256(RED).hexdigest()

DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda _: b"",
    lambda data: data[:-9],
    lambda data: data[:-1] + bytes([data[-1] ^ 1]),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=["empty", "torn", "one bit"])
async def test_a_damaged_original_is_an_error_until_the_image_is_indexed_again(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="red")
        record = await rig.engine.get_image("red")
        path = tmp_path / "images" / "originals" / DIGEST[:2] / DIGEST
        path.write_bytes(damage(RED))
        with pytest.raises(ImageDamaged, match="Index it again"):
            await rig.engine.original(record)
        assert (await rig.engine.index_image(RED, image_id="red")).changed
        assert await rig.engine.original(record) == RED
        assert not (await rig.engine.index_image(RED, image_id="red")).changed


async def test_an_empty_thumbnail_is_none_until_the_image_is_indexed_again(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="red")
        record = await rig.engine.get_image("red")
        whole = await rig.engine.thumbnail(record)
        (tmp_path / "images" / "thumbnails" / DIGEST[:2] / f"{DIGEST}.webp").write_bytes(b"")
        with pytest.raises(ImageNotFound):
            await rig.engine.thumbnail(record)
        await rig.engine.index_image(RED, image_id="red")
        assert await rig.engine.thumbnail(record) == whole


async def test_damage_is_counted(tmp_path: Path) -> None:
    seen: list[str] = []
    storage = ImageStorage.open(None, default=tmp_path, store_originals=True, on_damage=lambda: seen.append("damage"))
    await storage.save(DIGEST, RED, b"thumbnail")
    assert await storage.original(DIGEST) == RED
    (tmp_path / "originals" / DIGEST[:2] / DIGEST).write_bytes(RED[:-1])
    with pytest.raises(ImageDamaged):
        await storage.original(DIGEST)
    assert seen == ["damage"]
