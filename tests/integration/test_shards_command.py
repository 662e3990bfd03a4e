"""`image-similarity shards`, on what a cluster tells of itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_similarity.vectors.qdrant_server import balance as qdrant_balance
from image_similarity.vectors.qdrant_server.balance import Pace
from tests.support.commands import Cli, make_cli
from tests.support.qdrant_cluster import ACTIVE, QdrantCluster
from tests.support.qdrant_cluster_server import running_cluster
from tests.support.servers import PATIENCE, environment, wait_for


@pytest.fixture
def cluster() -> Iterator[QdrantCluster]:
    """Three shards on the first of three nodes, with one copy where two are wanted."""
    with running_cluster(QdrantCluster({shard: {1: ACTIVE} for shard in range(3)})) as running:
        yield running


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.setattr(qdrant_balance, "USUAL", Pace(look=0.01))
    return make_cli(monkeypatch, capsys, tmp_path)


def at(cluster: QdrantCluster) -> dict[str, str]:
    return {"QDRANT_URL": cluster.url, "QDRANT_PREFER_GRPC": "false", "LOG_LEVEL": "ERROR"}


def test_what_is_wrong_is_shown(cli: Cli, cluster: QdrantCluster) -> None:
    cluster.shards[1], cluster.shards[2] = {1: ACTIVE, 2: ACTIVE}, {3: ACTIVE}
    cluster.silent.add(3)
    shown = cli("shards", **at(cluster))
    assert shown.status == 0, shown.stderr
    rows = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "1 qdrant-2:6335 Active 10" in rows
    assert "2 qdrant-3:6335 Active, node does not answer" in rows
    assert "3 shards, 2 copies of each wanted: 3 of 6 copies are active, on 3 nodes." in shown.stdout
    assert "the node qdrant-3:6335 (id 3) does not answer" in shown.stdout
    assert "the only active copy of shard 0 is on qdrant-1:6335" in shown.stdout
    assert "shard 2 has no active copy" in shown.stdout
    assert cluster.asked == []


def test_the_plan_is_shown_and_nothing_changed_until_it_is_agreed_to(cli: Cli, cluster: QdrantCluster) -> None:
    shown = cli("shards", "--balance", **at(cluster))
    assert shown.status == 0
    assert "1. copy shard 0 from qdrant-1:6335 to qdrant-2:6335" in shown.stdout
    assert "4. move shard 0 from" in shown.stdout
    assert "Give --yes" in shown.stderr
    assert cluster.asked == []


def test_copies_are_brought_to_where_they_should_be(cli: Cli, cluster: QdrantCluster) -> None:
    done = cli("shards", "--balance", "--yes", **at(cluster))
    assert done.status == 0, done.stderr
    assert "6 of 6 copies are active" in done.stdout
    assert "3 of 4 done; move shard 0" in done.stderr
    again = cli("shards", "--balance", "--yes", "--json", **at(cluster))
    found = json.loads(again.stdout)
    assert (found["plan"], found["copies_active"], found["shards_short"]) == ([], 6, 0)
    assert len(cluster.asked) == 4


def test_programs_get_json_and_the_plan(cli: Cli, cluster: QdrantCluster) -> None:
    found = json.loads(cli("shards", "--balance", "--json", **at(cluster)).stdout)
    assert [step["action"] for step in found["plan"]] == ["copy", "copy", "copy", "move"]
    assert found["shards_on_one_node"] == 3
    assert found["members"][0] == {"id": 1, "uri": "http://qdrant-1:6335/", "answers": True, "name": "qdrant-1:6335"}
    assert found["copies"][0] == {"shard": 0, "node": 1, "state": "Active", "points": 10, "active": True}


def test_another_number_of_copies_is_set_first(cli: Cli, cluster: QdrantCluster) -> None:
    done = cli("shards", "--balance", "--copies", "1", "--yes", **at(cluster))
    assert done.status == 0, done.stderr
    assert cluster.wanted == 1
    assert cluster.asked[0] == "replication_factor 1"
    assert sorted(node for copies in cluster.shards.values() for node in copies) == [1, 2, 3]


def test_a_lost_node_is_given_up_by_name_and_only_if_it_is_silent(cli: Cli, cluster: QdrantCluster) -> None:
    cluster.shards = {0: {1: ACTIVE, 3: ACTIVE}, 1: {2: ACTIVE, 3: ACTIVE}}
    for name, reason in (("qdrant-3:6335", "answers, so it is not lost"), ("q9", 'no node "q9"')):
        refused = cli("shards", "--balance", "--yes", "--lost", name, **at(cluster))
        assert refused.status == 1
        assert reason in refused.stderr
    assert cluster.asked == []
    cluster.silent.add(3)
    done = cli("shards", "--balance", "--yes", "--lost", "qdrant-3:6335", **at(cluster))
    assert done.status == 0, done.stderr
    assert cluster.nodes == {1, 2}
    assert cluster.asked[-1] == "remove_peer 3"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--copies", "2"], "give --balance too"), (["--lost", "1"], "give --balance too")],
)
def test_what_makes_no_sense_is_refused(cli: Cli, cluster: QdrantCluster, arguments: list[str], reason: str) -> None:
    refused = cli("shards", *arguments, **at(cluster))
    assert (refused.status, reason in refused.stderr) == (1, True)


def test_copies_that_somebody_set_up_otherwise_are_left_alone(cli: Cli, cluster: QdrantCluster) -> None:
    cluster.shards[0][2] = "Listener"
    refused = cli("shards", "--balance", "--yes", **at(cluster))
    assert refused.status == 1
    assert "is Listener" in refused.stderr
    assert cluster.asked == []


def test_what_cannot_be_reached_is_said_by_the_exit_status(cli: Cli, cluster: QdrantCluster) -> None:
    cluster.nodes = {1}
    done = cli("shards", "--balance", "--yes", **at(cluster))
    assert done.status == 1
    assert "2 copies need as many nodes, but only 1 answer" in done.stdout
    assert "There is nothing to move." in done.stdout


def test_it_is_for_servers_and_for_collections_that_are_there(cli: Cli) -> None:
    refused = cli("shards")
    assert (refused.status, "QDRANT_URL" in refused.stderr) == (1, True)


def test_ctrl_c_says_where_it_stopped_and_the_next_run_goes_on(
    cli: Cli, cluster: QdrantCluster, tmp_path: Path
) -> None:
    cluster.stuck = True
    # A shell has whatever it starts in the background ignore Ctrl-C, tests and all that they start included.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from image_similarity.cli.main import main; main()"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program, "shards", "--balance", "--yes"],
        env=environment(at(cluster)),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: cluster.transfers or running.poll() is not None, "no transfer was begun")
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130, said
    assert "Stopped after 0 steps" in said
    assert "Run the command again" in " ".join(said.split())
    assert "Traceback" not in said
    assert len(cluster.transfers) == 1
    cluster.stuck = False
    assert cli("shards", "--balance", "--yes", **at(cluster)).status == 0
    assert len(cluster.asked) == 4
