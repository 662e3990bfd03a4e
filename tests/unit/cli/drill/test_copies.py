"""What a drill says of the copies of shards, from what each node of a scripted cluster tells of itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from image_similarity.cli.drill.copies import Copies, compare, wait_for_copies
from image_similarity.domain.errors import StoreUnavailable

NAME = "photos"


@dataclass
class Node:
    """One of them; answers as Qdrant 1.19 does where a drill asks."""

    shards: dict[int, str]
    """The state of each copy that it has."""
    points: dict[int, str] = field(default_factory=lambda: dict.fromkeys(range(3), "same"))
    agreed: dict[int, str] | None = None
    """What it answers where all copies must agree; None is the same."""
    transfers: int = 0
    peers: int = 3
    on_look: Callable[[], None] = lambda: None
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str) -> Any:
        self.asked.append(path)
        parts = urlsplit(path)
        match parts.path:
            case "/cluster":
                self.on_look()
                return {"status": "enabled", "peers": {str(number): {} for number in range(self.peers)}}
            case "/collections/photos":
                return {"config": {"params": {"replication_factor": 2, "shard_number": 2}}}
            case "/collections/photos/cluster":
                shards = [{"shard_id": shard, "state": state} for shard, state in self.shards.items()]
                return {"local_shards": shards, "shard_transfers": [{}] * self.transfers}
            case "/collections/photos/points/scroll":
                of_all = "consistency=all" in parts.query and self.agreed is not None
                points = self.agreed if of_all else self.points
                return {"points": [{"id": key, "payload": {"is": value}} for key, value in (points or {}).items()]}
            case _:
                raise AssertionError(path)


@contextmanager
def serving(node: Node) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"result": node.answer(self.path)}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def nodes() -> list[Node]:
    """Two shards in two copies on three nodes, as they should be."""
    return [Node({0: "Active", 1: "Active"}), Node({0: "Active"}), Node({1: "Active"})]


def compared(nodes: list[Node], *, named: int = 3) -> Copies:
    with ExitStack() as stack:
        for node in nodes:
            node.url = stack.enter_context(serving(node))
        return compare([node.url for node in nodes[:named]], NAME, patience=0)


def test_copies_that_are_there_and_equal_are_no_problem(nodes: list[Node]) -> None:
    assert compared(nodes) == Copies(nodes=3, points=3)
    assert all("/collections/photos/points/scroll" in node.asked for node in nodes)
    assert "/collections/photos/points/scroll?consistency=all" in nodes[0].asked


def test_a_copy_that_is_dead_is_told(nodes: list[Node]) -> None:
    nodes[1].shards[0] = "Dead"
    assert compared(nodes).problems == [f"The copy of shard 0 at {nodes[1].url} is Dead."]


def test_copies_too_few_and_too_many_are_told(nodes: list[Node]) -> None:
    del nodes[2].shards[1]
    nodes[2].shards[0] = "Active"
    assert compared(nodes).problems == ["Shard 0 has 3 copies, not 2.", "Shard 1 has 1 copies, not 2."]


def test_a_copy_on_its_way_is_told(nodes: list[Node]) -> None:
    nodes[0].transfers = 1
    assert compared(nodes).problems == [f"{nodes[0].url} moves 1 copies."]


def test_nodes_that_were_not_named_are_told(nodes: list[Node]) -> None:
    assert "2 nodes were named, but the cluster has 3." in compared(nodes, named=2).problems


def test_a_point_that_one_node_has_otherwise_is_told(nodes: list[Node]) -> None:
    nodes[2].points[1] = "older"
    assert compared(nodes).problems == ["The copies of 1 points differ, such as 1."]


def test_a_point_that_the_copies_do_not_agree_on_is_told(nodes: list[Node]) -> None:
    # Every node answered from the same copy: only what all copies say alike shows it.
    nodes[0].agreed = {0: "same", 2: "same"}
    assert compared(nodes).problems == ["The copies of 1 points differ, such as 1."]


def test_copies_on_their_way_are_waited_for(nodes: list[Node]) -> None:
    nodes[1].shards[0] = "Recovery"

    def heal() -> None:
        if nodes[0].asked.count("/cluster") == 2:
            nodes[1].shards[0] = "Active"

    nodes[0].on_look = heal
    with ExitStack() as stack:
        for node in nodes:
            node.url = stack.enter_context(serving(node))
        assert wait_for_copies([node.url for node in nodes], NAME) == []
    assert nodes[0].asked.count("/cluster") == 2


def test_a_node_that_does_not_answer_is_named() -> None:
    with pytest.raises(StoreUnavailable, match=r"http://127\.0\.0\.1:1"):
        compare(["http://127.0.0.1:1"], NAME)
