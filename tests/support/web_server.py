"""A web server on this machine that answers as each test tells it to, over plain HTTP or TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""All that is sent, or what sends it; afterwards the connection is closed."""


@dataclass
class WebServer:
    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    """By path."""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and headers (names in lower case) of what was asked."""
    dripping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once an answer of `drip` has begun."""
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has gone before its answer was whole."""

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def drip(self, writer: asyncio.StreamWriter) -> None:
        """Answer without end, a byte at a time."""
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.dripping.set()
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)


def ok(body: bytes, *headers: str) -> bytes:
    return _whole("200 OK", body, f"Content-Length: {len(body)}", *headers)


def redirect(location: str, status: int = 302) -> bytes:
    return _whole(f"{status} Elsewhere", b"", f"Location: {location}", "Content-Length: 0")


def _whole(status: str, body: bytes, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body


@asynccontextmanager
async def web_server(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[WebServer]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *lines = head.strip().split("\r\n")
            path = line.split()[1]
            named = (text.partition(":") for text in lines)
            running.requests.append((path, {name.lower(): value.strip() for name, _, value in named}))
            answer = running.answers.get(path, _whole("404 Not Found", b"nothing here"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            running.hung_up.set()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    running = WebServer(server.sockets[0].getsockname()[1])
    try:
        yield running
    finally:
        server.close()


class Authority:
    """A certificate authority of the tests' own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority of the tests")])
        authority = x509.BasicConstraints(ca=True, path_length=None)
        self._certificate = self._builder(self._name, self._key).add_extension(authority, critical=True)
        (folder / "authority.pem").write_bytes(self._sign(self._certificate))

    def trusted(self) -> ssl.SSLContext:
        """Return what a client trusts: this authority alone."""
        return ssl.create_default_context(cafile=self._folder / "authority.pem")

    def server(self, *names: str) -> ssl.SSLContext:
        """Return what a server needs to be the host of these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        chain = self._folder / f"{names[0]}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain.write_bytes(private + self._sign(self._builder(subject, key).add_extension(alternatives, critical=False)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
