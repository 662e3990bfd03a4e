"""The picture that the viewer shows: made once, of the original, and gone with it."""

from __future__ import annotations

import asyncio
import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from image_similarity.domain.errors import ImageNotFound
from image_similarity.storage.images import ImageStorage
from tests.support.engines import running_engine
from tests.support.sample_images import encoded, photo

LARGE = encoded(photo(1900, 475, seed=3), "JPEG")
DIGEST = hashlib.sha256(LARGE).hexdigest()


def path_in(data_dir: Path, part: str, suffix: str = "") -> Path:
    return data_dir / "images" / part / DIGEST[:2] / f"{DIGEST}{suffix}"


async def test_a_preview_is_made_once_and_kept_until_the_image_goes(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(LARGE, image_id="large")
        record = await rig.engine.get_image("large")
        kept = path_in(tmp_path, "previews", ".webp")
        assert not kept.exists(), "nothing is made that was not asked for"
        rig.engine.disk.min_free = 2**62
        assert (await rig.engine.preview(record))[8:12] == b"WEBP"
        assert not kept.exists(), "nothing is kept on a disk that is nearly full"
        rig.engine.disk.min_free = 0
        first, *others = await asyncio.gather(*(rig.engine.preview(record) for _ in range(3)))
        assert others == [first] * 2
        picture = Image.open(io.BytesIO(first))
        assert (picture.format, picture.size) == ("WEBP", (1440, 360))
        # Without the original it can only be the one that was kept.
        original = path_in(tmp_path, "originals")
        original.rename(original.with_suffix(".away"))
        assert await rig.engine.preview(record) == first
        original.with_suffix(".away").rename(original)
        kept.write_bytes(kept.read_bytes()[:-50])
        assert await rig.engine.preview(record) == first, "a torn one is made anew"
        await rig.engine.delete_image("large")
        assert not kept.exists()


async def test_there_is_no_preview_where_originals_are_not_kept(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(LARGE, image_id="large")
        record = await rig.engine.get_image("large")
        path_in(tmp_path, "originals").unlink()
        with pytest.raises(ImageNotFound, match="not kept"):
            await rig.engine.preview(record)


async def test_a_preview_that_comes_after_the_image_has_gone_is_not_kept(tmp_path: Path) -> None:
    storage = ImageStorage.open(None, default=tmp_path / "images", store_originals=True)
    await storage.save_preview(DIGEST, b"a preview")
    assert await storage.preview(DIGEST) is None
    assert not path_in(tmp_path, "previews", ".webp").exists()
