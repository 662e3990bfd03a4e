"""A data folder that a server has open: commands talk to that server or say why not, and none does it any harm."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from image_similarity.vectors.qdrant_edge.folder_lock import FolderLock, Holder, holder_of, lock_path
from tests.support.commands import Cli
from tests.support.flushes import break_files
from tests.support.sample_images import encoded, photo
from tests.support.servers import API, PATIENCE, Program, environment, start_program, wait_for, wait_until_ready
from tests.support.web_server import ok, web_server

Env = dict[str, str]
KEY = "k1"


@pytest.fixture
def env(tmp_path: Path) -> Env:
    return {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": "mini", "DEVICE": "cpu", "API_KEYS": KEY}


@pytest.fixture
def folder(env: Env) -> Path:
    return Path(env["DATA_DIR"]) / "collections" / "image_features"


@contextmanager
def serving(env: Env, folder: Path, log: Path) -> Iterator[tuple[Program, httpx.Client]]:
    """Run a server on a port that only the lock tells, and stop it in the end."""

    def holder() -> Holder | None:
        assert process.poll() is None, log.read_text()
        return holder_of(folder)

    process = start_program("image_similarity", "serve", "--port", "0", env=environment(env), log=log)
    try:
        wait_for(lambda: (found := holder()) and found.url, "the server does not say where it serves")
        url = (found := holder()) and found.url
        assert url is not None
        assert not url.endswith(":0")
        wait_until_ready(url, process, log)
        with httpx.Client(base_url=url + API, timeout=PATIENCE, headers={"X-API-Key": KEY}) as http:
            yield process, http
    finally:
        process.terminate()
        process.wait(PATIENCE)
    assert "Traceback" not in log.read_text()


def index(http: httpx.Client, image_id: str, field: str) -> None:
    image = encoded(photo(32, 32, seed=len(image_id)), "PNG")
    data = {"image_id": image_id, "metadata": json.dumps({field: image_id})}
    answer = http.post("/index", files={"image": ("x", image)}, data=data)
    assert answer.status_code == 200, answer.text


def found(http: httpx.Client, **condition: str) -> list[str]:
    answer = http.post(
        "/search",
        files={"image": ("x", encoded(photo(32, 32), "PNG"))},
        data={"filter": json.dumps(condition), "top_k": "100"},
    )
    assert answer.status_code == 200, answer.text
    return [hit["image_id"] for hit in answer.json()["results"]]


def events(log: Path) -> set[str]:
    return {json.loads(line)["event"] for line in log.read_text().splitlines() if line.startswith("{")}


def test_commands_talk_to_the_folders_server_or_are_refused(cli: Cli, env: Env, folder: Path, tmp_path: Path) -> None:
    """None of them harms what the server has."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        (photos / name).write_bytes(encoded(photo(seed=seed), "PNG"))

    with serving(env, folder, tmp_path / "log") as (process, http):
        index(http, "first", "old")
        origin = str(http.base_url).removesuffix(f"{API}/")
        server = f"the server at {origin} (pid {process.pid})"

        refused = {
            ("serve", "--port", "0"): "set DATA_DIR",
            ("optimize",): "stop that server",
            ("init-db",): "nothing left to do",
            ("migrate", "--from", "embedded", "--to", "server"): "stop that server",
        }
        for words, advice in refused.items():
            result = cli(*words, **env)
            assert result.status == 1
            assert f"is in use by {server}" in result.stderr, result.stderr
            assert advice in result.stderr
            assert "Traceback" not in result.stderr

        for number in range(50):
            index(http, f"image-{number}", f"field{number % 5}")
        for number in range(5):
            assert len(found(http, **{f"field{number}": f"image-{number}"})) == 1

        # With the key of the settings, and past a proxy that is none.
        used = f"{env['DATA_DIR']} is in use by {server}: using it."
        sent = cli("index", photos, **env, HTTP_PROXY="http://127.0.0.1:9")
        assert "2 indexed, 0 replaced, 0 unchanged, 0 failed." in sent.stdout, sent.stderr
        assert sent.stderr.splitlines()[0] == used
        hits = cli("search", photos / "a.png", "--json", **env)
        assert json.loads(hits.stdout)[0]["image_id"] == "a.png", hits.stderr
        assert hits.stderr.splitlines() == [used]
        assert "Deleted b.png" in cli("delete", "b.png", **env).stdout
        assert json.loads(cli("stats", "--json", **env).stdout)["collection"]["images"] == 52
        assert "unauthorized" in cli("stats", **env, IMAGE_SIMILARITY_API_KEY="wrong").stderr

    assert process.returncode == -signal.SIGTERM
    assert not {"flush_failed", "shutdown_failed"} & events(tmp_path / "log")

    with serving(env, folder, tmp_path / "log") as (process, http):
        assert http.get("/stats").json()["collection"]["images"] == 52
        assert found(http, old="first") == ["first"]
        # What can neither be flushed nor read back from the log may be lost: that is an exit status, and no traceback.
        index(http, "last", "new")
        wait_for(lambda: any(path.stat().st_size for path in folder.rglob("tracker_journal.dat")), "nothing is flushed")
        break_files(folder)
        index(http, "very last", "new")
        segments = folder / "shard" / "segments"
        segments.rename(tmp_path / "segments")
        segments.write_text("a file where a folder should be")
    assert process.returncode == 1
    assert {"flush_failed", "shutdown_failed"} <= events(tmp_path / "log")
    assert "Error: What was written last may be lost" in (tmp_path / "log").read_text()
    segments.unlink()
    (tmp_path / "segments").rename(segments)
    assert json.loads(cli("stats", "--json", **env).stdout)["collection"]["images"] == 54


