from __future__ import annotations

import hashlib
import io
import json
import time
import uuid
from datetime import datetime

import pytest
from PIL import Image

from tests.api.conftest import quoted
from tests.support.sample_images import encoded, exif, photo
from tests.support.servers import RunningServer

PHOTO = encoded(photo(640, 480), "JPEG", exif=exif(6))
OTHER = encoded(photo(seed=1), "PNG")


def test_an_image_gets_a_uuid7_where_it_brings_no_id(server: RunningServer) -> None:
    answer = server.index(PHOTO)
    assert uuid.UUID(answer["image_id"]).version == 7
    assert answer["success"] is True
    assert answer["message"] == "indexed"
    assert answer["processing_time_ms"] > 0


def test_a_request_sent_again_adds_its_image_once(server: RunningServer) -> None:
    def index(image: bytes, key: str) -> str:
        answer = server.http.post("/index", files={"image": ("x", image)}, headers={"Idempotency-Key": key})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["image_id"])

    first = index(PHOTO, "order-1")
    assert index(PHOTO, "order-1") == first
    # Another image under a key that was used before must not push the first one out.
    assert len({first, index(OTHER, "order-1"), index(PHOTO, "order-2")}) == 3


def test_the_record_tells_what_was_sent(server: RunningServer) -> None:
    server.index(PHOTO, image_id="a", metadata='{"species": "cat", "nested": {"list": [1, null, true]}}')
    record = server.http.get("/images/a").json()
    # Upright: the EXIF orientation turns 640 x 480 by a quarter.
    assert (record["width"], record["height"], record["format"]) == (480, 640, "JPEG")
    assert record["sha256"] == hashlib.sha256(PHOTO).hexdigest()
    assert record["metadata"] == {"species": "cat", "nested": {"list": [1, None, True]}}


def test_json_and_multipart_index_alike(server: RunningServer) -> None:
    import base64

    body = {"image_data": base64.b64encode(PHOTO).decode(), "image_id": "j", "metadata": {"a": 1}}
    assert server.http.post("/index", json=body).json()["message"] == "indexed"
    assert server.index(PHOTO, image_id="j", metadata='{"a": 1}')["message"] == "unchanged"


def test_the_same_id_again_replaces_the_image(server: RunningServer) -> None:
    server.index(PHOTO, image_id="a")
    assert server.index(OTHER, image_id="a")["message"] == "replaced"
    assert server.http.get("/images/a").json()["format"] == "PNG"
    assert server.http.get("/images").json()["images"][0]["image_id"] == "a"
    assert len(server.http.get("/images").json()["images"]) == 1


