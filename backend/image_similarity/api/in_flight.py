"""One budget of bytes for all requests of a process: bodies while they are processed, answers until they are sent.

No request waits for it: if the budget is used up, a request is refused before its body is read.
"""

from __future__ import annotations

from types import TracebackType

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_similarity.api.errors import domain_problem
from image_similarity.api.limit_body import BodyLimits
from image_similarity.api.routes import PREFIX
from image_similarity.domain.errors import AnswerTooLarge, BodyTooLarge, ImageSimilarityError, TooMuchInFlight
from image_similarity.telemetry.metrics import Metrics

PIECE = 65536
"""Bytes of an answer that are passed to the connection at a time. The connection buffers about as many while the client
does not read, and then blocks the sender, which holds the request's share. Each request also holds so many bytes for
its answer from the beginning, so that a short answer is never refused after the work is done."""

EXEMPT = frozenset({"/metrics", f"{PREFIX}/health", f"{PREFIX}/ready"})
"""Monitoring is always answered; these routes have short answers and read no body."""

_RETRY_AFTER = 1.0
"""Seconds."""


class Budget:
    """The bytes that all requests together may hold. Only one event loop may use it."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self.limit = limit
        self.held = 0
        self._metrics = metrics

    def take(self, size: int) -> None:
        """Take `size` bytes. Raises TooMuchInFlight if other requests hold too many."""
        if self.held + size > self.limit:
            self._metrics.in_flight_refused.inc()
            raise TooMuchInFlight(
                f"Requests under way hold {self.held} of {self.limit} bytes (MAX_BYTES_IN_FLIGHT), and this one needs "
                f"{size} more; try again in a moment.",
                retry_after=_RETRY_AFTER,
            )
        self.hold(size)

    def give_back(self, size: int) -> None:
        """Release bytes that were taken."""
        self.hold(-size)

    def hold(self, size: int) -> None:
        """Take bytes even if the limit is exceeded."""
        self.held += size
        self._metrics.bytes_in_flight.set(self.held)


class Share:
    """The bytes that one request holds; they are released when the block ends."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._body = 0
        self._answer = 0

    def __enter__(self) -> Share:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.give_back(self._body + self._answer)

    def has_body(self, size: int) -> None:
        """Hold a body of at least `size` bytes. Raises BodyTooLarge, TooMuchInFlight."""
        limit = self._budget.limit - self._answer
        if size > limit:
            raise BodyTooLarge(f"The body has at least {size} bytes; there is room for {limit} (MAX_BYTES_IN_FLIGHT).")
        if size > self._body:
            self._budget.take(size - self._body)
            self._body = size

    def will_answer(self, size: int) -> None:
        """Hold an answer of up to `size` bytes, before it is built. Raises AnswerTooLarge, TooMuchInFlight."""
        limit = self._budget.limit - self._body
        if size > limit:
            raise AnswerTooLarge(f"The answer has {size} bytes; there is room for {limit} (MAX_BYTES_IN_FLIGHT).")
        if size > self._answer:
            self._budget.take(size - self._answer)
            self._answer = size

    def answers(self, size: int) -> None:
        """Hold a piece of an answer that has begun; it is too late to refuse it."""
        if size > self._answer:
            self._budget.hold(size - self._answer)
            self._answer = size


def share_of(request: Request) -> Share:
    """Return the share of a request, for a route that builds a large answer."""
    share: Share = request.scope["in_flight"]
    return share


class BytesInFlightMiddleware:
    """Counts the bytes that each request holds. Must be outside of `BodyLimitMiddleware`."""

    def __init__(self, app: ASGIApp, budget: Budget, limits: BodyLimits) -> None:
        self._app = app
        self._budget = budget
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it with a problem document."""
        if scope["type"] != "http" or scope["path"] in EXEMPT:
            await self._app(scope, receive, send)
            return
        with Share(self._budget) as share:
            scope["in_flight"] = share
            sending = _Sending(share, scope, receive, send)
            try:
                share.will_answer(PIECE)
            except ImageSimilarityError as error:
                await sending.refuse(error)
                return
            await self._app(scope, self._counting(scope, receive, share), sending)

    def _counting(self, scope: Scope, receive: Receive, share: Share) -> Receive:
        declared = Headers(scope=scope).get("content-length", "")
        # Uploads go to disk as they arrive; only one image of them is in memory at a time.
        most = self._limits.in_memory
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            if declared.isdigit():
                share.has_body(min(int(declared), most))
            message = await receive()
            received += len(message.get("body", b""))
            share.has_body(min(received, most))
            return message

        return receive_counted


class _Sending:
    """Sends an answer in pieces, or a refusal in its place."""

    def __init__(self, share: Share, scope: Scope, receive: Receive, send: Send) -> None:
        self._share = share
        self._scope = scope
        self._receive = receive
        self._send = send
        self._refused = False

    async def __call__(self, message: Message) -> None:
        """Send a message of an answer."""
        if self._refused:
            return
        if message["type"] == "http.response.start":
            declared = Headers(raw=message.get("headers", [])).get("content-length", "")
            try:
                self._share.will_answer(int(declared) if declared.isdigit() else 0)
            except ImageSimilarityError as error:
                self._refused = True
                await self.refuse(error)
                return
        body = message.get("body", b"")
        self._share.answers(len(body))
        start = 0
        while len(body) - start > PIECE:
            await self._send({**message, "body": body[start : start + PIECE], "more_body": True})
            start += PIECE
        await self._send({**message, "body": body[start:]} if start else message)

    async def refuse(self, error: ImageSimilarityError) -> None:
        """Send a problem document."""
        answer = await domain_problem(Request(self._scope), error)
        await answer(self._scope, self._receive, self._send)
