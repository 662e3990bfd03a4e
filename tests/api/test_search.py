from __future__ import annotations

import base64
import json
import textwrap
from typing import Any

import pytest

from tests.support.sample_images import encoded, exif, photo
from tests.support.servers import RunningServer

PHOTOS = [encoded(photo(seed=seed), "JPEG", quality=90) for seed in range(6)]


@pytest.fixture
def filled(server: RunningServer) -> RunningServer:
    for number, data in enumerate(PHOTOS):
        metadata = {"number": number, "even": number % 2 == 0, "camera": {"model": f"X{number % 3}"}}
        server.index(data, image_id=f"photo-{number}", metadata=json.dumps(metadata))
    return server


def search_json(server: RunningServer, data: str, **fields: Any) -> dict[str, Any]:
    answer = server.http.post("/search", json={"image_data": data, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: dict[str, Any]) -> list[str]:
    return [result["image_id"] for result in answer["results"]]


@pytest.mark.parametrize("number", range(len(PHOTOS)))
def test_search_returns_the_indexed_image_first(filled: RunningServer, number: int) -> None:
    answer = filled.search(PHOTOS[number])
    first = answer["results"][0]
    assert first["image_id"] == f"photo-{number}"
    assert first["score"] == pytest.approx(1.0, abs=1e-3)
    assert first["metadata"]["number"] == number
    scores = [result["score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["total_found"] == len(PHOTOS)
    assert answer["search_time_ms"] > 0


def test_base64_data_url_wrapped_base64_and_multipart_answer_the_same(filled: RunningServer) -> None:
    text = base64.b64encode(PHOTOS[2]).decode()
    answers = [
        search_json(filled, text),
        search_json(filled, f"data:image/jpeg;base64,{text}"),
        search_json(filled, "\n".join(textwrap.wrap(text, 76))),
        filled.search(PHOTOS[2]),
        filled.http.post("/search", files={"file": ("x.jpg", PHOTOS[2])}).json(),
    ]
    assert all(answer["results"] == answers[0]["results"] for answer in answers)
    assert ids(answers[0])[0] == "photo-2"
    assert len({answer["query_id"] for answer in answers}) == len(answers)


def test_a_compressed_and_a_smaller_copy_find_their_original(filled: RunningServer) -> None:
    assert ids(filled.search(encoded(photo(seed=3), "WEBP", quality=60)))[0] == "photo-3"
    assert ids(filled.search(encoded(photo(seed=3).resize((160, 120)), "PNG")))[0] == "photo-3"


def test_top_k_bounds_the_results(filled: RunningServer) -> None:
    assert len(filled.search(PHOTOS[0], top_k="2")["results"]) == 2
    assert len(filled.search(PHOTOS[0], top_k="1000")["results"]) == len(PHOTOS)


def test_threshold_cuts_what_is_less_similar(filled: RunningServer) -> None:
    scores = [result["score"] for result in filled.search(PHOTOS[0])["results"]]
    between = (scores[1] + scores[2]) / 2
    kept = search_json(filled, base64.b64encode(PHOTOS[0]).decode(), threshold=between)
    assert [result["score"] for result in kept["results"]] == scores[:2]


def test_filters_look_into_metadata(filled: RunningServer) -> None:
    def found(condition: dict[str, Any]) -> set[str]:
        return set(ids(search_json(filled, base64.b64encode(PHOTOS[0]).decode(), filter=condition)))

    assert found({"number": 3}) == {"photo-3"}
    assert found({"number": [1, 4]}) == {"photo-1", "photo-4"}
    assert found({"number": {"gte": 2, "lt": 4}}) == {"photo-2", "photo-3"}
    assert found({"even": True}) == {"photo-0", "photo-2", "photo-4"}
    assert found({"camera.model": "X1"}) == {"photo-1", "photo-4"}
    assert found({"or": [{"number": 0}, {"not": {"number": {"lt": 5}}}]}) == {"photo-0", "photo-5"}
    assert found({"and": [{"even": False}, {"camera.model": {"ne": "X1"}}]}) == {"photo-3", "photo-5"}
    assert found({"number": "3"}) == set()


def test_the_same_filter_works_in_a_form(filled: RunningServer) -> None:
    assert ids(filled.search(PHOTOS[0], filter='{"number": 3}')) == ["photo-3"]


def test_metadata_can_be_left_out(filled: RunningServer) -> None:
    answer = filled.search(PHOTOS[0], with_metadata="false")
    assert all(result["metadata"] is None for result in answer["results"])


def test_a_result_tells_how_large_the_image_is_from_the_cache_too(server: RunningServer) -> None:
    server.index(encoded(photo(640, 480), "JPEG", exif=exif(6)), image_id="upright")
    for _ in range(2):
        for options in ({}, {"with_metadata": "false"}):
            [result] = server.search(PHOTOS[0], **options)["results"]
            record = server.http.get("/images/upright").json()
            assert (result["width"], result["height"]) == (record["width"], record["height"]) == (480, 640)
            assert result["sha256"] == record["sha256"]


def test_a_repeated_search_comes_from_the_cache(filled: RunningServer) -> None:
    first, second = filled.search(PHOTOS[1], top_k="3"), filled.search(PHOTOS[1], top_k="3")
    assert (first["cached"], second["cached"]) == (False, True)
    assert first["results"] == second["results"]
    assert filled.search(PHOTOS[1], top_k="4")["cached"] is False


def test_a_write_is_seen_by_the_next_search_though_results_are_cached(server: RunningServer) -> None:
    server.index(PHOTOS[0], image_id="a")
    assert ids(server.search(PHOTOS[0])) == ["a"]
    server.index(PHOTOS[1], image_id="b")
    assert ids(server.search(PHOTOS[0])) == ["a", "b"]
    server.http.delete("/images/a")
    assert ids(server.search(PHOTOS[0])) == ["b"]


def test_similar_searches_with_an_indexed_image_and_leaves_it_out(filled: RunningServer) -> None:
    uploaded = ids(filled.search(PHOTOS[4]))
    similar = filled.http.post("/images/photo-4/similar")
    assert similar.status_code == 200
    assert ids(similar.json()) == uploaded[1:]
    narrowed = filled.http.post("/images/photo-4/similar", json={"top_k": 1, "filter": {"even": False}})
    assert len(narrowed.json()["results"]) == 1
    assert narrowed.json()["results"][0]["metadata"]["even"] is False


def test_similar_to_an_unknown_image_is_not_found(filled: RunningServer) -> None:
    answer = filled.http.post("/images/nobody/similar")
    assert (answer.status_code, answer.json()["code"]) == (404, "image_not_found")


def test_searching_an_empty_collection_finds_nothing(server: RunningServer) -> None:
    assert server.search(PHOTOS[0])["results"] == []


def test_several_things_make_up_one_query(filled: RunningServer) -> None:
    image = base64.b64encode(PHOTOS[0]).decode()
    alone = search_json(filled, image)
    weighed = filled.http.post(
        "/search", json={"query": [{"image_data": image, "weight": 1}, {"image_id": "photo-1", "weight": 1}]}
    ).json()
    [first, *others] = ids(weighed)
    assert first == "photo-0"
    assert "photo-1" not in others
    assert weighed["results"][0]["score"] < alone["results"][0]["score"]

    same = filled.http.post("/search", json={"image_data": image, "image_id": "photo-1"}).json()
    assert [(hit["image_id"], hit["score"]) for hit in same["results"]] == [
        (hit["image_id"], hit["score"]) for hit in weighed["results"]
    ]
    form = filled.http.post("/search", files={"image": ("x.jpg", PHOTOS[0])}, data={"image_id": "photo-1"}).json()
    assert form["results"] == same["results"]


def test_a_form_takes_a_prompt_template_as_it_stands(filled: RunningServer) -> None:
    answer = filled.http.post(
        "/search",
        files={"image": ("x.jpg", PHOTOS[0])},
        data={"text": "a dog", "prompt_template": "without a place"},
    )
    assert answer.status_code == 422
    assert "without a place" in answer.json()["detail"]
    assert "JSON" not in answer.json()["detail"]


def test_an_indexed_image_is_enough_to_search_with(filled: RunningServer) -> None:
    by_id = filled.http.post("/search", json={"image_id": "photo-4"}).json()
    assert ids(by_id) == ids(filled.http.post("/images/photo-4/similar").json())


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "nothing to search for"),
        ({"query": []}, "nothing to search for"),
        ({"query": [{"weight": 1}]}, "query.0 names 0 of"),
        ({"query": [{"image_id": "a"}, {"image_id": "a", "text": "b"}]}, "query.1 names 2 of"),
        ({"query": [{"image_id": "a", "weight": 0}]}, "not 0"),
        ({"query": [{"image_id": "a", "weight": -1}]}, "positive weight"),
        ({"query": [{"image_id": "a", "weight": 11}]}, "query.0.weight"),
        ({"query": [{"image_data": "!"}]}, "not base64"),
        ({"query": "cats"}, "query"),
        ({"query": [1]}, "query.0"),
        ({"text": "x" * 2001}, "text"),
        ({"text": "   "}, "1 to 2000 characters"),
    ],
)
def test_a_query_without_sense_says_what_is_wrong(server: RunningServer, body: dict[str, Any], complaint: str) -> None:
    answer = server.http.post("/search", json=body)
    assert answer.status_code == 422
    assert complaint in answer.json()["detail"]


def test_null_in_a_part_of_a_query_is_as_good_as_nothing(filled: RunningServer) -> None:
    alone = filled.http.post("/search", json={"image_id": "photo-4"}).json()
    part = {"image_id": "photo-4", "image_data": None, "image_url": None, "text": None}
    answer = filled.http.post("/search", json={"query": [part]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"] == alone["results"]
