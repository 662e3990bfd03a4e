"""Redis outlives a deployment's settings: what was answered under others is not served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from image_similarity.bootstrap import build_engine
from tests.support.engines import BLUE, RED, TOP
from tests.support.redis_server import RedisServer
from tests.support.servers import make_settings


@pytest.mark.parametrize(
    "changed",
    [{"duplicate_similarity": 0.5}, {"prompt_template": "a photo of {}"}, {"keyword_language": "german"}],
    ids=str,
)
async def test_a_server_with_other_settings_answers_anew(
    redis: RedisServer, tmp_path: Path, tiny_checkpoint: Path, changed: dict[str, Any]
) -> None:
    async def asked_again(**others: Any) -> bool:
        engine = await build_engine(make_settings(tmp_path, tiny_checkpoint, redis_url=redis.url, **others))
        try:
            if not await engine._vectors.get("a"):
                await engine.index_image(BLUE, image_id="a")
            return (await engine.search_by_image(RED, TOP)).cached
        finally:
            await engine.close()

    assert [await asked_again(), await asked_again(), await asked_again(**changed)] == [False, True, False]
