from __future__ import annotations

import json

import pytest

from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer

ANIMALS = [
    {"species": "cat", "year": 2003, "tame": True, "camera": {"model": "X100"}},
    {"species": "cat", "year": 2010, "tame": False},
    {"species": "dog", "year": 1999.5, "seen": "2024-05-01T12:00:00Z"},
]


@pytest.fixture
def filled(server: RunningServer) -> RunningServer:
    for number, metadata in enumerate(ANIMALS):
        server.index(encoded(photo(seed=number), "PNG"), image_id=str(number), metadata=json.dumps(metadata))
    return server


def test_the_fields_that_images_have_are_told_with_their_values(filled: RunningServer) -> None:
    answer = filled.http.get("/facets").json()

    assert {name: answer[name] for name in ("images", "sampled", "exact", "more_fields")} == {
        "images": 3,
        "sampled": 3,
        "exact": True,
        "more_fields": False,
    }
    fields = {field.pop("field"): field for field in answer["fields"]}
    assert list(fields) == ["species", "year", "tame", "camera.model", "seen"]
    same = {"more_values": False, "exact": True, "min": None, "max": None}
    assert fields["species"] == same | {
        "kind": "text",
        "images": 3,
        "values": [{"value": "cat", "count": 2}, {"value": "dog", "count": 1}],
    }
    assert fields["year"] == same | {
        "kind": "number",
        "images": 3,
        "min": 1999.5,
        "max": 2010,
        "values": [{"value": value, "count": 1} for value in (1999.5, 2003, 2010)],
    }
    assert fields["tame"] == same | {
        "kind": "boolean",
        "images": 2,
        "values": [{"value": value, "count": 1} for value in (False, True)],
    }
    assert (fields["seen"]["kind"], fields["seen"]["min"]) == ("time", "2024-05-01T12:00:00.000000Z")


def test_every_value_that_is_told_finds_as_many_images_as_it_says(filled: RunningServer) -> None:
    for field in filled.http.get("/facets").json()["fields"]:
        if field["kind"] == "time":
            continue
        for value in field["values"]:
            where = json.dumps({field["field"]: value["value"]})
            assert filled.search(encoded(photo(), "PNG"), filter=where)["total_found"] == value["count"]


def test_fields_and_values_are_cut_where_fewer_are_wanted(filled: RunningServer) -> None:
    answer = filled.http.get("/facets", params={"fields": 2, "values": 1}).json()
    assert [field["field"] for field in answer["fields"]] == ["species", "year"]
    assert answer["more_fields"] is True
    assert [len(field["values"]) for field in answer["fields"]] == [1, 1]
    assert all(field["more_values"] for field in answer["fields"])


@pytest.mark.parametrize("params", [{"fields": 0}, {"fields": 101}, {"values": -1}, {"values": 101}])
def test_more_than_the_limit_is_refused(server: RunningServer, params: dict[str, int]) -> None:
    answer = server.http.get("/facets", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_write_is_seen_at_once(filled: RunningServer) -> None:
    before = filled.http.get("/facets").json()
    assert filled.http.get("/facets").json() == before
    filled.http.patch("/images/0", json={"metadata": {"new": 1}})
    assert "new" in {field["field"] for field in filled.http.get("/facets").json()["fields"]}
