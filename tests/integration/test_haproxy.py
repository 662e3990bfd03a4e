"""The balancer's configuration, run by the real HAProxy in front of toy replicas."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.balancer import CONFIGURATION, Balancer, running_balancer
from tests.support.clients import posting
from tests.support.servers import answers, wait_for

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")

SEARCH = "/api/v1/search"
BODY = os.urandom(140_000)
"""As large as a 640x480 photograph in base64."""


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[Balancer]:
    with running_balancer(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    """Return a balancer for tests that leave it as it was."""
    with running_balancer(tmp_path_factory.mktemp("haproxy"), replicas=2, MAX_BODY_BYTES="1000000") as running:
        yield running


@pytest.mark.parametrize("balance", ["leastconn", "roundrobin"])
def test_configuration_is_valid_without_warnings(balance: str) -> None:
    env = {**os.environ, "BALANCE": balance}
    checked = subprocess.run(["haproxy", "-c", "-f", CONFIGURATION], env=env, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_killing_a_replica_under_100_clients_fails_no_request(balancer: Balancer) -> None:
    victim = balancer.replicas[0]
    with posting(balancer.url, SEARCH, BODY, clients=100) as load:
        load.wait_for(150)
        victim.kill()
        load.wait_for(200)
        victim.start()
        balancer.wait_until(victim, "UP")
        before = load.answered[victim.name]
        load.wait_for(200)
    assert load.failed == []
    assert load.answered[victim.name] > before, "the replica takes part again"
    assert retried(balancer) > 0, "the replica had no request when it was killed"


def test_a_request_that_kills_what_it_reaches_leaves_a_replica(balancer: Balancer) -> None:
    with posting(balancer.url, SEARCH, BODY, clients=20) as load:
        load.wait_for(20)
        poisoned = httpx.post(balancer.url + SEARCH, content=BODY, headers={"X-Poison": "yes"}, timeout=60)
        assert (poisoned.status_code, poisoned.json()["code"]) == (502, "replica_failed")
        wait_for(
            lambda: sorted(state.split()[0] for state in balancer.states().values()) == ["DOWN", "DOWN", "UP"],
            "not two of three replicas died",
        )
    with posting(balancer.url, SEARCH, BODY, clients=20) as load:
        load.wait_for(60)
    assert load.failed == []
    assert len(load.answered) == 1


def test_rolling_restart_under_100_clients_fails_no_request(balancer: Balancer) -> None:
    with posting(balancer.url, SEARCH, BODY, clients=100) as load:
        for replica in balancer.replicas:
            load.wait_for(100)
            replica.stop()
            replica.start()
            balancer.wait_until(replica, "UP")
    assert load.failed == []
    assert set(load.answered) == {replica.name for replica in balancer.replicas}


def test_draining_replica_finishes_what_it_has_and_gets_nothing_new(balancer: Balancer) -> None:
    draining = balancer.replicas[0]
    with ThreadPoolExecutor(6) as clients:
        slow = [
            clients.submit(httpx.post, balancer.url + SEARCH, headers={"X-Pause": "3"}, timeout=60) for _ in range(6)
        ]
        wait_for(lambda: busy(balancer) == 6, "the requests do not arrive")
        draining.turn()
        wait_for(lambda: balancer.states()[draining.name].startswith("DOWN"), "the balancer does not notice")
        with posting(balancer.url, SEARCH, b"", clients=4) as load:
            load.wait_for(20)
        answers = [request.result() for request in slow]
    assert Counter(answer.status_code for answer in answers) == {200: 6}
    assert draining.name in {answer.json()["replica"] for answer in answers}
    assert load.failed == []
    assert draining.name not in load.answered


def test_what_is_under_way_when_all_replicas_are_taken_out_arrives_whole(balancer: Balancer) -> None:
    """Answers that have begun, and answers that have not: none is cut, and none is begun anew elsewhere."""
    slow = [{"X-Trickle": "10", "X-Pause": "0.3"}, {"X-Pause": "3"}] * 3
    with ThreadPoolExecutor(6) as clients:
        requests = [clients.submit(httpx.post, balancer.url + SEARCH, headers=how, timeout=60) for how in slow]
        wait_for(lambda: busy(balancer) == 6, "the requests do not arrive")
        before = sent(balancer)
        for replica in balancer.replicas:
            replica.turn()
        wait_for(
            lambda: all(state.startswith("DOWN") for state in balancer.states().values()),
            "the balancer does not notice",
        )
        assert httpx.get(balancer.url + SEARCH).json()["code"] == "no_replica"
        answers = [request.result() for request in requests]
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.content for answer in answers[::2]] == [b"x" * 10] * 3
    assert sent(balancer) == before


def test_request_is_sent_to_no_other_replica_when_the_store_is_away(lasting: Balancer) -> None:
    before = sent(lasting)
    answers = [httpx.post(lasting.url + SEARCH, content=BODY, headers={"X-Store-Away": "yes"}) for _ in range(4)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "store_unavailable")}
    assert sent(lasting) == before + 4
    assert set(lasting.states().values()) == {"UP"}


def test_full_disk_is_told_of_and_tried_once(lasting: Balancer) -> None:
    before = sent(lasting)
    answer = httpx.post(lasting.url + SEARCH, content=BODY, headers={"X-Disk-Full": "yes"})
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
    assert sent(lasting) == before + 1


def test_request_is_sent_to_another_replica_when_one_is_overloaded(lasting: Balancer) -> None:
    for _ in range(4):
        answer = httpx.post(lasting.url + SEARCH, content=BODY, headers={"X-Overloaded": "replica-1"})
        assert (answer.status_code, answer.json()["replica"]) == (200, "replica-2")


@pytest.mark.parametrize("path", ["/api/v1/index/batch", "/api/v1/index/batc%68"])
def test_bulk_job_is_never_sent_twice(lasting: Balancer, path: str) -> None:
    answers = [
        httpx.post(f"{lasting.url}{path}", content=b"x", headers={"X-Overloaded": "replica-1"}) for _ in range(4)
    ]
    assert {answer.status_code for answer in answers} == {200, 503}


def test_body_over_the_limit_is_refused(lasting: Balancer) -> None:
    assert httpx.post(lasting.url + SEARCH, content=bytes(1_000_000)).json()["size"] == 1_000_000
    refused = httpx.post(lasting.url + SEARCH, content=bytes(1_000_001))
    assert refused.status_code == 413
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "body_too_large"


def test_bulk_upload_has_a_limit_of_its_own(lasting: Balancer) -> None:
    assert httpx.post(f"{lasting.url}/api/v1/index/batch", content=bytes(3_000_000)).json()["size"] == 3_000_000


def test_replica_learns_who_asked_and_under_which_id(lasting: Balancer) -> None:
    headers = httpx.get(lasting.url + SEARCH).json()["headers"]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert forwarded_for(lasting, "198.51.100.1") == "198.51.100.1,127.0.0.1", "of a proxy on this machine"
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-request-id"])
    given = httpx.get(lasting.url + SEARCH, headers={"X-Request-ID": "mine"}).json()["headers"]
    assert given["x-request-id"] == "mine"


def test_client_cannot_say_where_it_comes_from(tmp_path: Path) -> None:
    with running_balancer(tmp_path, replicas=1, TRUSTED_PROXIES="192.0.2.1 198.51.100.0/24") as balancer:
        assert forwarded_for(balancer, "198.51.100.1") == "127.0.0.1"


def forwarded_for(balancer: Balancer, claimed: str) -> str:
    headers: dict[str, str] = httpx.get(balancer.url + SEARCH, headers={"X-Forwarded-For": claimed}).json()["headers"]
    return headers["x-forwarded-for"].replace(" ", "")


def test_figures_of_the_replicas_are_not_public(lasting: Balancer) -> None:
    for path in ("/metrics", "/%6detrics", "/%6D%65trics"):
        assert httpx.get(f"{lasting.url}{path}").status_code == 404


def test_head_over_the_limit_is_refused(lasting: Balancer) -> None:
    refused = httpx.get(lasting.url + SEARCH, headers={"X": "a" * 70_000})
    assert (refused.status_code, refused.json()["code"]) == (431, "head_too_large")
    assert httpx.get(lasting.url + SEARCH, headers={"X": "a" * 30_000}).status_code == 200


def test_one_address_does_not_take_every_connection(tmp_path: Path) -> None:
    variables = {"CLIENT_CONNECTIONS": "3", "TRUSTED_PROXIES": "192.0.2.1"}
    with running_balancer(tmp_path, replicas=1, **variables) as balancer, ExitStack() as held:
        where = (urlsplit(balancer.url).hostname, urlsplit(balancer.url).port)

        def fourth_is_refused() -> bool:
            # Made anew for each try: the balancer closes a silent connection after 15 s, which a busy machine may need
            # until it asks.
            held.close()
            silent[:] = [held.enter_context(socket.create_connection(where)) for _ in range(3)]
            return not answers(balancer.url + SEARCH)

        silent: list[socket.socket] = []
        wait_for(fourth_is_refused, "a fourth connection is answered")
        silent[-1].close()
        wait_for(lambda: answers(balancer.url + SEARCH), "a closed connection still counts")


def test_an_address_with_many_connections_may_send_no_further_large_body(tmp_path: Path) -> None:
    large = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx" % SEARCH.encode()
    variables = {"CLIENT_UPLOADS": "3", "TRUSTED_PROXIES": "192.0.2.1"}
    with running_balancer(tmp_path, replicas=1, **variables) as balancer, ExitStack() as held:
        where = (urlsplit(balancer.url).hostname, urlsplit(balancer.url).port)

        def upload() -> socket.socket:
            client = held.enter_context(socket.create_connection(where, timeout=60))
            client.sendall(large)
            return client

        dripping = [upload() for _ in range(3)]
        wait_for(lambda: busy(balancer) == 3, "the uploads do not arrive")
        further = upload()
        refused = further.recv(65536).decode()
        assert refused.startswith("HTTP/1.1 503 ")
        assert "too_many_uploads" in refused
        assert "retry-after: 5" in refused.lower()
        assert httpx.post(balancer.url + SEARCH, content=BODY).json()["size"] == len(BODY)
        dripping[0].close()
        further.close()
        wait_for(lambda: busy(balancer) == 2, "a closed connection still has its place")
        assert httpx.post(balancer.url + SEARCH, content=bytes(1_000_000)).status_code == 200


def test_answers_are_not_compressed(lasting: Balancer) -> None:
    answer = httpx.get(lasting.url + SEARCH, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


def test_statistics_are_there_for_people_and_for_prometheus(lasting: Balancer) -> None:
    page = httpx.get(lasting.statistics)
    assert page.status_code == 200
    assert "replica-1" in page.text
    metrics = httpx.get(f"{lasting.statistics}/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'haproxy_server_status{proxy="replicas",server="replica-1",state="UP"} 1' in metrics.text


def test_without_any_replica_the_answer_is_a_problem_document(tmp_path: Path) -> None:
    with running_balancer(tmp_path, replicas=1) as balancer:
        balancer.replicas[0].kill()
        wait_for(lambda: balancer.states()["replica-1"].startswith("DOWN"), "the balancer does not notice")
        answers = [httpx.get(balancer.url + SEARCH), *(httpx.post(balancer.url + SEARCH, content=BODY) for _ in "ab")]
    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(answer.content)["code"] == "no_replica"


def test_balancer_told_to_stop_answers_what_it_has(tmp_path: Path) -> None:
    with running_balancer(tmp_path, replicas=1) as balancer, ThreadPoolExecutor(1) as clients:
        request = clients.submit(httpx.post, balancer.url + SEARCH, headers={"X-Pause": "1.5"}, timeout=60)
        wait_for(lambda: busy(balancer) == 1, "the request does not arrive")
        balancer.soft_stop()
        assert request.result().status_code == 200
        assert balancer.process.wait(60) == 0


def busy(balancer: Balancer) -> int:
    """Return how many requests the replicas have."""
    return sum(int(row["scur"]) for row in balancer.rows())


def sent(balancer: Balancer) -> int:
    """Return how often a request was sent to a replica, each try counted."""
    return sum(int(row["stot"]) for row in balancer.rows())


def retried(balancer: Balancer) -> int:
    """Return how many answered requests were sent to a second replica, which the balancer's log marks with `/+n`."""
    served = [line for line in balancer.log.read_text().splitlines() if " 200 " in line]
    return sum(bool(re.search(r" \d+/\d+/\d+/\d+/\+\d+ ", line)) for line in served)
