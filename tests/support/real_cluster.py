"""`cluster up` on three real Qdrant nodes, and the account of what was acknowledged while some of them were away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from image_similarity.cli.cluster.qdrant import Source
from image_similarity.cli.cluster.stack import Cluster, ClusterPlan
from image_similarity.cli.drill.account import Account, Fate, summary
from image_similarity.cli.drill.copies import compare, wait_for_copies
from tests.support.drilling import drilling, found_of
from tests.support.qdrant_nodes import peer_ids, wait_until_they_agree

COLLECTION = "drilled"
NODES = ("qdrant-1", "qdrant-2", "qdrant-3")
REPLICAS = ("replica-1", "replica-2", "replica-3")


def find_program() -> str:
    """Return the real program; skip where there is none, or one that the stack needs beside it."""
    given = os.environ.get("QDRANT_BINARY")
    found = shutil.which(given or "qdrant")
    if found is None:
        pytest.skip("no Qdrant is here: set QDRANT_BINARY to the program `qdrant`, or put it on the PATH")
    for program in ("redis-server", "haproxy", "epmd"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; scripts/test.sh installs it")
    return str(Path(found).absolute())


class RealCluster:
    """Three replicas behind the balancer, three nodes, three shards in two copies."""

    def __init__(self, folder: Path, program: str) -> None:
        # A link, so that an upgrade can point it elsewhere.
        self.program = folder / "qdrant"
        self.program.symlink_to(program)
        self.cluster = Cluster(folder / "cluster")

    def up(self) -> None:
        env = {"MODEL_NAME": "mini", "QDRANT_COLLECTION_NAME": COLLECTION}
        self.cluster.up(ClusterPlan(Source(binary=str(self.program)), workers=0, env=env))
        wait_until_they_agree(self.cluster, *NODES)
        self.wait_for_copies()

    def wait_for_copies(self) -> None:
        problems = wait_for_copies(self.cluster.qdrant, COLLECTION)
        assert problems == []

    def by_peer_id(self) -> list[str]:
        """Return the nodes, the one with the lowest number first."""
        numbers = peer_ids(self.cluster)
        return sorted(numbers, key=numbers.__getitem__)

    @contextmanager
    def drilling(self, seed: int) -> Iterator[Account]:
        """Load the service while the block runs, then account for it: nothing lost, nothing back, all copies equal."""
        with drilling(self.cluster.url, seed=seed) as account:
            yield account
        findings = found_of(self.cluster.url, account)
        findings.copies = compare(self.cluster.qdrant, COLLECTION)
        print({**summary(account, findings), "copies": findings.copies})  # noqa: T201 - shown with -rP and failures
        assert findings.problems == []
        assert findings.copies.points >= len(account.having(Fate.PRESENT)) > 0


@contextmanager
def running_real_cluster(folder: Path) -> Iterator[RealCluster]:
    """Start it, and stop what there is of it in the end; skip where there is no Qdrant."""
    real = RealCluster(folder, find_program())
    try:
        real.up()
        yield real
    finally:
        real.cluster.down()