def test_the_file_is_what_was_sent_and_cannot_be_taken_for_a_page(server: RunningServer) -> None:
    server.index(PHOTO, image_id="a")
    answer = server.http.get("/images/a/file")
    assert answer.content == PHOTO
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_who_has_the_file_is_spared_the_transfer(server: RunningServer) -> None:
    server.index(PHOTO, image_id="a")
    for part in ("file", "thumbnail", "preview"):
        etag = server.http.get(f"/images/a/{part}").headers["etag"]
        again = server.http.get(f"/images/a/{part}", headers={"If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b"")
    server.index(OTHER, image_id="a")
    assert server.http.get("/images/a/file", headers={"If-None-Match": etag}).content == OTHER


def test_the_thumbnail_is_an_upright_webp_of_480_pixels_without_metadata(server: RunningServer) -> None:
    server.index(PHOTO, image_id="a")
    answer = server.http.get("/images/a/thumbnail")
    assert answer.headers["content-type"] == "image/webp"
    thumbnail = Image.open(io.BytesIO(answer.content))
    assert (thumbnail.format, thumbnail.size) == ("WEBP", (360, 480))
    assert b"SecretCamera" not in answer.content


def test_browsing_lists_the_newest_first_in_pages(server: RunningServer) -> None:
    for number in range(7):
        server.index(encoded(photo(64, 64, seed=number), "PNG"), image_id=f"n{number}")
    seen: list[str] = []
    cursor = None
    sizes = []
    while True:
        page = server.http.get("/images", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        sizes.append(len(page["images"]))
        seen += [image["image_id"] for image in page["images"]]
        if len(seen) == 3:
            server.index(OTHER, image_id="meanwhile")
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sizes == [3, 3, 1]
    assert seen == [f"n{number}" for number in reversed(range(7))]


def test_a_deleted_image_is_gone_everywhere(server: RunningServer) -> None:
    server.index(PHOTO, image_id="a")
    answer = server.http.delete("/images/a", params={"undo_seconds": 0}).json()
    assert answer == {"image_id": "a", "success": True, "message": "deleted", "restorable_until": None}
    assert server.search(PHOTO)["results"] == []
    for path in ("/images/a", "/images/a/file", "/images/a/thumbnail", "/images/a/preview"):
        assert server.http.get(path).status_code == 404
    assert server.http.delete("/images/a").status_code == 404


@pytest.mark.parametrize(
    "image_id",
    ["cats/tom.jpg", "a/file", "a/thumbnail", "a/preview", "x/similar", "über ü/100% ☃", "a?b#c", "%2F", "a\\b", " "],
)
def test_any_printable_id_works_in_a_url(server: RunningServer, image_id: str) -> None:
    server.index(PHOTO, image_id=image_id)
    path = f"/images/{quoted(image_id)}"
    assert server.http.get(path).json()["image_id"] == image_id
    assert server.http.get(f"{path}/file").content == PHOTO
    assert server.http.get(f"{path}/thumbnail").status_code == 200
    assert server.http.post(f"{path}/similar").status_code == 200
    assert server.http.delete(path).status_code == 200


def test_a_plain_slash_in_a_url_works_too(server: RunningServer) -> None:
    server.index(PHOTO, image_id="cats/tom.jpg")
    assert server.http.get("/images/cats/tom.jpg").json()["image_id"] == "cats/tom.jpg"
    assert server.http.get("/images/cats/tom.jpg/file").content == PHOTO


@pytest.mark.parametrize("image_id", ["a\nb", "x" * 513, ".", "..", "\u200b\u0000"])
def test_an_id_that_no_url_could_hold_is_refused(server: RunningServer, image_id: str) -> None:
    answer = server.http.post(
        "/index", files={"image": ("x", PHOTO)}, data={"image_id": image_id, "metadata": json.dumps({})}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert server.http.get("/images").json()["images"] == []


def test_a_url_that_names_the_bytes_may_be_kept_for_ever(server: RunningServer) -> None:
    server.index(PHOTO, image_id="a")
    digest = server.http.get("/images/a").json()["sha256"]
    for part in ("file", "thumbnail", "preview"):
        named = server.http.get(f"/images/a/{part}", params={"v": digest})
        assert named.headers["cache-control"] == "private, max-age=31536000, immutable"
        for other in ({}, {"v": "0" * 64}):
            asked = server.http.get(f"/images/a/{part}", params=other)
            assert asked.headers["cache-control"] == "private, no-cache"
            assert asked.content == named.content


def test_metadata_is_changed_by_a_merge_patch(server: RunningServer) -> None:
    server.index(PHOTO, image_id="cats/tom", metadata='{"species": "cat", "draft": true, "owner": {"name": "Kim"}}')
    before = server.http.get("/images/cats%2Ftom").json()

    answer = server.http.patch(
        "/images/cats%2Ftom", json={"metadata": {"draft": None, "year": 2025, "owner": {"age": 7}}}
    )

    assert answer.status_code == 200
    expected = before | {"metadata": {"species": "cat", "year": 2025, "owner": {"name": "Kim", "age": 7}}}
    assert answer.json() == server.http.get("/images/cats%2Ftom").json() == expected
    assert server.http.get("/images/cats%2Ftom/file").content == PHOTO
    assert server.search(PHOTO)["results"][0]["metadata"] == expected["metadata"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid_request"),
        (b"{}", 422, "invalid_request"),
        (b'{"metadata": null}', 422, "invalid_request"),
        (b'{"metadata": [1]}', 422, "invalid_request"),
        (b'{"metadata": {}, "image_id": "b"}', 422, "invalid_request"),
        (b'{"metadata": {"a": "' + b"x" * 70_000 + b'"}}', 422, "invalid_request"),
        (b'{"metadata"', 400, "invalid_json"),
    ],
)
def test_a_patch_that_makes_no_sense_changes_nothing(
    server: RunningServer, body: bytes, status: int, code: str
) -> None:
    server.index(PHOTO, image_id="a", metadata='{"v": 1}')
    answer = server.http.patch("/images/a", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert server.http.get("/images/a").json()["metadata"] == {"v": 1}


def test_an_unknown_image_cannot_be_patched(server: RunningServer) -> None:
    answer = server.http.patch("/images/nobody", json={"metadata": {}})
    assert (answer.status_code, answer.json()["code"]) == (404, "image_not_found")


def test_a_deleted_image_can_be_restored_for_a_while(server: RunningServer) -> None:
    server.index(PHOTO, image_id="cats/tom", metadata='{"species": "cat", "n": 1.0}')
    before = server.http.get("/images/cats%2Ftom").json()
    found = server.search(OTHER)["results"]

    deleted = server.http.delete("/images/cats%2Ftom").json()
    seconds = datetime.fromisoformat(deleted["restorable_until"]).timestamp() - time.time()
    assert seconds == pytest.approx(server.settings.undo_seconds, abs=10)
    assert server.search(OTHER)["results"] == []
    for path in ("", "/file", "/thumbnail", "/preview"):
        assert server.http.get(f"/images/cats%2Ftom{path}").status_code == 404

    answer = server.http.post("/images/cats%2Ftom/restore")
    assert (answer.status_code, answer.json()) == (200, before)
    assert server.http.get("/images/cats%2Ftom").json() == before
    assert server.http.get("/images/cats%2Ftom/file").content == PHOTO
    assert server.http.get("/images/cats%2Ftom/thumbnail").status_code == 200
    assert server.search(OTHER)["results"] == found


def test_the_request_says_how_long_an_image_can_be_restored(server: RunningServer) -> None:
    for name, seconds in (("long", 3600), ("none", 0)):
        server.index(PHOTO, image_id=name)
        until = server.http.delete(f"/images/{name}", params={"undo_seconds": seconds}).json()["restorable_until"]
        assert (until is None) == (seconds == 0)
    assert server.http.post("/images/none/restore").json()["code"] == "image_not_found"
    assert server.http.post("/images/long/restore").status_code == 200
    for wrong in (-1, 86_401, "soon"):
        answer = server.http.delete("/images/long", params={"undo_seconds": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert server.http.get("/images/long").status_code == 200


def test_what_is_there_is_not_restored_over(server: RunningServer) -> None:
    server.index(PHOTO, image_id="a")
    server.http.delete("/images/a")
    server.index(OTHER, image_id="a")
    answer = server.http.post("/images/a/restore")
    assert (answer.status_code, answer.json()["code"]) == (409, "image_exists")
    assert server.http.get("/images/a/file").content == OTHER
    assert server.http.post("/images/nobody/restore").status_code == 404
