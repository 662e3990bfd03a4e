"""Images by URL: what is fetched, within which limits, and in which words it fails."""

from __future__ import annotations

import asyncio
import gzip
from time import monotonic

import pytest

from image_similarity.domain.errors import (
    BodyTooLarge,
    UrlFetchDisabled,
    UrlFetchTimeout,
    UrlUnreachable,
)
from image_similarity.images import fetch
from tests.support.url_fetching import IMAGE, LIMIT, fetcher, names, refusal
from tests.support.web_server import WebServer, ok, redirect, web_server


async def test_the_bytes_come_whatever_the_server_says_they_are(web: WebServer) -> None:
    async with fetcher() as one:
        assert await one.fetch(web.url("/image")) == IMAGE


async def test_a_body_without_a_length_and_a_chunked_one_come_whole(web: WebServer) -> None:
    web.answers["/open"] = b"HTTP/1.1 200 OK\r\n\r\n" + IMAGE
    web.answers["/chunked"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with fetcher() as one:
        assert await one.fetch(web.url("/open")) == IMAGE
        assert await one.fetch(web.url("/chunked")) == b"abcde"


async def test_the_request_says_who_asks_and_nothing_of_this_machine(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    web.answers["/image?size=large"] = ok(IMAGE)
    async with fetcher(resolve=names(example_org="127.0.0.1")) as one:
        await one.fetch(web.url("/image?size=large#top", host="Example.org"))

    [(path, headers)] = web.requests
    assert path == "/image?size=large"
    assert headers.pop("user-agent").startswith("image-similarity/")
    assert headers == {
        "host": f"example.org:{web.port}",
        "accept": "image/*, application/octet-stream;q=0.5, */*;q=0.1",
        "accept-encoding": "identity",
        "connection": "close",
    }


async def test_nothing_is_fetched_where_that_is_off(web: WebServer) -> None:
    assert "ALLOW_URL_FETCH" in await refusal(web.url("/image"), UrlFetchDisabled, enabled=False)
    assert web.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(web: WebServer, status: int) -> None:
    web.answers["/old/a"] = redirect("../image", status)
    async with fetcher() as one:
        assert await one.fetch(web.url("/old/a")) == IMAGE


async def test_five_redirects_are_followed_and_no_sixth(web: WebServer) -> None:
    for number in range(6):
        web.answers[f"/{number}"] = redirect(f"/{number + 1}")
    web.answers["/6"] = ok(IMAGE)
    async with fetcher() as one:
        assert await one.fetch(web.url("/1")) == IMAGE
    assert "5 times" in await refusal(web.url("/0"))


async def test_another_status_is_told_and_the_answer_is_not(web: WebServer) -> None:
    text = await refusal(web.url("/nowhere"), UrlUnreachable)
    assert "404" in text
    assert "nothing here" not in text


async def test_a_server_that_is_missing_or_speaks_no_http_is_unreachable(web: WebServer) -> None:
    web.answers["/image"] = b"220 smtp.example ESMTP\r\n"
    text = await refusal(web.url("/image"), UrlUnreachable)
    assert "ESMTP" not in text
    assert await refusal("http://127.0.0.1:1/", UrlUnreachable) == text


async def test_the_next_address_is_asked_where_one_does_not_answer(web: WebServer) -> None:
    hosts = names(twice_example="127.9.9.9 127.0.0.1")
    async with fetcher(resolve=hosts) as one:
        assert await one.fetch(web.url("/image", host="twice.example")) == IMAGE


async def test_a_declared_length_beyond_the_limit_is_refused_before_the_body(web: WebServer) -> None:
    web.answers["/image"] = f"HTTP/1.1 200 OK\r\nContent-Length: {LIMIT + 1}\r\n\r\n".encode()
    assert str(LIMIT) in await refusal(web.url("/image"), BodyTooLarge)


async def test_an_endless_body_ends_at_the_limit(web: WebServer) -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65_536))
            await writer.drain()
            sent += 65_536

    web.answers["/image"] = endless
    await refusal(web.url("/image"), BodyTooLarge)
    await asyncio.wait_for(web.hung_up.wait(), 30)
    # What the sockets hold of it aside.
    assert sent < 100 * LIMIT


async def test_nothing_is_unpacked(web: WebServer) -> None:
    web.answers["/image"] = ok(gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip")
    await refusal(web.url("/image"), UrlUnreachable)


async def test_the_time_is_for_everything_together(web: WebServer) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    web.answers["/image"] = drip
    started = monotonic()
    assert "0.3 s" in await refusal(web.url("/image"), UrlFetchTimeout, timeout=0.3)
    assert monotonic() - started < 20
    await asyncio.wait_for(web.hung_up.wait(), 30)


async def test_a_resolver_that_hangs_is_not_waited_for() -> None:
    async def hang(host: str, port: int) -> list[str]:
        await asyncio.sleep(3600)
        return []

    await refusal("http://example.org/", UrlFetchTimeout, timeout=0.1, resolve=hang)


async def test_a_crowd_waits_within_its_time(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_AT_ONCE", 2)
    at_once, most = 0, 0

    async def slow(writer: asyncio.StreamWriter) -> None:
        nonlocal at_once, most
        at_once, most = at_once + 1, max(most, at_once + 1)
        await asyncio.sleep(0.02)
        at_once -= 1
        writer.write(ok(IMAGE))

    web.answers["/image"] = slow
    async with fetcher() as one:
        assert await asyncio.gather(*(one.fetch(web.url("/image")) for _ in range(6))) == [IMAGE] * 6
    assert most <= 2


async def test_who_is_cancelled_hangs_up(web: WebServer) -> None:
    web.answers["/image"] = web.drip
    async with fetcher() as one:
        fetching = asyncio.create_task(one.fetch(web.url("/image")))
        await asyncio.wait_for(web.dripping.wait(), 30)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
    await asyncio.wait_for(web.hung_up.wait(), 30)


async def test_the_systems_resolver_is_asked_where_no_other_is_given(web: WebServer) -> None:
    async with fetcher() as one:
        assert await one.fetch(web.url("/image", host="localhost")) == IMAGE


async def test_ipv6_is_spoken_too() -> None:
    try:
        async with web_server(host="::1") as web, fetcher(["::1"]) as one:
            web.answers["/image"] = ok(IMAGE)
            assert await one.fetch(web.url("/image", host="[::1]")) == IMAGE
            assert web.requests[0][1]["host"] == f"[::1]:{web.port}"
    except OSError:
        pytest.skip("this machine has no IPv6")


async def test_several_files_come_together_each_asked_for_once(web: WebServer) -> None:
    web.answers["/other"] = ok(b"other")
    image, other = web.url("/image"), web.url("/other")
    async with fetcher() as one:
        assert await one.fetch_all([image, other, image]) == {image: IMAGE, other: b"other"}
    assert len(web.requests) == 2


async def test_several_files_together_are_no_larger_than_one_may_be(web: WebServer) -> None:
    for name in ("/a", "/b", "/c"):
        web.answers[name] = ok(bytes(LIMIT // 2))
    async with fetcher() as one:
        assert len(await one.fetch_all([web.url("/a"), web.url("/b")])) == 2
        with pytest.raises(BodyTooLarge, match="together"):
            await one.fetch_all([web.url("/a"), web.url("/b"), web.url("/c")])
