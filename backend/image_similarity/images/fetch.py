"""An image by its URL, from the public network and from nowhere that the operator did not allow.

The caller chooses the URL, this machine makes the request: a server that is not careful lends its place in the network
to whoever asks (server-side request forgery, OWASP). So a host's name is resolved once, all its addresses are checked,
and the connection goes to one that was: a name that means something else a moment later has no say. TLS still asks for
a certificate of the name. Redirects are followed here, each checked like the first URL. What is refused and what does
not exist are answered in the same words, so that nobody can map the network behind this server.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from image_similarity import __version__
from image_similarity.domain.errors import BodyTooLarge, UrlFetchDisabled, UrlFetchTimeout, UrlRefused, UrlUnreachable
from image_similarity.images.addresses import (
    PUBLIC_PORTS,
    Address,
    AllowedNetworks,
    is_name,
    is_of_cloud,
    is_public,
    read_address,
    spells_a_number,
)
from image_similarity.telemetry.logging import get_logger

MAX_REDIRECTS = 5

MAX_URL = 2048
"""Characters."""

_ADDRESSES_TRIED = 4
"""Of one host, while none answers."""

_AT_ONCE = 16
"""Fetches under way: each may hold an image in memory. More wait, within their time."""

_RESOLVER_THREADS = 4
"""Of their own, for a resolver that hangs cannot be interrupted, and all else runs in the event loop's threads."""

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = {301, 302, 303, 307, 308}
_HEADERS = {
    "User-Agent": f"image-similarity/{__version__}",
    "Accept": "image/*, application/octet-stream;q=0.5, */*;q=0.1",
    # Nothing is unpacked here, so that no megabyte becomes a gigabyte.
    "Accept-Encoding": "identity",
    "Connection": "close",
}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host's name, as text; raises OSError, or UnicodeError, where it has none."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL that was taken apart, once and for all that is done with it."""

    url: httpx.URL
    host: str
    """As DNS has it: lower case, international names encoded; an IPv6 address without brackets."""
    port: int


