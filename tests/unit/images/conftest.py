"""What the tests of images by URL share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.url_fetching import IMAGE
from tests.support.web_server import WebServer, ok, web_server


@pytest.fixture
async def web() -> AsyncIterator[WebServer]:
    async with web_server() as running:
        running.answers["/image"] = ok(IMAGE, "Content-Type: text/plain")
        yield running
