"""What a probe reads: found in the background, bounded in time, and never older than it says."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from image_similarity.api.worker_app import create_worker_app
from image_similarity.domain.errors import StoreUnavailable
from image_similarity.engine import health
from image_similarity.engine.health import Monitor, Readiness
from image_similarity.jobs.base import QueueInfo
from tests.support.engines import running_engine
from tests.support.servers import PATIENCE, make_settings


async def well() -> None:
    return None


async def failing() -> None:
    raise StoreUnavailable("no route")


async def hanging() -> None:
    await asyncio.Event().wait()


async def mistaken() -> None:
    raise ZeroDivisionError


async def test_each_part_is_found_as_it_is_and_none_holds_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LIMIT", 0.05)
    monitor = Monitor()
    assert monitor.findings() == {}
    assert monitor.problem("store") is None, "nobody has looked"
    for part, look in {"store": failing, "hung": hanging, "odd": mistaken, "fine": well}.items():
        monitor.add(part, look)
    await monitor.look()
    assert {part: found.problem for part, found in monitor.findings().items()} == {
        "store": "no route",
        "hung": "No answer within 0.05 s.",
        "odd": "The check itself failed: ZeroDivisionError.",
        "fine": None,
    }
    assert (monitor.failure("store"), monitor.failure("hung")) == ("no route", None), "a busy part has not failed"


async def test_what_is_too_old_is_no_knowledge(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = Monitor()
    monitor.add("store", well)
    await monitor.look()
    monkeypatch.setattr(health, "STALE", -1.0)
    assert "Nothing is known" in str(monitor.problem("store"))
    assert monitor.failure("store") is None


async def test_it_goes_on_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "EVERY", 0.01)
    answers = [failing, mistaken, well]
    monitor = Monitor()
    monitor.add("store", lambda: (answers.pop(0) if answers else failing)())
    watch = asyncio.create_task(monitor.run())
    async with asyncio.timeout(PATIENCE):
        while answers or monitor.problem("store") != "no route":  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.01)
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch


def test_readiness_is_every_fact_of_the_process() -> None:
    readiness, problems = Readiness(), {"disk": "", "decoders": ""}
    for name in problems:
        readiness.add(name, lambda name=name: problems[name] or None)  # type: ignore[misc]
    assert readiness.problems() == {}
    problems["disk"] = "full"
    assert readiness.problems() == {"disk": "full"}


async def test_a_worker_without_its_broker_is_ready_and_says_what_is_wrong(tmp_path: Path) -> None:
    async def away() -> QueueInfo:
        return QueueInfo("rabbitmq", waiting=0, problem="RabbitMQ does not answer: refused")

    async with AsyncExitStack() as stack:
        rig = await stack.enter_async_context(running_engine(tmp_path))
        app = create_worker_app(rig.engine, make_settings(tmp_path, "colours"), away)
        await stack.enter_async_context(app.router.lifespan_context(app))
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker/api/v1")
        http = await stack.enter_async_context(client)
        assert (await http.get("/ready")).json() == {"ready": True}
        health = (await http.get("/health")).json()
        assert (health["status"], health["services"]["jobs"]["detail"]) == (
            "degraded",
            "RabbitMQ does not answer: refused",
        )
        assert 'image_similarity_part_up{part="broker"} 0.0' in (await http.get("http://worker/metrics")).text
        await rig.vectors.close()
        await rig.engine.health.look()
        assert (await http.get("/ready")).json()["code"] == "not_ready"
        assert (await http.get("/health")).json()["status"] == "unhealthy"
