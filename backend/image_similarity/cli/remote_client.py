"""`Client` over HTTP with a running server; requests are retried while the server is busy."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import orjson

from image_similarity.cli.running_server import API_PREFIX, Server
from image_similarity.cli.search_json import facets_from_json, read_result, search_body
from image_similarity.domain.errors import ImageSimilarityError, InvalidRequest, StoreUnavailable
from image_similarity.domain.facets import Facets
from image_similarity.domain.queries import Query, SearchOptions, SearchResult
from image_similarity.domain.records import IndexResult, Metadata, Outcome
from image_similarity.engine.feedback.events import FeedbackEvent, from_json
from image_similarity.engine.search.facets import MOST_FIELDS

RETRIES = 8
"""How often a 503 or a lost connection is retried, one to 30 seconds apart."""


class RemoteError(ImageSimilarityError):
    """The server refused a request for a reason that is not this image's; the text is the server's."""

    code = "remote_error"


class RemoteNotFound(RemoteError):
    """The server has nothing with that name."""


_AWAY = dict.fromkeys((503, 507), StoreUnavailable)
_KINDS = {**dict.fromkeys((400, 413, 415, 422), InvalidRequest), 404: RemoteNotFound, **_AWAY}
"""The error for a status of the server; any other status is a RemoteError."""


class RemoteClient:
    """Implements `Client` over HTTP with one server; use it as an async context manager."""

    def __init__(self, server: Server, *, connections: int = 1) -> None:
        self._url = server.url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=f"{self._url}{API_PREFIX}",
            headers={"X-API-Key": server.api_key} if server.api_key else None,
            timeout=httpx.Timeout(120, connect=5),
            trust_env=server.trust_env,
            limits=httpx.Limits(max_connections=connections),
        )

    async def __aenter__(self) -> RemoteClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def index_image(self, data: bytes, *, image_id: str, metadata: Metadata) -> IndexResult:
        """Add an image.

        Raises InvalidRequest if this image is at fault, RemoteError, StoreUnavailable.
        """
        answer = await self._send(
            "POST",
            "/index",
            files={"image": ("image", data)},
            data={"image_id": image_id, "metadata": orjson.dumps(metadata).decode()},
        )
        outcome = answer["message"]
        created, changed = outcome == Outcome.INDEXED, outcome != Outcome.UNCHANGED
        return IndexResult(image_id, created, changed, answer["processing_time_ms"])

    async def search(self, query: Query, options: SearchOptions, raw_filter: dict[str, Any] | None) -> SearchResult:
        """Run a query. Raises as `index_image`."""
        return read_result(await self._send("POST", "/search", json=search_body(query, options, raw_filter)))

    async def delete_image(self, image_id: str) -> None:
        """Remove an image. Raises as `index_image`."""
        await self._send("DELETE", f"/images/{quote(image_id, safe='')}")

    async def has_image(self, image_id: str) -> bool:
        """Return whether an image is indexed. Raises as `index_image`."""
        try:
            await self._send("GET", f"/images/{quote(image_id, safe='')}")
        except RemoteNotFound:
            return False
        return True

    async def feedback(self) -> AsyncIterator[FeedbackEvent]:
        """Yield all verdicts, oldest first. Raises as `index_image`."""
        where: dict[str, str | int] = {"limit": 1000}
        while True:
            page = await self._send("GET", "/feedback", params=where)
            for document in page["events"]:
                yield from_json(document)
            if page["next_cursor"] is None:
                return
            where["cursor"] = page["next_cursor"]

    async def delete_feedback(self) -> int:
        """Delete all verdicts, and return how many there were. Raises as `index_image`."""
        deleted: int = (await self._send("DELETE", "/feedback"))["deleted"]
        return deleted

    async def facets(self) -> Facets:
        """Return the metadata fields of the images, without their values. Raises as `index_image`."""
        return facets_from_json(await self._send("GET", "/facets", params={"fields": MOST_FIELDS, "values": 0}))

    async def stats(self) -> dict[str, Any]:
        """Return the server's figures. Raises as `index_image`."""
        return await self._send("GET", "/stats")

    async def warm(self, top: int) -> int:
        """Make the server warm its cache; return how many embeddings it loaded. Raises as `index_image`."""
        loaded: int = (await self._send("POST", "/cache/warm", params={"top": top}))["loaded"]
        return loaded

    async def submit_batch(self, images: Sequence[tuple[str, bytes, Metadata]], *, upload: str) -> str:
        """Submit images (id, bytes, metadata) for indexing in the background; return the job's id.

        The server shows jobs with the same `upload`, a label of lower-case letters and digits, as one.
        Raises InvalidRequest if the batch is refused, else as `index_image`.
        """
        metadata = {image_id: fields for image_id, _, fields in images if fields}
        answer = await self._send(
            "POST",
            "/index/batch",
            params={"upload": upload},
            files=[("image", ("image", data)) for _, data, _ in images],
            data={
                "image_ids": orjson.dumps([image_id for image_id, _, _ in images]).decode(),
                "metadata": orjson.dumps(metadata).decode(),
            },
        )
        return str(answer["job_id"])

    async def cancel_job(self, job_id: str) -> None:
        """Cancel a job; images that it has indexed stay. Raises RemoteError, RemoteNotFound, StoreUnavailable."""
        await self._send("DELETE", f"/jobs/{job_id}")

    async def follow(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """Yield a job's documents as it proceeds, the last one with its failures.

        Reconnects after a broken connection. Raises RemoteError, StoreUnavailable.
        """
        failures = 0
        while failures <= RETRIES:
            try:
                async with self._http.stream("GET", f"/jobs/{job_id}/events") as response:
                    if response.is_error:
                        await response.aread()
                        if response.status_code != 503:
                            _read(response)
                    event = ""
                    async for line in response.aiter_lines():
                        if line.startswith("event: "):
                            event = line.removeprefix("event: ")
                        elif line.startswith("data: ") and response.is_success:
                            failures = 0
                            yield orjson.loads(line.removeprefix("data: "))
                            if event == "finished":
                                return
            except httpx.TransportError:
                pass
            failures += 1
            await asyncio.sleep(min(30.0, failures) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        raise StoreUnavailable(f"{self._url} no longer reports the progress of job {job_id}; the job may go on.")

    async def _send(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """Send a request; retry while the server is busy, which is safe because of the idempotency key."""
        content["headers"] = {"Idempotency-Key": str(uuid4())}
        for attempt in range(RETRIES + 1):
            try:
                response = await self._http.request(method, path, **content)
            except httpx.TransportError as error:
                failure: ImageSimilarityError = StoreUnavailable(
                    f"{self._url} does not answer ({error}). Is the server running? Start one with: "
                    "image-similarity serve"
                )
                # If the first attempt cannot connect, no server runs. Later the server may be restarting: retry.
                if isinstance(error, httpx.ConnectError) and not attempt:
                    raise failure from error
                pause = 1.0
            else:
                if response.status_code != 503:
                    return _read(response)
                pause = float(response.headers.get("retry-after", 1))
                failure = _refusal(response)
            if attempt < RETRIES:
                await asyncio.sleep(min(30.0, pause) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        raise failure


def _read(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise _refusal(response)
    return dict(orjson.loads(response.content))


def _refusal(response: httpx.Response) -> ImageSimilarityError:
    """Return the error of a server's answer, with the server's text and code."""
    kind = _KINDS.get(response.status_code, RemoteError)
    try:
        problem = orjson.loads(response.content)
        error = kind(problem["detail"])
        error.code = problem["code"]
    except (ValueError, TypeError, KeyError):
        error = kind(f"The server answered {response.status_code} {response.reason_phrase}.")
    return error
