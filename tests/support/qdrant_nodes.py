"""Nodes of a `qdrant` program, without the rest of the stack: started, stopped, killed, frozen, lost and replaced."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from image_similarity.cli.cluster import qdrant
from image_similarity.cli.cluster.services import Service
from image_similarity.cli.cluster.stack import Cluster, ClusterPlan
from tests.support.servers import ONCE, wait_for


class QdrantNodes(Cluster):
    """A cluster that has nothing but its Qdrant nodes, `first` of them to begin with."""

    def __init__(self, folder: Path, *, first: int | None = None) -> None:
        super().__init__(folder)
        self._there = first

    def join(self) -> None:
        """Start the others, which join those that are there."""
        before, self._there = self._there, None
        (nodes,) = self._stages(self.plan, self.ports)
        self._start(0, nodes[before:], lambda _: None)

    def _stages(self, plan: ClusterPlan, ports: dict[str, int]) -> list[list[Service]]:
        return [qdrant.services(plan.qdrant, ports, self.folder)[: self._there]]


@contextmanager
def frozen(cluster: Cluster, *names: str) -> Iterator[None]:
    """Have services stand still while the block runs, as a machine does that swaps or a hypervisor that pauses it."""
    pids = [service.process.pid for service in cluster.running() if service.name in names]
    assert len(pids) == len(names)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def node_url(cluster: Cluster, name: str) -> str:
    return f"http://127.0.0.1:{cluster.ports[name]}"


def ask(cluster: Cluster, name: str, method: str, path: str, **content: Any) -> Any:
    """Return the result of a request to one node."""
    answer = ONCE.request(method, node_url(cluster, name) + path, **content)
    assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json()["result"]


def peer_ids(cluster: Cluster) -> dict[str, int]:
    """Return the number by which the others know each node that lives."""
    nodes = [service.name for service in cluster.running() if service.name.startswith("qdrant-") and service.alive]
    return {name: ask(cluster, name, "GET", "/cluster")["peer_id"] for name in nodes}


def holders(cluster: Cluster, collection: str) -> dict[int, set[str]]:
    """Return the nodes that hold a copy of each shard."""
    found: dict[int, set[str]] = {}
    for node in peer_ids(cluster):
        for shard in ask(cluster, node, "GET", f"/collections/{collection}/cluster")["local_shards"]:
            found.setdefault(shard["shard_id"], set()).add(node)
    return found


def lose(cluster: Cluster, name: str) -> None:
    """Take a node away for good, its folder too."""
    cluster.kill(name)
    shutil.rmtree(cluster.folder / name)


def wait_until_they_agree(cluster: Cluster, *names: str) -> None:
    """Wait until each node knows all of them, and who leads."""

    def agree() -> bool:
        try:
            seen = [ask(cluster, name, "GET", "/cluster") for name in names]
        except (httpx.TransportError, AssertionError):
            return False
        return all(len(one["peers"]) == len(names) and one["raft_info"]["leader"] for one in seen)

    wait_for(agree, f"{names} do not agree on who belongs to the cluster")
