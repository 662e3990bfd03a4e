"""How nodes of Qdrant are started, joined and replaced, shown by a scripted program in the place of `qdrant`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import image_similarity.cli.cluster.stack as starting
from image_similarity.cli.cluster import qdrant
from image_similarity.cli.cluster.qdrant import Source
from image_similarity.cli.cluster.stack import ClusterPlan
from image_similarity.domain.errors import InvalidRequest, StoreUnavailable
from tests.support import fake_qdrant
from tests.support.qdrant_nodes import QdrantNodes, frozen, lose, node_url, wait_until_they_agree
from tests.support.servers import answers

NAMES = ("qdrant-1", "qdrant-2", "qdrant-3")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "qdrant"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{fake_qdrant.__file__}" "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def nodes(tmp_path: Path, program: Path) -> Iterator[QdrantNodes]:
    cluster = QdrantNodes(tmp_path / "nodes")
    cluster.up(ClusterPlan(Source(binary=str(program))))
    yield cluster
    cluster.down()


def starts(cluster: QdrantNodes, name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (cluster.folder / name / "starts.jsonl").read_text().splitlines()]


def test_the_first_node_is_alone_and_the_others_join_it(nodes: QdrantNodes) -> None:
    wait_until_they_agree(nodes, *NAMES)
    first = f"http://127.0.0.1:{nodes.ports['qdrant-1-p2p']}"
    assert [starts(nodes, name)[0]["bootstrap"] for name in NAMES] == [None, first, first]
    assert nodes.qdrant == [node_url(nodes, name) for name in NAMES]
    assert not (nodes.folder / ".qdrant-initialized").exists(), "three nodes would share it"


def test_restarted_nodes_keep_their_ports_and_start_in_any_order(
    nodes: QdrantNodes,
) -> None:
    """Nodes that were down know each other by the same ports; none of them has to start first."""
    lasting = {name: port for name, port in nodes.ports.items() if name.endswith("-p2p")}
    assert len(lasting) == len(NAMES)
    nodes.down()
    nodes.up(nodes.plan)
    assert {name: nodes.ports[name] for name in lasting} == lasting
    wait_until_they_agree(nodes, *NAMES)
    assert all(starts(nodes, name)[1]["joined"] for name in NAMES)

    # The node that the others once joined by is away: each starts without it.
    nodes.stop("qdrant-1")
    nodes.restart("qdrant-2")
    assert answers(f"{node_url(nodes, 'qdrant-2')}/readyz")


def test_a_node_whose_folder_was_lost_joins_those_that_are_left(nodes: QdrantNodes) -> None:
    lose(nodes, "qdrant-1")
    nodes.start("qdrant-1")
    (start,) = starts(nodes, "qdrant-1")
    assert start == {"bootstrap": f"http://127.0.0.1:{nodes.ports['qdrant-2-p2p']}", "joined": False}
    wait_until_they_agree(nodes, *NAMES)


def test_a_frozen_node_is_silent_and_answers_again(nodes: QdrantNodes) -> None:
    url = f"{node_url(nodes, 'qdrant-3')}/readyz"
    with frozen(nodes, "qdrant-3"), pytest.raises(httpx.ReadTimeout):
        httpx.get(url, timeout=0.5)
    assert answers(url)


def test_a_node_that_finds_nobody_to_join_is_not_started(nodes: QdrantNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "READY_SECONDS", 0.5)
    nodes.kill("qdrant-2")
    nodes.kill("qdrant-3")
    lose(nodes, "qdrant-1")
    with pytest.raises(StoreUnavailable, match="what qdrant-1 joins did not become ready in time"):
        nodes.start("qdrant-1")
    assert not (nodes.folder / "qdrant-1" / "starts.jsonl").exists()


def test_the_log_of_a_node_that_ends_is_told(tmp_path: Path) -> None:
    program = tmp_path / "qdrant"
    program.write_text("#!/bin/sh\necho no more room >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(StoreUnavailable, match=r"(?s)qdrant-1 ended.*no more room"):
        QdrantNodes(tmp_path / "nodes").up(ClusterPlan(Source(binary=str(program))))


def test_which_qdrant_is_taken(monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    stand_in = "speaks --port {port}"
    assert qdrant.choose("http://q:6333", str(program), stand_in) == Source(url="http://q:6333")
    assert qdrant.choose(None, str(program), stand_in) == Source(binary=str(program))
    assert qdrant.choose(None, None, stand_in) == Source(stand_in=("speaks", "--port", "{port}"))
    with pytest.raises(InvalidRequest, match="QDRANT_BINARY"):
        qdrant.choose(None, "/nowhere/qdrant", stand_in)
    with pytest.raises(InvalidRequest, match=r"scripts/stand_in_cluster\.py"):
        qdrant.choose(None, None, None)
    monkeypatch.setenv("PATH", str(program.parent))
    assert qdrant.choose(None, None, stand_in, nodes=1) == Source(binary=str(program), nodes=1)
