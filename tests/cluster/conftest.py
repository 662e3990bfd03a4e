"""One whole cluster for all tests here: real Redis, RabbitMQ and HAProxy, three replicas, two workers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from image_similarity.cli.cluster.processes import Process, start
from image_similarity.cli.cluster.qdrant import Source
from image_similarity.cli.cluster.stack import Cluster, ClusterPlan
from stand_in_cluster import STAND_IN
from tests.support import preloaded
from tests.support.balancer import statistics_of
from tests.support.sample_images import encoded, photo
from tests.support.servers import API, PATIENCE, wait_for

REPLICAS = ("replica-1", "replica-2", "replica-3")


@dataclass(frozen=True)
class Stack:
    """The cluster, and how its state is seen from outside."""

    cluster: Cluster
    http: httpx.Client
    """Through the balancer."""

    def replica(self, name: str) -> str:
        """Return the address of a replica, past the balancer."""
        return f"http://127.0.0.1:{self.cluster.ports[name]}{API}"

    def revive(self, name: str) -> None:
        """Start a service again; of a replica, wait until the balancer sends it requests."""
        self.cluster.start(name)
        if name in REPLICAS:
            self.wait_until_up(name)

    def restart(self, name: str) -> None:
        """Stop a replica in good order and start it again, as an upgrade does."""
        self.cluster.stop(name)
        self.revive(name)

    def wait_until_up(self, *names: str) -> None:
        wait_for(lambda: all(self._states().get(name) == "UP" for name in names), f"{names} are not up")

    def images(self) -> int:
        """Return how many images there are."""
        return int(self.http.get("/stats").json()["collection"]["images"])

    def _states(self) -> dict[str, str]:
        rows = statistics_of(f"http://127.0.0.1:{self.cluster.ports['stats']}")
        return {row["svname"]: row["status"] for row in rows if row["pxname"] == "replicas"}


@pytest.fixture(scope="package", autouse=True)
def unmeasured() -> Iterator[None]:
    """Have the processes of clusters run without coverage, which costs crowds much and finds no line that others do
    not find."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


def start_preloaded(command: Sequence[str], *, env: Mapping[str, str], folder: Path, log: Path) -> Process:
    """Start a service as a cluster does; those in Python load nothing anew."""
    if sys.executable not in command:
        return start(command, env=env, folder=folder, log=log)
    module, *arguments = command[command.index(sys.executable) + 2 :]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        env = {**preloaded.loaded_with(), **env}
        program = preloaded.start(module, *arguments, env=env, out=out, folder=folder, new_session=True)
    return Process(program.pid, psutil.Process(program.pid).create_time())


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, unmeasured: None) -> Iterator[Stack]:
    for program in ("redis-server", "haproxy", "epmd"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; scripts/test.sh installs it")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    env = {"MODEL_NAME": str(tiny_checkpoint), "DEVICE": "cpu", "BATCH_SIZE": "16", "QDRANT_TIMEOUT": "20"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("image_similarity.cli.cluster.stack.start", start_preloaded)
        try:
            cluster.up(ClusterPlan(workers=2, qdrant=Source(stand_in=STAND_IN), env=env))
            with httpx.Client(base_url=cluster.url + API, timeout=PATIENCE) as http:
                yield Stack(cluster, http)
        finally:
            cluster.down()


@pytest.fixture(scope="session")
def photos() -> list[bytes]:
    """Return pictures of a few kB, as many as most tests search for."""
    return [encoded(photo(160, 120, seed=seed), "JPEG", quality=70) for seed in range(40)]


@pytest.fixture(autouse=True)
def whole(request: pytest.FixtureRequest) -> Iterator[None]:
    """Bring back what a test left dead, so that the next one finds the cluster whole."""
    yield
    if "stack" in request.fixturenames:
        stack: Stack = request.getfixturevalue("stack")
        for service in stack.cluster.running():
            if not service.alive:
                stack.cluster.start(service.name)
        stack.wait_until_up(*REPLICAS)