def test_a_folder_that_a_command_has_is_waited_for(cli: Cli, env: Env, folder: Path) -> None:
    lock = FolderLock.take(folder)
    for words in (["stats"], ["init-db"]):
        result = cli(*words, **env)
        assert result.status == 1
        assert f"(pid {os.getpid()}). Wait until it has finished, or stop it. [store_locked]" in result.stderr
    lock.release()


HEALTH = b'{"version": "1", "services": {"model": {}}}'


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:{port}", None),
        ("http://localhost:{port}", None),
        ("http://127.0.0.1:{port}/elsewhere", "If you trust that address"),
        ("http://user@127.0.0.1:{port}", "If you trust that address"),
        ("http://127.0.0.1.example.com:{port}", "If you trust that address"),
        ("http://203.0.113.7:{port}", "If you trust that address"),
        ("https://127.0.0.1:{port}", "If you trust that address"),
        ("http://127.0.0.1:nine", "If you trust that address"),
        ("http://[::1", "If you trust that address"),
        ("file:///etc/passwd", "If you trust that address"),
        ("http://127.0.0.1:1", "does not answer as a server should"),
    ],
)
async def test_only_a_server_of_this_machine_is_talked_to_by_itself(
    cli: Cli, env: Env, folder: Path, url: str, said: str | None
) -> None:
    lock = FolderLock.take(folder)
    async with web_server() as impostor:
        lock.announce(url.format(port=impostor.port))
        impostor.answers[f"{API}/health"] = ok(HEALTH)
        impostor.answers[f"{API}/stats"] = ok(b'{"fine": true}')
        result = await asyncio.to_thread(cli, "stats", "--json", **env)
    lock.release()
    if said is None:
        assert json.loads(result.stdout) == {"fine": True}, result.stderr
        assert impostor.requests[-1][1]["x-api-key"] == KEY
    else:
        assert result.status == 1
        assert said in result.stderr
        assert impostor.requests == []


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b"null", b'{"version": 1, "services": 5}', b"x" * 100_000])
async def test_what_does_not_answer_as_our_server_gets_neither_key_nor_images(
    cli: Cli, env: Env, folder: Path, answer: bytes
) -> None:
    lock = FolderLock.take(folder)
    async with web_server() as impostor:
        lock.announce(f"http://127.0.0.1:{impostor.port}")
        impostor.answers[f"{API}/health"] = ok(answer)
        result = await asyncio.to_thread(cli, "delete", "a", **env)
    lock.release()
    assert result.status == 1
    assert "does not answer as a server should" in result.stderr
    assert [path for path, _ in impostor.requests] == [f"{API}/health"]
    assert "x-api-key" not in impostor.requests[0][1]


async def test_a_server_of_another_machine_is_not_looked_for_on_this_one(cli: Cli, env: Env, folder: Path) -> None:
    lock = FolderLock.take(folder)
    async with web_server() as impostor:
        holder = {"pid": 1, "host": "elsewhere", "program": "serve", "url": f"http://127.0.0.1:{impostor.port}"}
        lock_path(folder).write_text(json.dumps(holder))
        result = await asyncio.to_thread(cli, "stats", **env)
    lock.release()
    assert "(pid 1 on elsewhere)" in result.stderr
    assert impostor.requests == []
