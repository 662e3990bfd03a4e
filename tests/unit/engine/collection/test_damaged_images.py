"""Bytes that changed at rest: they are never handed out as the image, and indexing the image again mends them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from image_similarity.domain.errors import ImageDamaged, ImageNotFound
from image_similarity.images.thumbnail import make_thumbnail
from image_similarity.storage.images import ImageStorage
from tests.support.engines import RED, running_engine

DIGEST = hashlib.sha256(RED).hexdigest()

DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda _: b"",
    lambda data: data[:-9],
    lambda data: data[:-1] + bytes([data[-1] ^ 1]),
]


KINDS = ["empty", "torn", "one bit"]


@pytest.mark.parametrize("damage", DAMAGES, ids=KINDS)
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


def thumbnail_in(data_dir: Path) -> Path:
    return data_dir / "images" / "thumbnails" / DIGEST[:2] / f"{DIGEST}.webp"


@pytest.mark.parametrize("damage", [*DAMAGES, lambda data: data[:50] + b"!" + data[51:]], ids=[*KINDS, "inside"])
async def test_a_damaged_thumbnail_is_made_anew_of_the_original(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="red")
        record = await rig.engine.get_image("red")
        whole, path = await rig.engine.thumbnail(record), thumbnail_in(tmp_path)
        stored = path.read_bytes()
        path.write_bytes(damage(stored))
        assert await asyncio.gather(*(rig.engine.thumbnail(record) for _ in range(4))) == [whole] * 4
        assert path.read_bytes() == stored
        path.unlink()
        assert await rig.engine.thumbnail(record) == whole


async def test_a_damaged_thumbnail_is_an_error_if_it_cannot_be_made_anew(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="red")
        record = await rig.engine.get_image("red")
        original, thumbnail = tmp_path / "images" / "originals" / DIGEST[:2] / DIGEST, thumbnail_in(tmp_path)
        thumbnail.write_bytes(thumbnail.read_bytes()[:-50])
        original.write_bytes(RED[:-1])
        with pytest.raises(ImageDamaged, match="file of the image is damaged"):
            await rig.engine.thumbnail(record)
        original.unlink()
        with pytest.raises(ImageDamaged, match="thumbnail of the image is damaged"):
            await rig.engine.thumbnail(record)
        thumbnail.unlink()
        with pytest.raises(ImageNotFound, match="index the image again"):
            await rig.engine.thumbnail(record)
        assert (await rig.engine.index_image(RED, image_id="red")).changed
        assert (await rig.engine.thumbnail(record))[8:12] == b"WEBP"


async def test_a_damaged_thumbnail_is_mended_when_the_image_is_indexed_again(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="red")
        stored = thumbnail_in(tmp_path).read_bytes()
        thumbnail_in(tmp_path).write_bytes(stored[:50] + b"!" + stored[51:])
        assert (await rig.engine.index_image(RED, image_id="red")).changed
        assert thumbnail_in(tmp_path).read_bytes() == stored


async def test_a_thumbnail_of_an_earlier_version_is_served_if_it_is_whole(tmp_path: Path) -> None:
    storage = ImageStorage.open(None, default=tmp_path, store_originals=False)
    thumbnail = make_thumbnail(Image.new("RGB", (40, 30)))
    await storage.save(DIGEST, RED, thumbnail)
    path = tmp_path / "thumbnails" / DIGEST[:2] / f"{DIGEST}.webp"
    assert path.read_bytes().startswith(thumbnail)
    path.write_bytes(thumbnail)
    assert await storage.thumbnail(DIGEST) == thumbnail
    assert await storage.is_whole(DIGEST)
    path.write_bytes(thumbnail[:-1])
    with pytest.raises(ImageDamaged):
        await storage.thumbnail(DIGEST)


async def test_damage_is_counted(tmp_path: Path) -> None:
    seen: list[str] = []
    storage = ImageStorage.open(None, default=tmp_path, store_originals=True, on_damage=lambda: seen.append("damage"))
    await storage.save(DIGEST, RED, b"thumbnail")
    assert await storage.original(DIGEST) == RED
    (tmp_path / "originals" / DIGEST[:2] / DIGEST).write_bytes(RED[:-1])
    with pytest.raises(ImageDamaged):
        await storage.original(DIGEST)
    assert seen == ["damage"]
    (tmp_path / "thumbnails" / DIGEST[:2] / f"{DIGEST}.webp").write_bytes(b"thumbnail")
    with pytest.raises(ImageDamaged):
        await storage.thumbnail(DIGEST)
    assert seen == ["damage"] * 2
