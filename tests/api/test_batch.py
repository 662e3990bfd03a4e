"""Many images in one request: the three forms, and what is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.api.test_errors import check_problem
from tests.support.jobs import finished, indexed_images, pictures, submit
from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer

PHOTO = encoded(photo(64, 48), "JPEG")
TEXT = base64.b64encode(PHOTO).decode()


def left_behind(server: RunningServer) -> list[Path]:
    return [path for path in (server.settings.data_dir / "pending").rglob("*") if path.is_file()]


def test_a_json_list_is_indexed_with_ids_and_metadata(server: RunningServer) -> None:
    images = [
        {"image_data": TEXT, "image_id": "cats/tom.jpg", "metadata": {"species": "cat"}},
        {"image_data": f"data:image/jpeg;base64,{TEXT}"},
    ]
    answer = server.http.post("/index/batch", json={"images": images})
    assert answer.status_code == 202
    job = finished(server.http, answer.json()["job_id"])
    assert (job["state"], job["counts"]["indexed"], job["failures"]) == ("completed", 2, [])
    assert server.http.get("/images/cats%2Ftom.jpg").json()["metadata"] == {"species": "cat"}
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert job["rate"] > 0
    assert job["eta_seconds"] is None
    assert left_behind(server) == []


def test_many_files_take_their_names_as_ids_and_metadata_from_one_field(server: RunningServer) -> None:
    files = [("image", (f"{n}.png", data)) for n, data in enumerate(pictures(5).values())]
    answer = server.http.post("/index/batch", files=files, data={"metadata": json.dumps({"3.png": {"species": "dog"}})})
    job = finished(server.http, answer.json()["job_id"])
    assert job["counts"]["indexed"] == 5
    assert set(indexed_images(server.http)) == {f"{n}.png" for n in range(5)}
    assert server.http.get("/images/3.png").json()["metadata"] == {"species": "dog"}


def test_images_that_are_in_the_storage_are_indexed_by_their_key(server: RunningServer) -> None:
    inbox = server.settings.data_dir / "inbox" / "cats"
    inbox.mkdir(parents=True)
    (inbox / "tom.jpg").write_bytes(PHOTO)
    images = [{"storage_key": "inbox/cats/tom.jpg"}, {"storage_key": "inbox/none.jpg", "image_id": "none"}]
    answer = server.http.post("/index/batch", json={"images": images})
    job = finished(server.http, answer.json()["job_id"])
    assert job["state"] == "completed_with_errors"
    assert [(failure["image_id"], failure["code"]) for failure in job["failures"]] == [("none", "bytes_missing")]
    assert set(indexed_images(server.http)) == {"cats/tom.jpg"}
    assert (inbox / "tom.jpg").exists(), "what the caller put there stays the caller's"


@pytest.mark.parametrize(
    "key", ["originals/ab", "inbox/../originals/ab", "/etc/passwd", "inbox//x", "inbox/", "jobs/x"]
)
def test_a_key_leads_nowhere_but_below_the_inbox(server: RunningServer, key: str) -> None:
    answer = server.http.post("/index/batch", json={"images": [{"storage_key": key}]})
    check_problem(answer, 422, "invalid_request", "inbox/")


def test_corrupt_images_are_named_with_reasons_and_leave_nothing_behind(server: RunningServer) -> None:
    images = pictures(60)
    corrupt = {
        "image-0007": (images["image-0007"][:200], "image_undecodable"),
        "image-0033": (b"just text", "unsupported_format"),
        "image-0059": (b"", "unsupported_format"),
    }
    images.update({image_id: data for image_id, (data, _) in corrupt.items()})
    job = finished(server.http, submit(server.http, images))
    assert job["state"] == "completed_with_errors"
    assert job["counts"] == {
        "total": 60,
        "processed": 60,
        "indexed": 57,
        "replaced": 0,
        "unchanged": 0,
        "failed": 3,
    }
    assert {failure["image_id"]: failure["code"] for failure in job["failures"]} == {
        image_id: code for image_id, (_, code) in corrupt.items()
    }
    assert all(failure["reason"] for failure in job["failures"])
    assert set(indexed_images(server.http)) == set(images) - set(corrupt)
    assert left_behind(server) == []


def test_indexing_the_same_again_changes_nothing_and_other_bytes_replace(server: RunningServer) -> None:
    images = pictures(3)
    finished(server.http, submit(server.http, images))
    images["image-0001"] = encoded(photo(64, 48, seed=99), "PNG")
    counts = finished(server.http, submit(server.http, images))["counts"]
    assert (counts["indexed"], counts["replaced"], counts["unchanged"]) == (0, 1, 2)


def test_events_begin_at_once_and_end_with_the_job(server: RunningServer) -> None:
    job_id = submit(server.http, pictures(40))
    seen: list[tuple[str, dict[str, object]]] = []
    with server.http.stream("GET", f"/jobs/{job_id}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        event = ""
        for line in stream.iter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                seen.append((event, json.loads(line.removeprefix("data: "))))
    assert [name for name, _ in seen] == ["progress"] * (len(seen) - 1) + ["finished"]
    processed = [document["counts"]["processed"] for _, document in seen]  # type: ignore[index]
    assert processed == sorted(processed)
    assert seen[-1][1] == server.http.get(f"/jobs/{job_id}").json()
    with server.http.stream("GET", f"/jobs/{job_id}/events") as again:
        assert "".join(again.iter_text()).count("event: finished") == 1


def test_jobs_of_one_label_are_one_upload_with_its_failures_by_pages(server: RunningServer) -> None:
    label = {"upload": "b5e2c7d09f4a41d8"}
    for torn in (["one"], ["two", "three"]):
        images = {**dict.fromkeys(torn, PHOTO[:200]), f"good beside {torn[0]}": PHOTO}
        files = [("image", (name, data)) for name, data in images.items()]
        answer = server.http.post("/index/batch", files=files, params=label)
        assert finished(server.http, answer.json()["job_id"])["upload"] == label["upload"]
    alone = submit(server.http, pictures(1))
    finished(server.http, alone)
    listed = server.http.get("/uploads", params={"limit": 2}).json()["uploads"]
    assert [(upload["upload"], upload["jobs"]) for upload in listed] == [(alone, 1), (label["upload"], 2)]
    page = server.http.get(f"/uploads/{label['upload']}", params={"offset": 1, "limit": 1}).json()
    assert (page["state"], page["counts"]["total"], page["counts"]["failed"]) == ("completed_with_errors", 5, 3)
    assert [failure["image_id"] for failure in page["failures"]] == ["two"]
    assert listed[1] == {name: value for name, value in page.items() if name != "failures"}
    for wrong in ("short", "Upper-Case", "a/../../b", "x" * 65, "with space"):
        answer = server.http.post("/index/batch", files=[("image", ("x", PHOTO))], params={"upload": wrong})
        check_problem(answer, 422, "invalid_request", "upload")
    assert left_behind(server) == []
    check_problem(server.http.get("/uploads/0123456789"), 404, "job_not_found", "0123456789")
    check_problem(server.http.get("/uploads/..%5cjobs"), 422, "invalid_request", "upload")


def test_jobs_are_listed_newest_first(server: RunningServer) -> None:
    jobs = [submit(server.http, pictures(1, first=n)) for n in range(3)]
    for job_id in jobs:
        finished(server.http, job_id)
    listed = [job["job_id"] for job in server.http.get("/jobs", params={"limit": 3}).json()["jobs"]]
    assert listed == jobs[::-1]
    assert len(server.http.get("/jobs", params={"limit": 1}).json()["jobs"]) == 1


def test_an_unknown_job_is_a_404(server: RunningServer) -> None:
    for job_id in ("nobody", "019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d", "..%2F..%2Fetc"):
        for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
            answer = server.http.request(method, f"/jobs/{job_id}{path}")
            assert answer.status_code == 404, (method, path)
    check_problem(server.http.get("/jobs/nobody"), 404, "job_not_found", "nobody")
    check_problem(server.http.get("/jobs", params={"limit": 0}), 422, "invalid_request", "limit")


def test_a_cancelled_job_stops_and_keeps_no_bytes(server: RunningServer) -> None:
    job_id = submit(server.http, pictures(200))
    answer = server.http.delete(f"/jobs/{job_id}")
    assert answer.status_code == 200
    assert answer.json()["state"] == "cancelled"
    assert server.http.delete(f"/jobs/{job_id}").json() == answer.json()
    # A job that comes after it is done when all of the cancelled one's chunks have been passed over.
    finished(server.http, submit(server.http, pictures(1, first=500)))
    assert server.http.get(f"/jobs/{job_id}").json() == answer.json()
    assert len(indexed_images(server.http)) < 200
    assert left_behind(server) == []


def test_bad_requests_are_told_apart_and_leave_nothing_behind(server: RunningServer) -> None:
    def post(**content: object) -> object:
        return server.http.post("/index/batch", **content)  # type: ignore[arg-type]

    check_problem(post(content=b"{", headers={"content-type": "application/json"}), 400, "invalid_json")
    check_problem(post(json={}), 422, "invalid_request", "images")
    check_problem(post(json={"images": []}), 422, "invalid_request", "images")
    check_problem(post(json={"images": [7]}), 422, "invalid_request", "images.0")
    both = {"image_data": TEXT, "storage_key": "inbox/x"}
    check_problem(post(json={"images": [both]}), 422, "invalid_request", "images.0", "either")
    good = {"image_data": TEXT, "image_id": "a"}
    check_problem(post(json={"images": [good, {"image_data": "%%"}]}), 422, "invalid_image_data", "images.1")
    check_problem(post(json={"images": [good, good]}), 422, "invalid_request", '"a"')
    check_problem(post(json={"images": [{**good, "image_id": ".."}]}), 422, "invalid_request", "image_id")
    check_problem(post(json={"images": [{**good, "colour": 1}]}), 422, "invalid_request", "colour")
    big = {"x": "y" * 70_000}
    check_problem(post(json={"images": [{**good, "metadata": big}]}), 422, "invalid_request", "65536")
    check_problem(post(content=b"x", headers={"content-type": "text/plain"}), 415, "unsupported_media_type", "zip")
    broken = {"content-type": "multipart/form-data; boundary=x"}
    check_problem(post(content=b"--x\r\nnot a header\r\n\r\n", headers=broken), 400, "invalid_multipart")
    cut = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc'
    check_problem(post(content=cut, headers=broken), 400, "invalid_multipart", "middle")
    check_problem(post(content=b"", headers={"content-type": "multipart/form-data"}), 400, "invalid_multipart")
    files = [("image", ("a", PHOTO)), ("image", ("b", PHOTO))]
    check_problem(post(files=[("x", ("a", PHOTO))]), 422, "invalid_request", '"x"', '"image"')
    check_problem(post(files=files[:1] * 2), 422, "invalid_request", '"a"')
    check_problem(post(files=files, data={"image_ids": '["a"]'}), 422, "invalid_request", "image_ids")
    check_problem(post(files=files, data={"image_ids": '["a", "b", "c"]'}), 422, "invalid_request", "image_ids")
    check_problem(post(files=files, data={"image_ids": "7"}), 422, "invalid_request", "image_ids")
    check_problem(post(files=files, data={"metadata": "{"}), 422, "invalid_request", "metadata")
    check_problem(post(files=files, data={"metadata": '{"c": {}}'}), 422, "invalid_request", '"c"')
    assert indexed_images(server.http) == {}
    assert left_behind(server) == []
