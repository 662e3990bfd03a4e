"""Multipart bodies: what they may cost, and in which charsets they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from image_similarity.api.errors import ProblemError
from image_similarity.api.requests.multipart import parts

FIELD = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n%s\r\n'


async def names(body: bytes, *, charset: str = "", most: int | None = None) -> list[str]:
    async def chunks() -> AsyncIterator[bytes]:
        yield body

    content_type = "multipart/form-data; boundary=x" + (f"; charset={charset}" if charset else "")
    return [part.name async for part in parts(content_type, chunks(), limit_of=lambda _: 2**21, most=most)]


@pytest.mark.parametrize("charset", ["punycode", "undefined", "idna", "utf-7", "utf-16", "rot13", "no-such"])
async def test_charsets_that_browsers_do_not_send_are_refused_unread(charset: str) -> None:
    with pytest.raises(ProblemError, match="charset") as raised:
        await names(FIELD % (b"x" * 2**20) + b"--x--\r\n", charset=charset)
    assert raised.value.status == 400


@pytest.mark.parametrize("charset", ["", "utf-8", "UTF-8", "us-ascii"])
async def test_plain_charsets_are_taken(charset: str) -> None:
    assert await names(FIELD % b"a dog" + b"--x--\r\n", charset=charset) == ["text"]


async def test_parts_are_counted_while_they_arrive() -> None:
    assert await names(FIELD % b"" * 3 + b"--x--\r\n", most=3) == ["text"] * 3
    with pytest.raises(ProblemError, match="more than 3 parts"):
        await names(FIELD % b"" * 4 + b"--x--\r\n", most=3)


async def test_a_small_body_is_read_without_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "to_thread", None)
    assert await names(FIELD % b"a dog" + b"--x--\r\n") == ["text"]
