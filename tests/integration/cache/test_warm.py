"""The most asked queries are known to all replicas and at hand in a new one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from image_similarity.cache import popularity
from image_similarity.cache.base import Kind
from image_similarity.cache.redis import FORMAT
from tests.integration.cache.conftest import eventually
from tests.support.commands import make_cli
from tests.support.redis_server import RedisServer
from tests.support.replicas import redis_cache
from tests.support.sample_images import encoded, photo
from tests.support.servers import make_settings, running_server, wait_for

Make = Callable[..., Any]


async def asked(cache: Any, **counts: int) -> None:
    for name in counts:
        await cache.set(Kind.EMBEDDING, name, name.encode())
    # Without an await in between, so that all of them go with the same flush.
    for name, count in counts.items():
        for _ in range(count):
            cache.count_query(name)


async def test_the_most_asked_of_all_replicas_come_first(tiered: Make) -> None:
    first, second, new = tiered(), tiered(), tiered()
    await asked(first, rare=1, common=50, mostly=9)
    await asked(second, common=70, other=2)

    async def all_counted() -> bool:
        return [name for name, _ in await new._far.most_asked(4)] == ["common", "mostly", "other", "rare"]

    await eventually(all_counted)
    assert await new.warm(2) == 2
    for name in ("common", "mostly"):
        assert await new.get(Kind.EMBEDDING, name) == name.encode()
    assert new.stats()[0].hits["embedding"] == 2
    assert new.stats()[0].entries == 2
    assert await new.warm(100) == 4


async def test_the_ranking_is_bounded_and_old_counts_fade(
    redis: RedisServer, shared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(popularity, "KEPT", 3)
    cache = shared()
    # The first flush halves, for nobody has in the last hour.
    await asked(cache, a=8, b=6, c=4)
    await eventually(lambda: ranked(cache, 3))
    assert "\r\n4\r\n" in redis.command(f"ZSCORE {{test}}:{FORMAT}:popular a")
    await asked(cache, d=9)

    async def trimmed() -> bool:
        return [name for name, _ in await cache.most_asked(9)] == ["d", "a", "b"]

    await eventually(trimmed)


async def ranked(cache: Any, count: int) -> bool:
    return len(await cache.most_asked(10)) == count


async def test_what_was_counted_last_is_sent_at_the_end(redis: RedisServer, shared: Make) -> None:
    leaving = redis_cache(redis.url)
    await asked(leaving, k=1)
    await leaving.close()
    assert await shared().most_asked(5) == [("k", b"k")]


def test_a_server_warms_itself_at_its_start_and_on_command(
    redis: RedisServer,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = make_settings(
        tmp_path / "data",
        tiny_checkpoint,
        log_level="ERROR",
        redis_port=redis.port,
        redis_host="127.0.0.1",
        redis_timeout=5,
    )
    pictures = [encoded(photo(seed=seed), "PNG") for seed in range(3)]
    with running_server(settings) as server:
        server.index(pictures[0])
        for picture in pictures:
            server.search(picture)
        health = server.http.get("/health").json()
        assert (health["status"], health["services"]["cache"]["status"]) == ("healthy", "ok")
        assert [tier["breaker"] for tier in server.http.get("/stats").json()["cache"]] == [None, "closed"]
        # Counts go to Redis once a second or so.
        wait_for(lambda: server.http.post("/cache/warm").json()["loaded"] >= 3, "the queries are not counted")

    with running_server(settings) as server:
        assert server.http.get("/stats").json()["cache"][0]["entries"] == 3
        assert server.search(pictures[1], top_k="1")["results"]
        assert server.http.get("/stats").json()["cache"][0]["hits"]["embedding"] == 1

        cli = make_cli(monkeypatch, capsys, tmp_path)
        # "in", not the end: the server, in this process too, logs to the same place.
        assert "2 embeddings loaded.\n" in cli("warm", "--top", "2", "--url", server.url).stdout
        assert server.http.post("/cache/warm").json() == {"loaded": 3}
        assert server.http.post("/cache/warm", params={"top": 0}).status_code == 422
        assert "3 embeddings loaded.\n" in cli("warm", "--url", server.url).stdout


def test_a_server_without_redis_serves_and_says_so(
    mortal_redis: RedisServer, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    url = mortal_redis.url.replace("//", "//:hidden-word@")
    settings = make_settings(tmp_path / "data", tiny_checkpoint, log_level="ERROR", redis_url=url)
    mortal_redis.kill()
    picture = encoded(photo(), "PNG")
    with running_server(settings) as server:
        for _ in range(5):
            server.index(picture, image_id="a")
            assert server.search(picture)["results"][0]["image_id"] == "a"
        assert server.http.get("/ready").status_code == 200
        health = server.http.get("/health").json()
        assert health["status"] == "degraded"
        assert health["services"]["cache"]["status"] == "unavailable"
        assert "Redis does not answer" in health["services"]["cache"]["detail"]
        assert "hidden-word" not in server.http.get("/health").text + repr(settings)
        assert server.http.get("/stats").json()["cache"][1]["breaker"] in {"open", "half_open"}
