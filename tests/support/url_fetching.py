"""Helpers for the tests of images by URL: a fetcher, a resolver that knows its hosts, and what a refusal says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from image_similarity.domain.errors import ImageSimilarityError, UrlRefused
from image_similarity.images.fetch import UrlFetcher

LOCAL = ["127.0.0.0/8"]
LIMIT = 100_000
IMAGE = bytes(range(256)) * 16


@asynccontextmanager
async def fetcher(allow: Sequence[str] = LOCAL, **settings: Any) -> AsyncIterator[UrlFetcher]:
    made = UrlFetcher(**{"enabled": True, "max_bytes": LIMIT, "timeout": 30, "allow": allow, **settings})
    yield made
    await made.close()


def names(**hosts: str | list[str]) -> Callable[[str, int], Any]:
    """Return a resolver that knows these hosts, underscores standing for dots; a list is one answer after the other."""
    left = {host.replace("_", "."): found for host, found in hosts.items()}

    async def resolve(host: str, port: int) -> list[str]:
        found = left.get(host)
        if found is None:
            raise OSError("no such host")
        return (found.pop(0) if isinstance(found, list) else found).split()

    return resolve


async def refusal(url: str, error: type[ImageSimilarityError] = UrlRefused, **settings: Any) -> str:
    async with fetcher(**settings) as one:
        with pytest.raises(error) as caught:
            await one.fetch(url)
    assert type(caught.value) is error
    return str(caught.value)
