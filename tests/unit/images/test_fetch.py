"""Images by URL: what is fetched, what is refused, and in which words."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
from structlog.testing import capture_logs

from image_similarity.domain.errors import (
    BodyTooLarge,
    ImageSimilarityError,
    UrlFetchDisabled,
    UrlFetchTimeout,
    UrlRefused,
    UrlUnreachable,
)
from image_similarity.images import fetch
from image_similarity.images.fetch import UrlFetcher
from tests.support.web_server import Authority, WebServer, ok, redirect, web_server

LOCAL = ["127.0.0.0/8"]
LIMIT = 100_000
IMAGE = bytes(range(256)) * 16


@asynccontextmanager
async def fetcher(allow: Sequence[str] = LOCAL, **settings: Any) -> AsyncIterator[UrlFetcher]:
    made = UrlFetcher(**{"enabled": True, "max_bytes": LIMIT, "timeout": 30, "allow": allow, **settings})
    yield made
    await made.close()


@pytest.fixture
async def web() -> AsyncIterator[WebServer]:
    async with web_server() as running:
        running.answers["/image"] = ok(IMAGE, "Content-Type: text/plain")
        yield running


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


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/a.png",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "data:image/png;base64,AAAA",
        "//example.org/a.png",
        "example.org/a.png",
        "http:example.org",
        "http:///a.png",
        "http://:80/",
        "",
        "http://user@127.0.0.1/",
        "http://user:secret@127.0.0.1/",
        "http://example.org@127.0.0.1/",
        "http://example.org\\@127.0.0.1/",
        "http://127.0.0.1 .example.org/",
        "http://exa\tmple.org/",
        "http://example.org/\r\nX-Injected: 1",
        "http://ex%61mple.org/",
        "http://[fe80::1%25eth0]/",
        "http://[nonsense]/",
        "http://①②⑦.0.0.1/",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://example.org:port/",
        "http://" + "a" * 300 + ".org/",
        "http://example.org/" + "a" * 2100,
    ],
)
async def test_what_is_no_plain_url_is_refused(url: str) -> None:
    assert "secret" not in await refusal(url, resolve=names(example_org="8.8.8.8"))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "127.0.0.1.",
        "localhost",
        "nowhere.example",
        "jenkins.internal",
        "a..b",
        "a" * 64 + ".example",
    ],
)
async def test_what_is_not_public_is_refused_as_if_it_did_not_exist(host: str) -> None:
    known = names(localhost="127.0.0.1", jenkins_internal="10.20.30.40")
    unknown = await refusal("http://no-such-host.example/", allow=[], resolve=known)
    assert await refusal(f"http://{host}/", allow=[], resolve=known) == unknown


async def test_the_log_tells_the_operator_what_the_caller_is_not_told() -> None:
    hosts = names(jenkins_internal="10.20.30.40")
    with capture_logs() as logs:
        await refusal("http://jenkins.internal/", allow=[], resolve=hosts)
        await refusal("http://nowhere.example/", allow=[], resolve=hosts)
    assert [(line["event"], line["host"]) for line in logs] == [
        ("url_refused", "jenkins.internal"),
        ("url_refused", "nowhere.example"),
    ]
    assert "10.20.30.40" in logs[0]["reason"]
    assert "does not resolve" in logs[1]["reason"]


async def test_one_forbidden_address_among_good_ones_is_enough(web: WebServer) -> None:
    text = await refusal("http://mixed.example/", allow=[], resolve=names(mixed_example="8.8.8.8 10.0.0.1"))
    assert "10.0.0.1" not in text


@pytest.mark.parametrize("port", [22, 25, 6379, 9200])
async def test_a_public_host_is_asked_for_web_pages_only(port: int) -> None:
    await refusal(f"http://public.example:{port}/", allow=[], resolve=names(public_example="8.8.8.8"))


async def test_a_host_may_be_allowed_by_its_name_but_not_to_lead_to_metadata(web: WebServer) -> None:
    hosts = names(minio_internal="127.0.0.1", odd_internal="169.254.169.254")
    allow = ["minio.internal", "odd.internal"]
    async with fetcher(allow, resolve=hosts) as one:
        assert await one.fetch(web.url("/image", host="minio.internal")) == IMAGE
    await refusal("http://odd.internal/", allow=allow, resolve=hosts)
    await refusal(web.url("/image"), allow=allow)


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::a9fe:a9fe",
        "fd00:ec2::254",
        "100.100.100.200",
        "::ffff:100.100.100.200",
        "168.63.129.16",
    ],
)
async def test_no_allowed_name_leads_to_credentials_of_a_cloud(address: str) -> None:
    hosts = names(odd_internal=address)
    await refusal("http://odd.internal/", allow=["odd.internal"], resolve=hosts)


async def test_a_name_is_resolved_once_and_what_it_means_later_has_no_say(web: WebServer) -> None:
    asked = ["127.0.0.1", "127.0.0.2", "10.0.0.1"]
    async with fetcher(resolve=names(rebinding_example=asked)) as one:
        assert await one.fetch(web.url("/image", host="rebinding.example")) == IMAGE
    assert asked == ["127.0.0.2", "10.0.0.1"]


async def test_a_redirect_back_to_the_same_name_is_checked_anew(web: WebServer) -> None:
    web.answers["/image"] = redirect("/inside")
    hosts = names(rebinding_example=["127.0.0.1", "10.0.0.1"])
    await refusal(web.url("/image", host="rebinding.example"), resolve=hosts)
    assert [path for path, _ in web.requests] == ["/image"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(web: WebServer, status: int) -> None:
    web.answers["/old/a"] = redirect("../image", status)
    async with fetcher() as one:
        assert await one.fetch(web.url("/old/a")) == IMAGE


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://2130706433/",
        "http://localhost/",
        "//10.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://user:secret@example.org/",
        "http://[",
        "http://example.org:6379/",
    ],
)
async def test_redirects_lead_nowhere_else_than_urls_may(web: WebServer, location: str) -> None:
    web.answers["/image"] = redirect(location)
    hosts = names(start_example="127.0.0.1", localhost="127.0.0.1", example_org="8.8.8.8")
    text = await refusal(web.url("/image", host="start.example"), allow=["start.example"], resolve=hosts)
    assert "secret" not in text
    assert len(web.requests) == 1


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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


# Connected to an address, a server still has to prove its name.
async def test_the_certificate_is_asked_for_by_name(authority: Authority) -> None:
    async with web_server(authority.server("photos.example")) as web:
        web.answers["/image"] = ok(IMAGE)
        hosts = names(photos_example="127.0.0.1")
        async with fetcher(resolve=hosts, tls=authority.trusted()) as one:
            assert await one.fetch(web.url("/image", host="photos.example", scheme="https")) == IMAGE
        assert web.requests[0][1]["host"] == f"photos.example:{web.port}"


async def test_a_name_that_ends_in_a_dot_is_the_same_name(authority: Authority) -> None:
    async with web_server(authority.server("photos.example")) as web:
        web.answers["/image"] = ok(IMAGE)
        url = web.url("/image", host="photos.example.", scheme="https")
        async with fetcher(resolve=names(photos_example_="127.0.0.1"), tls=authority.trusted()) as one:
            assert await one.fetch(url) == IMAGE


async def test_a_certificate_of_another_name_is_not_taken(authority: Authority) -> None:
    async with web_server(authority.server("photos.example")) as web:
        hosts = names(other_example="127.0.0.1")
        url = web.url("/image", host="other.example", scheme="https")
        await refusal(url, UrlUnreachable, resolve=hosts, tls=authority.trusted())
        assert web.requests == []


async def test_an_address_does_not_stand_in_for_the_name(authority: Authority) -> None:
    async with web_server(authority.server("photos.example")) as web:
        await refusal(web.url("/image", scheme="https"), UrlUnreachable, tls=authority.trusted())


async def test_an_unknown_authority_is_not_trusted(authority: Authority) -> None:
    async with web_server(authority.server("photos.example")) as web:
        url = web.url("/image", host="photos.example", scheme="https")
        await refusal(url, UrlUnreachable, resolve=names(photos_example="127.0.0.1"))


async def test_a_redirect_never_leaves_tls(authority: Authority) -> None:
    async with web_server(authority.server("photos.example")) as secure, web_server() as plain:
        secure.answers["/image"] = redirect(plain.url("/image"))
        url = secure.url("/image", host="photos.example", scheme="https")
        hosts = names(photos_example="127.0.0.1")
        assert "https to http" in await refusal(url, resolve=hosts, tls=authority.trusted())
        assert plain.requests == []


async def test_a_redirect_may_enter_it(authority: Authority, web: WebServer) -> None:
    async with web_server(authority.server("photos.example")) as secure:
        secure.answers["/image"] = ok(IMAGE)
        web.answers["/image"] = redirect(secure.url("/image", host="photos.example", scheme="https"))
        hosts = names(photos_example="127.0.0.1")
        async with fetcher(resolve=hosts, tls=authority.trusted()) as one:
            assert await one.fetch(web.url("/image")) == IMAGE


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
