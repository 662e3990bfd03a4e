"""The nightly backup of Qdrant, and the way back."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.helm_charts import CHART, containers, environment, named, rendered

PATH = "/collections/image_features/snapshots"


class Node:
    """A Qdrant node as far as snapshots go: what it holds is a text."""

    def __init__(self, holds: bytes) -> None:
        self.holds = holds
        self.snapshots: dict[str, bytes] = {}
        self.keys: set[str | None] = set()
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                path = self._path()
                body = self.rfile.read(int(self.headers["content-length"]))
                if path.endswith("/upload"):
                    assert "priority=snapshot" in self.path
                    head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
                    message = BytesParser(policy=HTTP).parsebytes(head + body)
                    assert isinstance(message, EmailMessage)
                    (part,) = message.iter_parts()
                    node.holds = part.get_payload(decode=True)  # type: ignore[assignment]
                    self._answer(b'{"result": true}')
                else:
                    node.snapshots["made"] = node.holds
                    self._answer(b'{"result": {"name": "made"}}')

            def do_GET(self) -> None:
                self._answer(node.snapshots[self._path().rpartition("/")[2]])

            def do_DELETE(self) -> None:
                del node.snapshots[self._path().rpartition("/")[2]]
                self._answer(b'{"result": true}')

            def _path(self) -> str:
                node.keys.add(self.headers.get("api-key"))
                path = self.path.partition("?")[0]
                assert path.startswith(PATH)
                return path

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    running = [Node(f"shards of node {number}".encode() * 1000) for number in range(3)]
    yield running
    for node in running:
        node.close()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nodes: list[Node]) -> ModuleType:
    spec = importlib.util.spec_from_file_location("snapshots", CHART / "files" / "snapshots.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAPSHOT_NODES", ",".join(node.url for node in nodes))
    monkeypatch.setenv("SNAPSHOT_URL", (tmp_path / "backups").as_uri())
    monkeypatch.setenv("SNAPSHOT_KEEP", "2")
    monkeypatch.setenv("QDRANT_API_KEY", "the-key")
    monkeypatch.delenv("QDRANT_COLLECTION_NAME", raising=False)
    return module


def backups(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "backups").iterdir())


def test_what_was_backed_up_comes_back(script: ModuleType, nodes: list[Node], tmp_path: Path) -> None:
    before = [node.holds for node in nodes]
    script.main("backup")
    assert all(node.snapshots == {} for node in nodes), "snapshots do not fill the nodes' volumes"
    for node in nodes:
        node.holds = b"lost"
    script.main("restore", *backups(tmp_path))
    assert [node.holds for node in nodes] == before
    assert {key for node in nodes for key in node.keys} == {"the-key"}


def test_only_the_newest_are_kept(
    script: ModuleType, tmp_path: Path, nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    from image_similarity.storage.objects import open_store

    clients = [httpx.Client(base_url=node.url) for node in nodes]
    store = open_store((tmp_path / "backups").as_uri(), default=tmp_path)
    snapshots = script.Snapshots(clients, "image_features", store)
    for day in ("2026-01-01", "2026-01-02", "2026-01-03"):
        snapshots.backup(day, keep=2)
    assert snapshots.names() == ["2026-01-02", "2026-01-03"]
    for client in clients:
        client.close()


def test_an_interrupted_backup_is_none(script: ModuleType, nodes: list[Node], tmp_path: Path) -> None:
    nodes[2].close()
    with pytest.raises(Exception, match=r"refused|reset|disconnected"):
        script.main("backup")
    with pytest.raises(SystemExit, match="no complete backup"):
        script.main("restore", *backups(tmp_path))
    nodes[2] = Node(b"")


def test_a_backup_of_other_nodes_is_refused(
    script: ModuleType, nodes: list[Node], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.main("backup")
    monkeypatch.setenv("SNAPSHOT_NODES", nodes[0].url)
    with pytest.raises(SystemExit, match="of 3 nodes; SNAPSHOT_NODES names 1"):
        script.main("restore", *backups(tmp_path))


def test_the_cron_job_names_every_node_by_its_number() -> None:
    job = named(rendered("defaults"), "CronJob", "image-similarity-snapshots")
    (container,) = containers(job["spec"]["jobTemplate"]["spec"]["template"]["spec"])
    headless = "image-similarity-qdrant-headless:6333"
    assert environment(container)["SNAPSHOT_NODES"].split(",") == [
        f"http://image-similarity-qdrant-{number}.{headless}" for number in range(3)
    ]
    assert environment(container)["SNAPSHOT_URL"] == "file:///data/images/snapshots"
    assert container["command"][1:] == ["/scripts/snapshots.py", "backup"]