class UrlFetcher:
    """Fetches images. One event loop at a time uses it."""

    def __init__(
        self,
        *,
        enabled: bool,
        max_bytes: int,
        timeout: float,
        allow: Sequence[str] = (),
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`timeout` is in seconds, for everything together; `allow` is as `AllowedNetworks` takes it.

        `resolve` stands in for the system's resolver, `tls` for the usual certificate authorities. Raises ValueError
        for what `allow` must not hold.
        """
        self._enabled = enabled
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._allowed = AllowedNetworks(allow)
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="resolver")
        self._resolve = resolve or self._ask_system
        self._tls = tls
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, url: str) -> bytes:
        """Return the bytes at a URL, whatever they are: decoding finds out.

        Raises UrlFetchDisabled; UrlRefused for a URL, or a redirect, that is not to be followed; UrlUnreachable where
        no answer or no image's bytes come; BodyTooLarge; UrlFetchTimeout. A cancelled caller ends the connection.
        """
        if not self._enabled:
            raise UrlFetchDisabled("Images are not fetched by URL here (ALLOW_URL_FETCH); send the image itself.")
        target = _parse(url)
        try:
            async with asyncio.timeout(self._timeout), self._places:
                return await self._follow(target)
        except TimeoutError:
            raise UrlFetchTimeout(
                f"The image at image_url was not there within {self._timeout:g} s (URL_FETCH_TIMEOUT)."
            ) from None

    async def fetch_all(self, urls: Sequence[str]) -> dict[str, bytes]:
        """Return the bytes at each URL, at once; together they may be as many as those of one. Raises as `fetch`.

        Where one fails, or nobody waits any more, the others are given up.
        """
        fetched: dict[str, bytes] = {}

        async def add(url: str) -> None:
            fetched[url] = await self.fetch(url)
            if sum(map(len, fetched.values())) > self._max_bytes:
                raise self._too_large("The files at the URLs together have")

        fetching = [asyncio.create_task(add(url)) for url in dict.fromkeys(urls)]
        try:
            await asyncio.gather(*fetching)
        finally:
            for task in fetching:
                task.cancel()
        return fetched

    async def close(self) -> None:
        """Let go of the threads; closing twice is harmless."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _follow(self, target: _Target) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._request(target)
            if isinstance(answer, bytes):
                return answer
            following = _parse(answer)
            if target.url.scheme == "https" and following.url.scheme != "https":
                raise UrlRefused("image_url is redirected from https to http, which is not followed.")
            target = following
        raise UrlRefused(f"image_url is redirected more than {MAX_REDIRECTS} times.")

    async def _request(self, target: _Target) -> bytes | str:
        """Return the bytes, or where else they are."""
        addresses = (await self._addresses(target))[:_ADDRESSES_TRIED]
        for number, address in enumerate(addresses, start=1):
            # The last one has what is left of the time for everything.
            patience = self._timeout / len(addresses) if number < len(addresses) else None
            try:
                return await self._ask(target, address, patience)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # The next one may answer; which did what is nobody's to know.
                continue
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _unreachable() from error
        raise _unreachable()

    async def _ask(self, target: _Target, address: Address, patience: float | None) -> bytes | str:
        headers = {**_HEADERS, "Host": target.url.netloc.decode("ascii")}
        # The URL of the address, under the name of the host: what is connected to is what was checked, while the server
        # and the check of its certificate are told the name.
        pinned = target.url.copy_with(host=str(address), port=target.port, fragment=None)
        client = httpx.AsyncClient(
            verify=self._context(),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=patience),
            headers=headers,
        )
        async with (
            client,
            client.stream("GET", pinned, extensions={"sni_hostname": target.host.rstrip(".")}) as response,
        ):
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return _joined(target.url, response.headers["location"])
            if response.status_code != 200:
                raise UrlUnreachable(f"The server of image_url answered with HTTP {response.status_code}.")
            return await self._read(response)

    async def _read(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise UrlUnreachable("The server of image_url packs what it was asked to send as it is.")
        length = response.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._max_bytes:
            raise self._too_large()
        # A length that is not true is no matter: what comes is counted.
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_bytes:
                raise self._too_large()
        return bytes(body)

    async def _addresses(self, target: _Target) -> list[Address]:
        """Return the addresses of a host, all of them checked. Raises UrlRefused."""
        literal = read_address(target.host)
        if literal is None and spells_a_number(target.host):
            raise _refused(target, "spells an address in an unusual way")
        try:
            texts = [target.host] if literal is not None else await self._resolve(target.host, target.port)
        except (OSError, UnicodeError) as error:
            raise _refused(target, f"does not resolve: {error}") from None
        addresses = [address for text in texts if (address := read_address(text)) is not None]
        forbidden = [str(address) for address in addresses if not self._may_ask(address, target)]
        if forbidden or not addresses:
            raise _refused(target, f"leads to {', '.join(forbidden) or 'no address'}")
        return list(dict.fromkeys(addresses))

    def _may_ask(self, address: Address, target: _Target) -> bool:
        if self._allowed.holds(address):
            return True
        if self._allowed.names(target.host):
            # No name of a host was ever meant to lead to the credentials there.
            return not is_of_cloud(address)
        return is_public(address) and target.port in PUBLIC_PORTS

    async def _ask_system(self, host: str, port: int) -> Sequence[str]:
        def ask() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return [str(address[0]) for *_, address in found]

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    def _context(self) -> ssl.SSLContext:
        # Made once, when it is first needed: it reads 150 certificates.
        if self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        return self._tls

    def _too_large(self, what: str = "The file at image_url has") -> BodyTooLarge:
        return BodyTooLarge(f"{what} more than {self._max_bytes} bytes, which is the limit.")


def _parse(url: str) -> _Target:
    """Take a URL apart. Raises UrlRefused for anything but plain http and https."""
    if len(url) > MAX_URL or not url.isprintable() or "\\" in url or any(character.isspace() for character in url):
        raise UrlRefused(f"image_url must be a URL of up to {MAX_URL} characters, without spaces and backslashes.")
    try:
        parsed = httpx.URL(url)
        # Raises ValueError, of which UnicodeError is one, where no name can be made of it.
        host, port = parsed.raw_host.decode("ascii"), parsed.port
    except (httpx.InvalidURL, ValueError):
        raise UrlRefused("image_url is not a URL.") from None
    if parsed.scheme not in _PORTS:
        raise UrlRefused("image_url must begin with http:// or https://.")
    if parsed.userinfo:
        raise UrlRefused("image_url must not carry a user name or a password.")
    port = _PORTS[parsed.scheme] if port is None else port
    if not 0 < port < 65536 or not _is_host(host):
        raise UrlRefused("image_url names no host.")
    return _Target(parsed, host.lower(), port)


def _is_host(host: str) -> bool:
    if ":" in host:
        return "%" not in host and read_address(host) is not None
    return is_name(host)


def _joined(base: httpx.URL, location: str) -> str:
    try:
        return str(base.join(location))
    except (httpx.InvalidURL, ValueError):
        raise UrlRefused("image_url is redirected to something that is not a URL.") from None


def _refused(target: _Target, reason: str) -> UrlRefused:
    # For whoever runs the server. To the caller what has no address and what has a forbidden one look the same.
    get_logger().warning("url_refused", host=target.host, port=target.port, reason=reason)
    return UrlRefused(
        "The host of image_url, or of what it is redirected to, is none that images are fetched from: it does not "
        "exist, or is not on the public network, or is asked at an unusual port, and URL_FETCH_ALLOW does not name it."
    )


def _unreachable() -> UrlUnreachable:
    return UrlUnreachable(
        "The server of image_url cannot be reached, or its certificate is not valid, or it speaks no HTTP."
    )
