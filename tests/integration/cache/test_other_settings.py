"""Redis outlives a deployment's settings: what was answered under others is not served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from image_similarity.bootstrap.engine import build_engine
from image_similarity.domain.errors import ImageNotFound
from image_similarity.domain.records import Embedding
from random_checkpoint import build_checkpoint
from tests.support.engines import BLUE, RED, TOP, digest
from tests.support.redis_server import RedisServer
from tests.support.servers import make_settings


def on(redis: RedisServer) -> dict[str, Any]:
    # Patient: on a busy machine an answer that comes late would count as none.
    return {"redis_url": redis.url, "redis_timeout": 5}


@pytest.mark.parametrize(
    "changed",
    [{"duplicate_similarity": 0.5}, {"prompt_template": "a photo of {}"}, {"keyword_language": "german"}],
    ids=str,
)
async def test_a_server_with_other_settings_answers_anew(
    redis: RedisServer, tmp_path: Path, tiny_checkpoint: Path, changed: dict[str, Any]
) -> None:
    async def asked_again(**others: Any) -> bool:
        engine = await build_engine(make_settings(tmp_path, tiny_checkpoint, **on(redis), **others))
        try:
            try:
                await engine.get_image("a")
            except ImageNotFound:
                await engine.index_image(BLUE, image_id="a")
            return (await engine.search_by_image(RED, TOP)).cached
        finally:
            await engine.close()

    assert [await asked_again(), await asked_again(), await asked_again(**changed)] == [False, True, False]


async def test_replaced_weights_never_answer_with_embeddings_of_the_old_ones(
    redis: RedisServer, tmp_path: Path
) -> None:
    async def embedded(seed: int) -> tuple[Embedding, Embedding, bool]:
        checkpoint = build_checkpoint(tmp_path / "clip", size="tiny", seed=seed)
        engine = await build_engine(make_settings(tmp_path / "data", checkpoint, **on(redis)))
        try:
            image = await engine._embedder.embed(RED, digest(RED))
            text = (await engine._texts.embed("a cat")).embedding
            return image, text, (await engine.search_by_text("a cat", TOP)).cached
        finally:
            await engine.close()

    image, text, _ = await embedded(seed=0)
    same_image, same_text, cached = await embedded(seed=0)
    assert ((same_image == image).all(), (same_text == text).all(), cached) == (True, True, True)
    other_image, other_text, cached = await embedded(seed=1)
    assert abs(other_image @ image) < 0.9
    assert abs(other_text @ text) < 0.9
    assert not cached
