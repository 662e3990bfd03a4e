"""Answers that are kept: until the next write, and for one configuration."""

from __future__ import annotations

import pytest

from image_similarity.cache.local import LocalCache
from image_similarity.cache.results import Codec, ResultCache
from image_similarity.telemetry.metrics import Metrics

TEXT = Codec(str.encode, bytes.decode)


@pytest.fixture
def cache() -> LocalCache:
    return LocalCache(max_entries=100, max_bytes=100_000, ttl=60, metrics=Metrics())


async def ask(answers: ResultCache, answer: bytes) -> bytes:
    """Ask the one question of these tests, to which `answer` is what would be computed."""

    async def compute() -> str:
        return answer.decode()

    return (await answers.to("dogs?", compute, TEXT))[0].encode()


async def test_an_answer_is_kept_until_the_next_write(cache: LocalCache) -> None:
    answers = ResultCache(cache, "model")
    assert [await ask(answers, b"old"), await ask(answers, b"new")] == [b"old", b"old"]

    await cache.advance_generation()
    assert await ask(answers, b"new") == b"new"


async def test_a_cache_that_outlives_a_configuration_does_not_answer_for_it(cache: LocalCache) -> None:
    assert await ask(ResultCache(cache, "model", settings="english"), b"old") == b"old"

    assert await ask(ResultCache(cache, "model", settings="german"), b"new") == b"new"
    assert await ask(ResultCache(cache, "another", settings="english"), b"newer") == b"newer"
    assert await ask(ResultCache(cache, "model", settings="english"), b"changed") == b"old"


async def test_only_an_answer_from_before_is_read_from_bytes(cache: LocalCache) -> None:
    read: list[bytes] = []

    def load(stored: bytes) -> list[int]:
        read.append(stored)
        return list(stored)

    async def compute() -> list[int]:
        return [1, 2]

    answers = ResultCache(cache, "model")
    codec: Codec[list[int]] = Codec(bytes, load)
    assert await answers.to("digits?", compute, codec) == ([1, 2], False)
    assert read == []
    assert await answers.to("digits?", compute, codec) == ([1, 2], True)
    assert read == [b"\x01\x02"]
