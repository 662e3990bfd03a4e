"""What the application takes from FastAPI when it is made, so that no request waits for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fastapi.routing
import httpx
import pytest

from image_similarity.api.app import create_app
from image_similarity.bootstrap.jobs import build_jobs
from tests.support.engines import running_engine
from tests.support.servers import make_settings


async def test_the_first_request_works_out_nothing_about_routes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked_out: list[str] = []
    get_dependant = fastapi.routing.get_dependant

    def noting(**given: Any) -> Any:
        worked_out.append(given["path"])
        return get_dependant(**given)

    monkeypatch.setattr(fastapi.routing, "get_dependant", noting)
    settings = make_settings(tmp_path, "mini")
    async with running_engine(tmp_path) as rig:
        app = create_app(rig.engine, settings, build_jobs(settings, rig.engine))
        # It is seen here, so the name is still that which FastAPI calls.
        assert "/api/v1/index" in worked_out
        worked_out.clear()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api/v1") as client:
            assert (await client.post("/index", json={})).status_code == 422
            assert (await client.get("/nothing")).status_code == 404
    assert worked_out == []
