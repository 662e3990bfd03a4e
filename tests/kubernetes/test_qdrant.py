"""How the nodes of the Qdrant cluster start: what the chart asks of Kubernetes, who founds the cluster, who joins.

The script runs in a real bash. Only the look at another node's port is played: names of nodes exist in a cluster only.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.helm_charts import Object, environment, named, own_image, pods, render, rendered
from tests.support.paths import REPOSITORY

SCRIPT = REPOSITORY / "qdrant" / "start.sh"
FOUNDS = "--uri http://qdrant-0.peers:6335"
MEMBER = '{"state":{"hard_state":{"term":3,"vote":7,"commit":12}},"latest_snapshot_meta":{"term":0,"index":0}}'
NEVER_JOINED = '{"state":{"hard_state":{"term":0,"vote":0,"commit":0}},"latest_snapshot_meta":{"term":0,"index":0}}'


def joins(number: int) -> str:
    return f"--uri http://qdrant-{number}.peers:6335 --bootstrap http://peers:6335"


@pytest.fixture
def nodes() -> Object:
    """Return the StatefulSet."""
    return named(rendered("defaults"), "StatefulSet", "image-similarity-qdrant")["spec"]


def test_no_node_has_to_be_ready_before_another_starts(nodes: Object) -> None:
    assert nodes["podManagementPolicy"] == "Parallel"
    assert nodes.get("updateStrategy", {"type": "RollingUpdate"})["type"] == "RollingUpdate"


def test_a_node_that_recovers_its_shards_is_not_killed(nodes: Object) -> None:
    """/readyz is 503 until every shard of the node is healthy; /livez is 200 once it has started."""
    (container,) = nodes["template"]["spec"]["containers"]
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert asked == {"startup": "/livez", "readiness": "/readyz", "liveness": "/livez"}
    # It answers after it has loaded its shards, and waited four minutes for the node before it.
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 3600


def test_nodes_find_each_other_before_they_are_ready(nodes: Object) -> None:
    (container,) = nodes["template"]["spec"]["containers"]
    given = environment(container)
    service = named(rendered("defaults"), "Service", nodes["serviceName"])["spec"]
    assert service["publishNotReadyAddresses"] is True
    assert given["PEERS"] == given["DOMAIN"] == nodes["serviceName"]
    assert container["command"][:2] == ["bash", "-c"]
    assert container["command"][2].strip() == SCRIPT.read_text().strip()


def test_the_program_knows_the_nodes_that_are_ready() -> None:
    """A Service with an address of its own would hold each connection at one node."""
    objects = rendered("defaults")
    service = named(objects, "Service", "image-similarity-qdrant-nodes")["spec"]
    assert service["clusterIP"] == "None"
    assert not service.get("publishNotReadyAddresses"), "a node that has not joined says that there is no collection"
    assert {port["port"] for port in service["ports"]} == {6333, 6334}
    for name in ("api", "worker"):
        pod = named(objects, "Deployment", f"image-similarity-{name}")["spec"]["template"]["spec"]
        assert environment(pod["containers"][0])["QDRANT_URL"] == "http://image-similarity-qdrant-nodes:6333"


@pytest.mark.parametrize("replicas", [2, 5])
def test_the_collection_is_made_once_all_nodes_are_there(replicas: int) -> None:
    objects = render("--set", f"qdrant.replicas={replicas}")
    assert named(objects, "StatefulSet", "image-similarity-qdrant")["spec"]["replicas"] == replicas
    for owner, _, spec in pods(objects):
        for container in spec["containers"]:
            if own_image(container) and "command" not in container:
                assert environment(container)["QDRANT_EXPECTED_PEERS"] == str(replicas), owner


def test_a_hook_asks_by_a_service_that_earlier_releases_have() -> None:
    pod = named(rendered("defaults"), "Job", "image-similarity-init-db")["spec"]["template"]["spec"]
    assert environment(pod["containers"][0])["QDRANT_URL"] == "http://image-similarity-qdrant:6333"


def test_nodes_of_compose_start_by_the_same_script() -> None:
    services = yaml.safe_load((REPOSITORY / "docker-compose.scale.yml").read_text())["services"]
    assert {number for number in range(9) if f"qdrant-{number}" in services} == {1, 2, 3}
    assert services["init-db"]["environment"]["QDRANT_EXPECTED_PEERS"] == "3"
    for number in (1, 2, 3):
        node = services[f"qdrant-{number}"]
        assert node["hostname"] == f"qdrant-{number}"
        assert node["command"] == ["bash", "/start/start.sh"]
        assert "./qdrant:/start:ro" in node["volumes"]
        assert (node["environment"]["FIRST"], node["environment"]["PEERS"]) == ("1", "qdrant")
        assert node["networks"]["stores"]["aliases"] == ["qdrant"]
        assert f"http://qdrant-{number}:6333" in services["backend-1"]["environment"]["QDRANT_URL"].split(",")
        assert "depends_on" not in node, "else nodes that wait for each other never start"


def test_no_file_makes_writes_need_copies_that_may_be_dead() -> None:
    name = "QDRANT_WRITE_CONSISTENCY_FACTOR"
    files = [
        *REPOSITORY.glob("docker-compose*.yml"),
        *REPOSITORY.glob("kubernetes/**/*.yaml"),
        REPOSITORY / ".env.example",
    ]
    assert not [path for path in files if name in path.read_text()]
    assert name not in str(rendered("defaults"))
    chosen = render("--set", f"config.{name}=2")
    assert name in str(named(chosen, "Deployment", "image-similarity-api")), "whoever wants it sets it"


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """Return the folder that a node starts in."""
    programs = {
        # Instead of opening a connection: whether the port is open, by the name in /dev/tcp/NAME/6335.
        "bin/timeout": 'host=${4#*tcp/}; host=${host%/6335}; echo "$host" >>asked; grep -qxs "$host" members',
        "bin/sleep": "exit 0",
        "entrypoint.sh": 'echo "$@" >started',
    }
    for name, text in programs.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "storage").mkdir()
    return tmp_path


def started(node: Path, number: int, members: str = "", state: str = "") -> str:
    """Start a node and return the arguments that Qdrant got; `members` are the names that answer."""
    (node / "members").write_text(members.replace(" ", "\n") + "\n")
    if state:
        (node / "storage" / "raft_state.json").write_text(state)
    environment = {"HOSTNAME": f"qdrant-{number}", "FIRST": "0", "DOMAIN": "peers", "PEERS": "peers"}
    path = {"PATH": f"{node / 'bin'}:/usr/bin:/bin"}
    done = subprocess.run(["bash", SCRIPT], cwd=node, env={**environment, **path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return (node / "started").read_text().strip()


def asked(node: Path) -> list[str]:
    path = node / "asked"
    return path.read_text().split() if path.exists() else []


def test_the_first_founds_the_cluster_where_no_other_is_a_member(node: Path) -> None:
    assert started(node, 0) == FOUNDS
    assert 2 <= len(asked(node)) <= 10, "a name that is not there yet is asked for again"


def test_the_first_joins_where_others_are_members_for_its_volume_was_lost(node: Path) -> None:
    assert started(node, 0, members="peers") == joins(0)
    assert started(node, 0, members="peers", state=NEVER_JOINED) == joins(0)


def test_others_join_after_the_one_before_them(node: Path) -> None:
    assert started(node, 2, members="qdrant-1.peers") == joins(2)
    assert asked(node) == ["qdrant-1.peers"]


@pytest.mark.parametrize("state", ["", NEVER_JOINED])
def test_a_node_waits_a_bounded_time_and_joins_all_the_same(node: Path, state: str) -> None:
    assert started(node, 2, members="qdrant-0.peers", state=state) == joins(2)
    assert set(asked(node)) == {"qdrant-1.peers"}
    assert len(asked(node)) == 60


def test_what_has_joined_waits_for_nobody(node: Path) -> None:
    assert started(node, 0, state=MEMBER) == FOUNDS
    assert started(node, 2, state=MEMBER) == joins(2)
    assert asked(node) == []


def test_names_without_a_domain_are_those_of_compose(node: Path) -> None:
    environment = {
        "HOSTNAME": "qdrant-2",
        "FIRST": "1",
        "DOMAIN": "",
        "PEERS": "qdrant",
        "PATH": f"{node}/bin:/usr/bin:/bin",
    }
    (node / "members").write_text("qdrant-1\n")
    assert subprocess.run(["bash", SCRIPT], cwd=node, env=environment).returncode == 0
    assert (node / "started").read_text().strip() == "--uri http://qdrant-2:6335 --bootstrap http://qdrant:6335"
    assert asked(node) == ["qdrant-1"]
