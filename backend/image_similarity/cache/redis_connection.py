"""Connections to Redis that know the run id of their server, and calls with a time limit."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from image_similarity.cache.circuit_breaker import BreakerState, CircuitBreaker
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.metrics import Metrics

Command = tuple[str | bytes | int | float, ...]

MAX_SESSIONS = 16
"""Maximum number of concurrent calls with a time limit; a reply takes some 30 µs, so few are enough."""

GONE_AFTER = 30_000
"""Milliseconds without a packet from the other machine, after which a connection is closed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Replies of Redis."""

    run: str
    """Run id of the server; it changes with every restart and every failover."""
    replies: list[Any]
    """One per command; a ResponseError if Redis refused the command."""


@dataclass(frozen=True, slots=True)
class _Session:
    connection: AbstractConnection
    run: str


class RedisConnection:
    """Sends commands to one Redis over sessions that stay open.

    It uses redis-py's `Connection`, but not its pool and client: their connections reconnect by themselves, and then we
    would not notice that the server has restarted, perhaps with older data.
    """

    def __init__(
        self, url: str, *, password: str | None, timeout: float, breaker: CircuitBreaker, metrics: Metrics
    ) -> None:
        """Connect later, with the first command. Raises ValueError if `url` is not a Redis URL."""
        options: dict[str, Any] = {
            "password": password,
            # `ask` limits the time of whole calls; callers of `request_without_timeout` set their own limit.
            "socket_timeout": None,
            "socket_connect_timeout": None,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            **parse_url(url),
        }
        self._class: type[AbstractConnection] = options.pop("connection_class", Connection)
        if "path" not in options:
            options["socket_keepalive_options"] = _keepalive()
        self._options = options
        self._timeout = timeout
        self._breaker = breaker
        self._metrics = metrics
        self._idle: list[_Session] = []
        self._places = asyncio.Semaphore(MAX_SESSIONS)

    @property
    def breaker(self) -> BreakerState:
        """The state of the circuit breaker."""
        return self._breaker.state

    def failure(self) -> str | None:
        """Return why calls are not made; None if they are."""
        return None if self.breaker is BreakerState.CLOSED else f"Redis does not answer: {self._breaker.reason}"

    async def ask(self, *commands: Command) -> Answer | None:
        """Return the replies, or None if they do not come in time; None at once while the breaker is open."""
        started = self._breaker.start()
        return None if started is None else await self._ask_in_time(started, commands)

    async def probe(self) -> None:
        """Check whether a Redis that did not answer is back, once the breaker's pause is over."""
        started = self._breaker.start_probe()
        if started is not None and await self._ask_in_time(started, (("PING",),)):
            get_logger().info("redis_answers_again")
        self._metrics.cache_breaker.set(self.breaker is not BreakerState.CLOSED)

    async def request_without_timeout(self, *commands: Command) -> Answer:
        """Return the replies without a time limit. Raises RedisError and OSError."""
        while self._idle:
            session = self._idle.pop()
            # An idle session may have been cut off, which does not mean that Redis is down now: open a new one then. A
            # session that is known to be closed must not be used, because redis-py would reconnect unnoticed.
            with contextlib.suppress(RedisError, OSError):
                if session.connection.is_connected:
                    return await self._converse(session, commands)
        return await self._converse(await self._open(), commands)

    async def listen(self, channel: str) -> AsyncIterator[None]:
        """Yield for each published message, and once at the start. Raises RedisError and OSError."""
        session = await self._open()
        try:
            await session.connection.send_command("SUBSCRIBE", channel)
            while True:
                await session.connection.read_response()
                yield
        finally:
            await _hang_up(session.connection)

    async def close(self) -> None:
        """Close the idle sessions; those in use close with their calls."""
        while self._idle:
            await _hang_up(self._idle.pop().connection)

    async def _ask_in_time(self, started: float, commands: tuple[Command, ...]) -> Answer | None:
        try:
            async with asyncio.timeout(self._timeout), self._places:
                answer = await self.request_without_timeout(*commands)
        except (RedisError, OSError) as error:
            # TimeoutError is an OSError. Messages of redis-py name the address but never the password.
            reason = str(error) or f"no answer within {self._timeout:g} s"
            self._metrics.cache_errors.inc()
            was = self.breaker
            self._breaker.failed(started, reason)
            if was is BreakerState.CLOSED and self.breaker is BreakerState.OPEN:
                self._metrics.cache_breaker.set(1)
                get_logger().warning("redis_does_not_answer", reason=reason)
            return None
        self._breaker.succeeded()
        return answer

    async def _converse(self, session: _Session, commands: tuple[Command, ...]) -> Answer:
        connection = session.connection
        replies: list[Any] = []
        try:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            for _ in commands:
                try:
                    replies.append(await connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        except BaseException:
            # After a cancellation between command and reply, the next caller would read this reply.
            await _hang_up(connection)
            raise
        self._idle.append(session)
        return Answer(session.run, replies)

    async def _open(self) -> _Session:
        connection = self._class(**self._options)
        try:
            connecting: Awaitable[None] = connection.connect()  # type: ignore[no-untyped-call]
            await connecting
            await connection.send_command("INFO", "server")
            info: bytes = await connection.read_response()
        except BaseException:
            await _hang_up(connection)
            raise
        lines = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
        return _Session(connection, lines[b"run_id"].decode())


def as_none(reply: Any) -> Any:
    """Return the reply, or None for a refusal."""
    return None if isinstance(reply, ResponseError) else reply


def was_cut(error: BaseException) -> bool:
    """Return whether an open connection was cut; unlike a refused one, it does not show that Redis is down."""
    cause = error.__context__
    refused = isinstance(cause, OSError) and not isinstance(cause, ConnectionResetError | BrokenPipeError)
    # Subclasses stand for replies of Redis: a wrong password, too many clients.
    return type(error) is RedisConnectionError and not refused


async def _hang_up(connection: AbstractConnection) -> None:
    closing: Awaitable[None] = connection.disconnect(nowait=True)
    with contextlib.suppress(RedisError, OSError):
        await closing


def _keepalive() -> dict[int, int]:
    """Return the socket options, as far as the system has them, that close connections to an unreachable machine."""
    wanted = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": GONE_AFTER}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
