"""Bulk jobs as a client sees them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from image_similarity.domain.records import IndexResult
from tests.support.sample_images import encoded, photo
from tests.support.servers import PATIENCE, Program, environment, free_port, start_program, wait_until_ready

ENDED = {"completed", "completed_with_errors", "failed", "cancelled"}


def pictures(count: int, *, first: int = 0) -> dict[str, bytes]:
    """Return small pictures, all different, by image id."""
    return {f"image-{n:04}": encoded(photo(64, 48, seed=n), "PNG") for n in range(first, first + count)}


def successes(*, indexed: int = 0, replaced: int = 0, unchanged: int = 0) -> list[IndexResult]:
    """Return what so many images without a failure come to."""
    fates = [(True, True)] * indexed + [(False, True)] * replaced + [(False, False)] * unchanged
    return [IndexResult("image", created, changed, 1) for created, changed in fates]


def submit(http: httpx.Client, images: dict[str, bytes], metadata: dict[str, Any] | None = None) -> str:
    """Hand images in as files; returns the job's id."""
    fields = {"image_ids": json.dumps(list(images)), "metadata": json.dumps(metadata or {})}
    answer = http.post("/index/batch", files=[("image", ("x", data)) for data in images.values()], data=fields)
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["job_id"]
    assert answer.headers["location"] == f"/api/v1/jobs/{job_id}"
    assert answer.json()["total"] == len(images)
    return str(job_id)


def finished(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """Wait for a job's end and return its document."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        job = status(http, job_id)
        counts = job["counts"]
        assert counts["processed"] == sum(counts[name] for name in ("indexed", "replaced", "unchanged", "failed"))
        assert counts["processed"] <= counts["total"]
        if job["state"] in ENDED:
            return job
        time.sleep(0.05)
    raise AssertionError(f"the job did not end: {job}")


def status(http: httpx.Client, job_id: str) -> dict[str, Any]:
    answer = http.get(f"/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def indexed_images(http: httpx.Client) -> dict[str, str]:
    """Return the sha256 of every image in the collection, by id; fails where an id occurs twice."""
    found: dict[str, str] = {}
    cursor: str | None = None
    while True:
        page = http.get("/images", params={"limit": 500, **({"cursor": cursor} if cursor else {})}).json()
        for image in page["images"]:
            assert image["image_id"] not in found
            found[image["image_id"]] = image["sha256"]
        if (cursor := page["next_cursor"]) is None:
            return found


def stored_originals(folder: Path) -> list[str]:
    """Return the sha256 of every original below the storage `folder`, sorted; without `SHA256#NUMBER`, a file that a
    killed server had begun.

    A server may remove an emptied folder at the same time, which `os.walk` passes over and `Path.rglob` does not.
    """
    return sorted(name for _, _, names in os.walk(folder / "originals") for name in names if "#" not in name)


@contextmanager
def serving(env: dict[str, str], log: Path, port: int) -> Iterator[Program]:
    """Run a server whose decoder obeys images that ask to be slow, or deadly."""
    with _process(["serve", "--port", str(port)], env, log, port) as process:
        yield process


@contextmanager
def working(env: dict[str, str], log: Path, *, concurrency: int = 1) -> Iterator[Program]:
    """Run a worker of that kind."""
    port = free_port()
    arguments = ["worker", "--concurrency", str(concurrency)]
    with _process(arguments, {**env, "WORKER_PORT": str(port)}, log, port) as process:
        yield process


@contextmanager
def _process(arguments: list[str], env: dict[str, str], log: Path, port: int) -> Iterator[Program]:
    process = start_program("tests.support.crashing_cli", *arguments, env=environment(env), log=log)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process, log)
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)
