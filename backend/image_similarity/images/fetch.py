"""Fetches an image by URL from the public network, and from hosts that the operator allows.

The caller chooses the URL and this machine sends the request, so callers could reach its private network (server-side
request forgery, OWASP). Therefore a host name is resolved once, all its addresses are checked, and the connection goes
to a checked address, even if the name resolves differently a moment later. TLS still demands a certificate for the
name. Redirects are followed here, and each one is checked like the first URL. Refused and unknown hosts get the same
error, so that callers cannot map the network behind this server.
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
"""Characters of a URL."""

_ADDRESSES_TRIED = 4
"""Addresses of one host that are tried until one answers."""

_AT_ONCE = 16
"""Concurrent fetches, because each may hold an image in memory. Further ones wait, within their time limit."""

_RESOLVER_THREADS = 4
"""Own threads, because a hanging resolver cannot be interrupted and would block the event loop's default threads."""

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = {301, 302, 303, 307, 308}
_HEADERS = {
    "User-Agent": f"image-similarity/{__version__}",
    "Accept": "image/*, application/octet-stream;q=0.5, */*;q=0.1",
    # Bodies are never decompressed here, so that a megabyte cannot become a gigabyte.
    "Accept-Encoding": "identity",
    "Connection": "close",
}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host name, as text; raises OSError or UnicodeError if it has none."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL, parsed once: checks and requests use these same parts."""

    url: httpx.URL
    host: str
    """As in DNS: lower case, international names encoded; an IPv6 address without brackets."""
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
        """`timeout` is in seconds, for a whole fetch; `allow` is the entries of `AllowedNetworks`.

        `resolve` replaces the system's resolver, `tls` the usual certificate authorities. Raises ValueError for an
        invalid entry of `allow`.
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
        """Return the bytes at a URL, without checking that they are an image: decoding does that.

        Raises UrlFetchDisabled; UrlRefused for a URL or redirect that must not be followed; UrlUnreachable if no
        answer comes, or an error instead of bytes; BodyTooLarge; UrlFetchTimeout. Cancelling ends the connection.
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
        """Fetch all URLs concurrently and return their bytes; the size limit applies to the sum. Raises as `fetch`.

        If one fetch fails, or the caller is cancelled, the others are cancelled.
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
        """Shut down the threads; closing twice is harmless."""
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
        """Return the bytes, or the URL of a redirect."""
        addresses = (await self._addresses(target))[:_ADDRESSES_TRIED]
        for number, address in enumerate(addresses, start=1):
            # The last address gets the rest of the total time.
            patience = self._timeout / len(addresses) if number < len(addresses) else None
            try:
                return await self._ask(target, address, patience)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # The next address may answer; the caller must not learn which one failed.
                continue
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _unreachable() from error
        raise _unreachable()

    async def _ask(self, target: _Target, address: Address, patience: float | None) -> bytes | str:
        headers = {**_HEADERS, "Host": target.url.netloc.decode("ascii")}
        # The URL contains the address, so that we connect to the address that was checked; the Host header, SNI and the
        # check of the certificate use the host name.
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
        # A false length does no harm, because the bytes are counted as they arrive.
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_bytes:
                raise self._too_large()
        return bytes(body)

    async def _addresses(self, target: _Target) -> list[Address]:
        """Return the addresses of a host. Raises UrlRefused unless all of them are allowed."""
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
            # An allowed host name must not lead to a cloud's metadata service, which gives out credentials.
            return not is_of_cloud(address)
        return is_public(address) and target.port in PUBLIC_PORTS

    async def _ask_system(self, host: str, port: int) -> Sequence[str]:
        def ask() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return [str(address[0]) for *_, address in found]

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    def _context(self) -> ssl.SSLContext:
        # Made once, at first use, because it reads 150 certificates.
        if self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        return self._tls

    def _too_large(self, what: str = "The file at image_url has") -> BodyTooLarge:
        return BodyTooLarge(f"{what} more than {self._max_bytes} bytes, which is the limit.")


def _parse(url: str) -> _Target:
    """Parse a URL. Raises UrlRefused for anything but plain http and https."""
    if len(url) > MAX_URL or not url.isprintable() or "\\" in url or any(character.isspace() for character in url):
        raise UrlRefused(f"image_url must be a URL of up to {MAX_URL} characters, without spaces and backslashes.")
    try:
        parsed = httpx.URL(url)
        # `raw_host` and `decode` raise ValueError (UnicodeError is one) if the host is not a valid name.
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
    # The reason is logged for the operator. The caller gets the same error for unknown and for forbidden hosts.
    get_logger().warning("url_refused", host=target.host, port=target.port, reason=reason)
    return UrlRefused(
        "The host of image_url, or of what it is redirected to, is none that images are fetched from: it does not "
        "exist, or is not on the public network, or is asked at an unusual port, and URL_FETCH_ALLOW does not name it."
    )


def _unreachable() -> UrlUnreachable:
    return UrlUnreachable(
        "The server of image_url cannot be reached, or its certificate is not valid, or it speaks no HTTP."
    )
