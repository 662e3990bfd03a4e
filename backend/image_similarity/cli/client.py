"""The command line's access to a collection: an engine in this process or a running server, behind one Protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from image_similarity.api.schemas.status import StatsResponse
from image_similarity.cli.remote_client import RemoteClient
from image_similarity.cli.running_server import Server
from image_similarity.domain.errors import ImageNotFound
from image_similarity.domain.facets import Facets
from image_similarity.domain.queries import Mode, Query, SearchOptions, SearchResult
from image_similarity.domain.records import IndexResult, Metadata
from image_similarity.engine.feedback.events import FeedbackEvent
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.settings import Settings


class Client(Protocol):
    """The use cases of the command line; implementations raise the errors of `domain/errors.py`."""

    async def index_image(self, data: bytes, *, image_id: str, metadata: Metadata) -> IndexResult:
        """Add an image."""
        ...

    async def search(self, query: Query, options: SearchOptions, raw_filter: dict[str, Any] | None) -> SearchResult:
        """Run a query; `raw_filter` is the JSON that `options.filter` was parsed from."""
        ...

    async def delete_image(self, image_id: str) -> None:
        """Remove an image."""
        ...

    async def has_image(self, image_id: str) -> bool:
        """Return whether an image is indexed."""
        ...

    def feedback(self) -> AsyncIterator[FeedbackEvent]:
        """Yield all verdicts, oldest first."""
        ...

    async def facets(self) -> Facets:
        """Return the metadata fields of the images; an implementation may leave out their values."""
        ...

    async def stats(self) -> dict[str, Any]:
        """Return the figures of `GET /api/v1/stats`."""
        ...


@asynccontextmanager
async def connect(settings: Settings, server: Server | None) -> AsyncIterator[Client]:
    """Connect to `server`; open the data folder if it is None.

    Raises the errors of `build_engine`.
    """
    if server is not None:
        async with RemoteClient(server) as remote:
            yield remote
        return
    # This imports torch, which a client of a server does not need.
    from image_similarity.bootstrap.engine import build_engine

    engine = await build_engine(settings)
    try:
        yield LocalClient(engine, queue_limit=settings.max_queue)
    finally:
        await engine.close()


class LocalClient:
    """Implements `Client` with an engine in this process."""

    def __init__(self, engine: SearchEngine, *, queue_limit: int) -> None:
        self._engine = engine
        self._queue_limit = queue_limit
        self.fallback_reason = engine.model.fallback_reason
        """Why the offline model replaces the one of the settings; None if it does not."""

    async def index_image(self, data: bytes, *, image_id: str, metadata: Metadata) -> IndexResult:
        """Add an image."""
        result = await self._engine.index_image(data, image_id=image_id, metadata=metadata)
        if result.untagged:
            await self._engine.tag_image(image_id)
        return result

    async def search(self, query: Query, options: SearchOptions, raw_filter: dict[str, Any] | None) -> SearchResult:  # noqa: ARG002
        """Run a query."""
        if query.mode is not Mode.VECTOR:
            # A server does this from its start on. In this process, nothing has done it yet.
            await self._engine.bring_up_to_date()
        return await self._engine.search(query, options)

    async def delete_image(self, image_id: str) -> None:
        """Remove an image."""
        await self._engine.delete_image(image_id)

    async def has_image(self, image_id: str) -> bool:
        """Return whether an image is indexed."""
        try:
            await self._engine.get_image(image_id)
        except ImageNotFound:
            return False
        return True

    def feedback(self) -> AsyncIterator[FeedbackEvent]:
        """Yield all verdicts, oldest first."""
        return self._engine.feedback.export()

    async def facets(self) -> Facets:
        """Return the metadata fields of the images, with their values."""
        return await self._engine.facets()

    async def stats(self) -> dict[str, Any]:
        """Return the engine's figures."""
        figures = StatsResponse.of(await self._engine.stats(), uptime_seconds=0, queue_limit=self._queue_limit)
        return figures.model_dump(mode="json")
