"""Which answers are compressed, and for whom."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from image_similarity.api.compression import LEAST_BYTES, LONG_BYTES, CompressJson, takes_gzip


def body_of(size: int) -> bytes:
    return orjson.dumps(["x" * (size - 4)])


async def sized(request: Request) -> Response:
    kind = request.query_params.get("type", "application/json")
    return Response(body_of(int(request.query_params["size"])), media_type=kind)


async def pieces(_: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"[" + b" " * LEAST_BYTES
        yield b"]"

    return StreamingResponse(parts(), media_type="application/json")


APP = CompressJson(Starlette(routes=[Route("/sized", sized), Route("/pieces", pieces)]))


async def ask(path: str, accepted: str = "gzip, deflate, br", method: str = "GET") -> tuple[httpx.Response, bytes]:
    """Return the answer and its body as it was sent."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(APP), base_url="http://test") as client:
        request = client.build_request(method, path, headers={"Accept-Encoding": accepted})
        answer = await client.send(request, stream=True)
        raw = b"".join([part async for part in answer.aiter_raw()])
        return answer, raw


@pytest.mark.parametrize("size", [LEAST_BYTES, LONG_BYTES])
@pytest.mark.parametrize("kind", ["application/json", "application/problem+json"])
async def test_large_json_is_compressed(size: int, kind: str) -> None:
    answer, raw = await ask(f"/sized?size={size}&type={kind.replace('+', '%2B')}")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert int(answer.headers["content-length"]) == len(raw) < size / 10
    assert gzip.decompress(raw) == body_of(size)


@pytest.mark.parametrize(
    ("path", "accepted", "method"),
    [
        (f"/sized?size={LEAST_BYTES - 1}", "gzip", "GET"),
        ("/sized?size=9000&type=image/webp", "gzip", "GET"),
        ("/sized?size=9000&type=text/event-stream", "gzip", "GET"),
        ("/sized?size=9000", "identity", "GET"),
        ("/sized?size=9000", "gzip;q=0", "GET"),
        ("/sized?size=9000", "gzip", "HEAD"),
        ("/pieces", "gzip", "GET"),
    ],
)
async def test_all_else_is_sent_as_it_is(path: str, accepted: str, method: str) -> None:
    answer, _ = await ask(path, accepted, method)
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers


async def test_caches_are_told_that_the_answer_depends_on_what_is_accepted() -> None:
    answer, raw = await ask("/sized?size=9000", "identity")
    assert answer.headers["vary"] == "Accept-Encoding"
    assert raw == body_of(9000)


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("", False),
        ("br", False),
        ("GZIP", True),
        ("br;q=1.0, gzip;q=0.5", True),
        ("gzip; q=0.0", False),
        ("*", True),
        ("gzip;q=0, *", False),
        ("gzip;q=nonsense", True),
    ],
)
def test_what_a_client_accepts(accepted: str, takes: bool) -> None:
    assert takes_gzip(accepted) is takes
