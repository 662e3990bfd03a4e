"""Where real Qdrant nodes have their copies: at a cold start, where nodes join late, are lost, and after a restore."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_similarity.cli.cluster.qdrant import Source, decided
from image_similarity.cli.cluster.stack import Cluster, ClusterPlan
from image_similarity.cli.drill.copies import Copies, compare, wait_for_copies
from tests.support.drilling import wait_for_requests
from tests.support.qdrant_nodes import QdrantNodes, ask, holders, lose, node_url, peer_ids, wait_until_they_agree
from tests.support.real_cluster import COLLECTION, NODES, REPLICAS, RealCluster, find_program, running_real_cluster
from tests.support.servers import ONCE, PATIENCE, command, environment

pytestmark = pytest.mark.qdrant_cluster

COLD_STARTS = 5


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    with running_real_cluster(tmp_path_factory.mktemp("real")) as cluster:
        yield cluster


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[QdrantNodes]:
    """The first of three nodes."""
    binary = find_program()
    cluster = QdrantNodes(tmp_path / "nodes", first=1)
    try:
        cluster.up(ClusterPlan(Source(binary=binary)))
        yield cluster
    finally:
        cluster.down()


def test_three_replicas_started_at_once_make_one_collection(real: RealCluster) -> None:
    for _ in range(COLD_STARTS):
        for name in REPLICAS:
            real.cluster.kill(name)
        ask(real.cluster, NODES[0], "DELETE", f"/collections/{COLLECTION}")
        # Raises with the end of its log where a replica ends.
        real.cluster.start(*REPLICAS)
        real.wait_for_copies()
        assert {len(nodes) for nodes in holders(real.cluster, COLLECTION).values()} == {2}


def test_a_node_lost_for_good_is_replaced_under_load(real: RealCluster) -> None:
    node = real.by_peer_id()[0]
    number = peer_ids(real.cluster)[node]
    with real.drilling(seed=21) as account:
        wait_for_requests(account, 300)
        lose(real.cluster, node)
        wait_for_requests(account, 300)
        program(real.cluster, "shards", "--balance", "--yes", "--lost", str(number))
        real.cluster.start(node)
        wait_until_they_agree(real.cluster, *NODES)
        program(real.cluster, "shards", "--balance", "--yes")
        real.wait_for_copies()
        wait_for_requests(account, 300)
    assert account.failures == {}
    assert set().union(*holders(real.cluster, COLLECTION).values()) == set(NODES), "the new node has a share"


def test_a_collection_waits_for_the_nodes_and_an_early_one_is_spread(nodes: QdrantNodes) -> None:
    early = program(nodes, "init-db", check=False, QDRANT_EXPECTED_PEERS="3", QDRANT_SETTLE_SECONDS="3")
    assert early.returncode == 1, early.stdout
    assert ask(nodes, NODES[0], "GET", "/collections")["collections"] == []

    program(nodes, "init-db", QDRANT_EXPECTED_PEERS="1")
    nodes.join()
    wait_until_they_agree(nodes, *NODES)
    short = wait_for_copies(nodes.qdrant, COLLECTION, patience=0)
    assert short == [f"Shard {shard} has 1 copies, not 2." for shard in range(3)]

    program(nodes, "shards", "--balance", "--yes")
    assert wait_for_copies(nodes.qdrant, COLLECTION) == []
    assert set().union(*holders(nodes, COLLECTION).values()) == set(NODES)


def test_a_restore_into_other_placements_is_brought_back_to_two_copies(nodes: QdrantNodes, tmp_path: Path) -> None:
    nodes.join()
    wait_until_they_agree(nodes, *NODES)
    program(nodes, "init-db")
    assert wait_for_copies(nodes.qdrant, COLLECTION) == []
    (vector,) = ask(nodes, NODES[0], "GET", f"/collections/{COLLECTION}")["config"]["params"]["vectors"].items()
    points = [
        {"id": str(uuid.UUID(int=number)), "vector": {vector[0]: unit(number, vector[1]["size"])}, "payload": {}}
        for number in range(100)
    ]
    ask(nodes, NODES[0], "PUT", f"/collections/{COLLECTION}/points?wait=true", json={"points": points})
    backups = {node: snapshot(nodes, node) for node in NODES}

    # Each node gets what another one had, which is what an empty cluster's own choice comes to.
    ask(nodes, NODES[0], "DELETE", f"/collections/{COLLECTION}")
    program(nodes, "init-db")
    assert wait_for_copies(nodes.qdrant, COLLECTION) == []
    for node, other in zip(NODES, (*NODES[1:], NODES[0]), strict=True):
        where = f"/collections/{COLLECTION}/snapshots/upload?priority=snapshot&wait=true"
        ask(nodes, node, "POST", where, files={"snapshot": ("node.snapshot", backups[other])})
    program(nodes, "shards", "--balance", "--yes")

    assert wait_for_copies(nodes.qdrant, COLLECTION) == []
    assert compare(nodes.qdrant, COLLECTION) == Copies(nodes=3, points=100)


def snapshot(nodes: QdrantNodes, node: str) -> bytes:
    """Return the snapshot of what one node holds."""
    where = f"/collections/{COLLECTION}/snapshots"
    made = ask(nodes, node, "POST", f"{where}?wait=true")["name"]
    return ONCE.get(f"{node_url(nodes, node)}{where}/{made}").raise_for_status().content


def unit(number: int, size: int) -> list[float]:
    return [float(place == number % size) for place in range(size)]


def program(nodes: Cluster, *arguments: str, check: bool = True, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command line against the nodes."""
    env = {
        "MODEL_NAME": "mini",
        "QDRANT_COLLECTION_NAME": COLLECTION,
        "QDRANT_SHARD_NUMBER": "3",
        "QDRANT_REPLICATION_FACTOR": "2",
        **decided(nodes.plan.qdrant, nodes.ports),
        **settings,
    }
    done = subprocess.run(
        command(*arguments), env=environment(env), capture_output=True, text=True, timeout=5 * PATIENCE
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done
