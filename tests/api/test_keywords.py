"""Searching by the words of descriptions and tags, and by looks and words together, over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.qdrant_process import QdrantProcess
from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer, make_settings, running_server

WORDS: dict[str, dict[str, Any]] = {
    "bus": {"tags": ["red", "double-decker bus"], "year": 2020},
    "car": {"description": "A red car at a bus stop, seen from far away", "year": 2021},
    "dogs": {"description": "Two dogs playing in the sun", "tags": ["golden retriever"], "year": 2022},
    "sunflower": {"description": "A field of sunflowers", "year": 2023},
    "silent": {"year": 2024},
}
PHOTOS = {name: encoded(photo(seed=seed), "JPEG", quality=90) for seed, name in enumerate(WORDS)}


@pytest.fixture(scope="module", params=["embedded", "server-rest", "server-grpc"])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path
) -> Iterator[RunningServer]:
    """A server over each store, with five images."""
    folder = tmp_path_factory.mktemp("data")
    qdrant = QdrantProcess(folder)
    settings = make_settings(folder / "data", tiny_checkpoint, log_level="ERROR")
    if request.param != "embedded":
        qdrant.start()
        settings = make_settings(
            folder / "data",
            tiny_checkpoint,
            log_level="ERROR",
            qdrant_url=qdrant.url,
            qdrant_grpc_port=qdrant.grpc_port,
            qdrant_prefer_grpc=request.param == "server-grpc",
        )
    with running_server(settings) as running:
        for name, metadata in WORDS.items():
            running.index(PHOTOS[name], image_id=name, metadata=json.dumps(metadata))
        yield running
    qdrant.stop()


def search(server: RunningServer, path: str = "/search/keywords", **body: Any) -> dict[str, Any]:
    answer = server.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: dict[str, Any]) -> list[str]:
    return [hit["image_id"] for hit in answer["results"]]


def image(name: str) -> str:
    return base64.b64encode(PHOTOS[name]).decode()


def test_words_find_descriptions_and_tags_the_best_first(filled: RunningServer) -> None:
    answer = search(filled, text="red bus")

    assert ids(answer) == ["bus", "car"]
    best, second = answer["results"]
    assert best["score"] > second["score"] > 0
    assert (best["metadata"], best["confidence"]) == (WORDS["bus"], None)
    assert answer["total_found"] == 2


def test_words_are_found_in_other_forms_and_while_they_are_typed(filled: RunningServer) -> None:
    assert ids(search(filled, text="dog")) == ["dogs"]
    assert ids(search(filled, text="sun")) == ["dogs", "sunflower"]
    assert ids(search(filled, text="sunfl")) == ["sunflower"]


def test_the_options_of_a_search_hold(filled: RunningServer) -> None:
    assert ids(search(filled, text="red bus", top_k=1)) == ["bus"]
    assert ids(search(filled, text="red bus sun", filter={"year": {"gt": 2021}})) == ["dogs", "sunflower"]
    assert search(filled, text="dog", with_metadata=False)["results"][0]["metadata"] is None
    best = search(filled, text="red bus")["results"][0]["score"]
    assert best > 1
    assert ids(search(filled, text="red bus", threshold=best - 0.01)) == ["bus"]


@pytest.mark.parametrize("text", ["the", " ", "zebra", "!!", "%00"])
def test_words_that_nobody_wrote_find_nothing(filled: RunningServer, text: str) -> None:
    if not text.strip():
        answer = filled.http.post("/search/keywords", json={"text": text})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    else:
        assert ids(search(filled, text=text)) == []


def test_the_mode_keywords_is_the_same_search(filled: RunningServer) -> None:
    for body in ({"keywords": "red bus"}, {"text": "red bus"}, {"query": [{"text": "red"}, {"text": "bus"}]}):
        assert ids(search(filled, "/search", mode="keywords", **body)) == ["bus", "car"], body


def test_the_mode_keywords_has_the_threshold_of_its_own_scores(filled: RunningServer) -> None:
    best = search(filled, "/search", keywords="red bus", mode="keywords")["results"][0]["score"]
    assert best > 1
    assert ids(search(filled, "/search", keywords="red bus", mode="keywords", threshold=best - 0.01)) == ["bus"]

    for body in ({"mode": "hybrid", "text": "red bus", "threshold": 1.5}, {"mode": "keywords", "threshold": 1001}):
        answer = filled.http.post("/search", json={"keywords": "bus", **body})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "threshold"


def test_hybrid_search_has_what_looks_alike_and_what_is_named(filled: RunningServer) -> None:
    answer = search(filled, "/search", image_data=image("silent"), keywords="dogs", mode="hybrid", top_k=2)

    assert set(ids(answer)) == {"silent", "dogs"}
    assert all(0 < hit["score"] <= 2 / 60 and hit["confidence"] is None for hit in answer["results"])


def test_hybrid_search_with_an_indexed_image_leaves_it_out(filled: RunningServer) -> None:
    answer = search(filled, "/search", image_id="dogs", keywords="dogs sunflowers", mode="hybrid")

    assert ids(answer)[0] == "sunflower"
    assert "dogs" not in ids(answer)


def test_examples_shape_a_hybrid_search(filled: RunningServer) -> None:
    for strategy in ("average", "best_score", "sum_scores", "relevance_feedback"):
        body = {"positive": ["car"], "negative": ["bus"], "strategy": strategy}
        answer = search(filled, "/search", image_id="silent", keywords="sunflower", mode="hybrid", **body)
        assert ids(answer)[0] == "sunflower", strategy
        assert set(ids(answer)) <= {"sunflower", "dogs"}


def test_an_answer_is_remembered_for_its_mode_and_its_words_alone(filled: RunningServer) -> None:
    def cached(**body: Any) -> bool:
        return bool(search(filled, "/search", image_data=image("bus"), top_k=4, **body)["cached"])

    bodies: list[dict[str, Any]] = [
        {},
        {"mode": "hybrid", "keywords": "red"},
        {"mode": "hybrid", "keywords": "sun"},
    ]
    assert [cached(**body) for body in bodies] == [False] * 3
    assert [cached(**body) for body in bodies] == [True] * 3
    assert search(filled, text="red stop")["cached"] is False
    assert search(filled, text="red stop")["cached"] is True


def test_changed_metadata_is_searched_at_once(filled: RunningServer) -> None:
    assert ids(search(filled, text="giraffe")) == []
    filled.http.patch("/images/silent", json={"metadata": {"description": "a giraffe"}})
    assert ids(search(filled, text="giraffes")) == ["silent"]

    filled.http.delete("/images/silent")
    assert ids(search(filled, text="giraffe")) == []
    filled.http.post("/images/silent/restore")
    assert ids(search(filled, text="giraffe")) == ["silent"]
    filled.http.patch("/images/silent", json={"metadata": {"description": None}})
    assert ids(search(filled, text="giraffe")) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"mode": "keywords"}, "needs words"),
        ({"mode": "hybrid", "image_id": "bus"}, "needs words"),
        ({"mode": "keywords", "keywords": "red", "image_id": "bus"}, "words alone"),
        ({"mode": "keywords", "keywords": "red", "positive": ["bus"]}, "words alone"),
        ({"mode": "hybrid", "keywords": "red"}, "nothing to search for"),
        ({"image_id": "bus", "keywords": "red"}, "name one as mode"),
        ({"mode": "magic", "keywords": "red"}, "mode"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(filled: RunningServer, body: dict[str, Any], said: str) -> None:
    answer = filled.http.post("/search", json=body)
    assert answer.status_code == 422
    assert said in answer.text


def test_hits_may_be_grouped_and_copies_collapsed(filled: RunningServer) -> None:
    filled.http.patch("/images/bus", json={"metadata": {"kind": "vehicle"}})
    filled.http.patch("/images/car", json={"metadata": {"kind": "vehicle"}})
    answer = search(filled, text="red bus dogs", group_by="kind", group_size=1)
    assert [(hit["image_id"], hit["group"]) for hit in answer["results"]] == [("bus", "vehicle")]

    filled.index(PHOTOS["bus"], image_id="copy", metadata=json.dumps(WORDS["bus"]))
    answer = search(filled, text="decker", collapse_duplicates=True)
    [only] = answer["results"]
    assert {only["image_id"], *only["duplicates"]} == {"bus", "copy"}
    filled.http.delete("/images/copy", params={"undo_seconds": 0})


@pytest.mark.parametrize("options", [{"threshold": "auto"}, {"diversity": 0.5}])
def test_options_that_need_cosines_are_refused(filled: RunningServer, options: dict[str, Any]) -> None:
    assert filled.http.post("/search/keywords", json={"text": "red", **options}).status_code == 422
    body = {"image_id": "bus", "keywords": "red", "mode": "hybrid", **options}
    assert filled.http.post("/search", json=body).status_code == 422
