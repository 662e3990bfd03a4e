"""Searching by URL, and with good and bad examples: over HTTP and by command, on both stores."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from image_similarity.domain.queries import Strategy
from image_similarity.images.thumbnail import THUMBNAIL_SIDE
from tests.support.commands import Cli
from tests.support.qdrant_process import QdrantProcess
from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer, make_settings, running_server
from tests.support.web_server import WebServer, ok, redirect, web_server

PHOTOS = [encoded(photo(96, 72, seed=seed), "PNG") for seed in range(6)]
ALL = [f"photo-{number}" for number in range(len(PHOTOS))]


@pytest.fixture(scope="module", params=["embedded", "qdrant"])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path
) -> Iterator[RunningServer]:
    given: dict[str, Any] = {"log_level": "ERROR", "url_fetch_allow": ["127.0.0.1"], "allow_url_fetch": True}
    if request.param == "qdrant":
        qdrant: QdrantProcess = request.getfixturevalue("qdrant")
        given |= {"qdrant_url": qdrant.url, "qdrant_grpc_port": qdrant.grpc_port}
        given |= {"qdrant_collection_name": "examples"}
    with running_server(make_settings(tmp_path_factory.mktemp("data"), tiny_checkpoint, **given)) as server:
        for image_id, data in zip(ALL, PHOTOS, strict=True):
            server.index(data, image_id=image_id)
        yield server


@pytest.fixture
async def web() -> AsyncIterator[WebServer]:
    async with web_server() as running:
        running.answers |= {f"/{number}.png": ok(data) for number, data in enumerate(PHOTOS)}
        yield running


def search(server: RunningServer, **body: Any) -> dict[str, Any]:
    answer = server.http.post("/search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def search_meanwhile(server: RunningServer, **body: Any) -> httpx.Response:
    """Search while this event loop serves what the search fetches."""
    return await asyncio.to_thread(lambda: server.http.post("/search", json=body))


def ids(answer: dict[str, Any]) -> list[str]:
    return [hit["image_id"] for hit in answer["results"]]


@pytest.mark.parametrize("strategy", Strategy)
def test_examples_shape_a_query_and_are_left_out(filled: RunningServer, strategy: Strategy) -> None:
    plain = search(filled, image_id="photo-0")
    body = {"image_id": "photo-0", "positive": ["photo-1"], "negative": [{"image_id": "photo-2"}]}
    shaped = search(filled, **body, strategy=strategy)

    assert sorted(ids(shaped)) == ["photo-3", "photo-4", "photo-5"]
    scores = [hit["score"] for hit in shaped["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)
    before = {hit["image_id"]: hit["score"] for hit in plain["results"]}
    assert scores != [before[image_id] for image_id in ids(shaped)]
    assert ids(search(filled, **body, strategy=strategy, threshold=scores[1])) == ids(shaped)[:2]


@pytest.mark.parametrize("strategy", Strategy)
def test_examples_go_with_the_options_for_results(filled: RunningServer, strategy: Strategy) -> None:
    body = {"image_id": "photo-0", "positive": ["photo-1"], "negative": ["photo-2"], "strategy": strategy}
    plain = search(filled, **body)
    collapsed = search(filled, **body, collapse_duplicates=True, threshold="auto")
    assert set(ids(collapsed)) <= set(ids(plain))
    diverse = filled.http.post("/search", json={**body, "diversity": 0.5})
    if strategy is Strategy.BEST_SCORE:
        assert diverse.status_code == 422
        assert "Diversity" in diverse.json()["detail"]
    else:
        assert sorted(ids(diverse.json())) == sorted(ids(plain))


@pytest.mark.parametrize("strategy", Strategy)
def test_an_example_may_be_an_image(filled: RunningServer, strategy: Strategy) -> None:
    image = base64.b64encode(PHOTOS[3]).decode()
    found = search(filled, positive=[{"image_data": image}], strategy=strategy)
    assert ids(found)[0] == "photo-3"
    by_id = search(filled, positive=["photo-3"], strategy=strategy)
    assert ids(by_id) == ids(found)[1:]


def test_the_default_is_the_average(filled: RunningServer) -> None:
    body: dict[str, Any] = {"positive": ["photo-1", "photo-2"], "negative": ["photo-3"]}
    assert search(filled, **body)["results"] == search(filled, **body, strategy="average")["results"]
    assert search(filled, **body)["cached"] is True
    form = {"positive": '["photo-1", "photo-2"]', "negative": '["photo-3"]', "strategy": "best_score"}
    answer = filled.http.post("/search", files={"image": ("x.png", PHOTOS[0])}, data=form)
    assert answer.status_code == 200, answer.text
    assert ids(answer.json())[0] == "photo-0"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"positive": ["a"], "negative": ["a"]}, 'not both: "a"'),
        ({"negative": ["a"]}, "choose best_score or sum_scores"),
        ({"positive": [{}]}, "positive.0 names 0 of image_data, image_url, image_id"),
        ({"negative": ["b", {"image_id": "a", "image_url": "http://a"}]}, "negative.1 names 2 of"),
        ({"positive": [{"text": "cats"}]}, "positive.0"),
        ({"positive": "a"}, "positive"),
        ({"positive": [""]}, "positive.0"),
        ({"positive": ["a"] * 33}, "positive"),
        ({"positive": ["a"], "strategy": "magic"}, "strategy"),
        ({"positive": [{"image_data": "!"}]}, "not base64"),
        ({"image_url": "http://a/" + "a" * 2048}, "image_url"),
        ({"query": [{"image_url": "http://a/", "text": "b"}]}, "query.0 names 2 of"),
        ({"positive": [{"image_url": f"http://a/{number}"} for number in range(9)]}, "up to 8 URLs"),
    ],
)
def test_examples_without_sense_say_what_is_wrong(filled: RunningServer, body: dict[str, Any], complaint: str) -> None:
    answer = filled.http.post("/search", json=body)
    assert answer.status_code == 422
    assert complaint in answer.json()["detail"]


def test_an_unknown_example_is_not_found(filled: RunningServer) -> None:
    answer = filled.http.post("/search", json={"positive": ["photo-0"], "negative": ["nowhere"]})
    assert (answer.status_code, answer.json()["code"]) == (404, "image_not_found")


async def test_an_image_may_be_where_a_url_says(filled: RunningServer, web: WebServer) -> None:
    web.answers["/moved.png"] = redirect("/4.png", 301)
    alone = await search_meanwhile(filled, image_url=web.url("/moved.png"))
    assert ids(alone.json())[0] == "photo-4"
    assert alone.json()["results"][0]["score"] == pytest.approx(1, abs=1e-3)

    both = [{"image_url": web.url("/4.png")}, {"image_id": "photo-1", "weight": 0.5}]
    mixed = await search_meanwhile(
        filled, query=both, positive=[{"image_url": web.url("/5.png")}], negative=["photo-2"], query_previews=True
    )
    assert {"photo-1", "photo-2"} & set(ids(mixed.json())) == set()
    # Each URL was asked once; what came is answered as a thumbnail where somebody wants it.
    previews = mixed.json()["query_previews"]
    assert set(previews) == {web.url("/4.png"), web.url("/5.png")}
    for url in previews.values():
        with Image.open(BytesIO(base64.b64decode(url.removeprefix("data:image/webp;base64,")))) as picture:
            assert picture.format == "WEBP"
            assert max(picture.size) <= THUMBNAIL_SIDE
    assert alone.json()["query_previews"] == {}
    assert {path for path, _ in web.requests} == {"/moved.png", "/4.png", "/5.png"}


async def test_each_reason_not_to_fetch_has_its_code(filled: RunningServer, web: WebServer) -> None:
    web.answers |= {"/text": ok(b"no image"), "/inside": redirect("http://169.254.169.254/")}
    web.answers["/huge"] = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"
    for url, status, code in (
        ("ftp://127.0.0.1/", 422, "url_refused"),
        ("http://10.0.0.1/", 422, "url_refused"),
        ("http://127.0.0.2/", 422, "url_refused"),
        (web.url("/inside"), 422, "url_refused"),
        (web.url("/nowhere"), 422, "url_unreachable"),
        ("http://127.0.0.1:1/", 422, "url_unreachable"),
        (web.url("/huge"), 413, "body_too_large"),
        (web.url("/text"), 415, "unsupported_format"),
    ):
        answer = await search_meanwhile(filled, image_url=url)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_whoever_hangs_up_ends_the_fetch(filled: RunningServer, web: WebServer) -> None:
    web.answers["/stall"] = web.drip
    async with httpx.AsyncClient(base_url=filled.http.base_url) as client:
        searching = asyncio.create_task(client.post("/search", json={"image_url": web.url("/stall")}))
        await asyncio.wait_for(web.dripping.wait(), 60)
        searching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await searching
    # Long before the time for a fetch is over.
    await asyncio.wait_for(web.hung_up.wait(), filled.settings.url_fetch_timeout / 2)


def test_the_command_likes_and_dislikes_too(filled: RunningServer, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "query.png").write_bytes(PHOTOS[0])
    arguments = ("--like", "photo-1", "--like", "photo-2", "--unlike", "photo-3", "--strategy", "relevance_feedback")
    done = cli("search", tmp_path / "query.png", *arguments, "--json", "--url", filled.url)
    assert done.status == 0, done.stderr
    expected = search(
        filled,
        image_data=base64.b64encode(PHOTOS[0]).decode(),
        positive=["photo-1", "photo-2"],
        negative=["photo-3"],
        strategy="relevance_feedback",
    )
    assert [hit["image_id"] for hit in json.loads(done.stdout)] == ids(expected)

    alone = cli("search", "--like", "photo-1", "--json", "--url", filled.url)
    assert len(json.loads(alone.stdout)) == len(PHOTOS) - 1
    assert cli("search", "--unlike", "photo-1", "--url", filled.url).status == 1


async def test_the_command_names_a_url(filled: RunningServer, web: WebServer, cli: Cli) -> None:
    done = await asyncio.to_thread(
        lambda: cli("search", "--image-url", web.url("/2.png"), "--json", "--url", filled.url)
    )
    assert json.loads(done.stdout)[0]["image_id"] == "photo-2", done.stderr


async def test_the_command_fetches_by_itself_where_it_has_no_server(
    web: WebServer, cli: Cli, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    env = {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": str(tiny_checkpoint), "DEVICE": "cpu"}
    (tmp_path / "cat.png").write_bytes(PHOTOS[1])
    # In another thread: the command runs an event loop of its own, and this one serves the image.
    indexed = await asyncio.to_thread(lambda: cli("index", tmp_path / "cat.png", **env))
    assert indexed.status == 0, indexed.stderr

    def search(**more: str) -> Any:
        return cli("search", "--image-url", web.url("/1.png"), "--json", **env, **more)

    found = await asyncio.to_thread(lambda: search(URL_FETCH_ALLOW="127.0.0.0/8"))
    assert [hit["image_id"] for hit in json.loads(found.stdout)] == ["cat.png"], found.stderr
    refused = await asyncio.to_thread(search)
    assert refused.status == 1
    assert "[url_refused]" in refused.stderr


@pytest.mark.parametrize("kind", ["embedded", "qdrant"])
async def test_an_embedded_server_fetches_by_default_and_a_scaled_one_does_not(
    kind: str, qdrant: QdrantProcess, tmp_path: Path, tiny_checkpoint: Path, web: WebServer
) -> None:
    given: dict[str, Any] = {"url_fetch_allow": ["127.0.0.1"]}
    if kind == "qdrant":
        given |= {"qdrant_url": qdrant.url, "qdrant_prefer_grpc": False, "qdrant_collection_name": "by-default"}
    with running_server(make_settings(tmp_path, tiny_checkpoint, **given)) as server:
        answer = await search_meanwhile(server, image_url=web.url("/0.png"))
    if kind == "embedded":
        assert answer.json()["results"] == []
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "url_fetch_disabled")
        assert "ALLOW_URL_FETCH" in answer.json()["detail"]
