"""Images by URL over TLS: a server has to prove its name, and no redirect leaves TLS."""

from __future__ import annotations

import pytest

from image_similarity.domain.errors import (
    UrlUnreachable,
)
from tests.support.url_fetching import IMAGE, fetcher, names, refusal
from tests.support.web_server import Authority, WebServer, ok, redirect, web_server


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
