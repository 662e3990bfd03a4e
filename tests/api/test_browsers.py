"""What a web page of somebody else may do to a server in whose network its reader's browser is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from image_similarity.api.auth import fingerprint
from image_similarity.api.browsers import AllowedHosts, allowed_hosts
from image_similarity.bootstrap.server import check_reach
from image_similarity.domain.errors import InvalidRequest
from tests.api.test_errors import check_problem
from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer, make_settings, running_server, wait_for

PHOTO = encoded(photo(), "JPEG")


@pytest.fixture(scope="module")
def closed_server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    settings = make_settings(
        tmp_path_factory.mktemp("closed"),
        tiny_checkpoint,
        log_level="ERROR",
        api_keys="schlüssel",
        cors_origins="https://page.example",
    )
    with running_server(settings) as running:
        yield running


def post(server: RunningServer, **headers: str) -> httpx.Response:
    return server.http.post("/index", files={"image": ("x", PHOTO)}, data={"image_id": "a"}, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "file://"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"},
    ],
)
def test_foreign_page_changes_nothing(server: RunningServer, headers: dict[str, str]) -> None:
    check_problem(post(server, **headers), 403, "origin_not_allowed", "CORS_ORIGINS")
    for method, path in (("DELETE", "/images/a"), ("POST", "/search"), ("PATCH", "/images/a"), ("POST", "/cache/warm")):
        assert server.http.request(method, path, headers=headers).status_code == 403
    assert server.http.get("/images").json()["images"] == []


def test_own_page_and_programs_pass(server: RunningServer) -> None:
    assert post(server).status_code == 200
    assert post(server, Origin=server.url).status_code == 200
    for site in ("same-origin", "none"):
        # A proxy may have changed the Host; the browser knows better.
        assert post(server, **{"Sec-Fetch-Site": site, "Origin": "https://images.example"}).status_code == 200
    behind_tls = {"Host": "localhost", "Origin": "https://localhost"}
    assert post(server, **behind_tls).status_code == 200


def test_allowed_page_passes(closed_server: RunningServer) -> None:
    page = {"Origin": "https://page.example", "Sec-Fetch-Site": "cross-site"}
    answer = closed_server.http.post("/search", headers=page)
    check_problem(answer, 401, "unauthorized")
    assert answer.headers["access-control-allow-origin"] == "https://page.example"
    assert closed_server.http.post("/search", headers={**page, "Origin": "https://x.example"}).status_code == 403


@pytest.mark.parametrize(
    "host", ["rebind.example", "rebind.example:8000", "127.0.0.1.evil.example", "192.0.2.1", "@localhost"]
)
def test_a_name_that_was_made_to_lead_here_opens_nothing(server: RunningServer, host: str) -> None:
    for path in ("/images", "/images/a/file", "/stats"):
        check_problem(server.http.get(path, headers={"Host": host}), 403, "host_not_allowed", "ALLOWED_HOSTS")
    assert httpx.get(f"{server.url}/", headers={"Host": host}).status_code == 403
    # Balancers and Prometheus call it what they like.
    assert server.http.get("/ready", headers={"Host": host}).status_code == 200
    assert httpx.get(f"{server.url}/metrics", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1:1", "[::1]:8000", "[::1]"])
def test_names_of_this_machine_are_known(server: RunningServer, host: str) -> None:
    assert server.http.get("/images", headers={"Host": host}).status_code == 200


def test_with_keys_any_name_will_do(closed_server: RunningServer) -> None:
    assert closed_server.http.get("/images", headers={"Host": "any.example"}).status_code == 401


def test_names_that_are_allowed_by_the_settings(tmp_path: Path) -> None:
    hosts = AllowedHosts(["images.example", "*.cluster.local", "[2001:db8::1]"])
    held = ["images.example:443", "a.b.cluster.local", "[2001:db8::1]:8000"]
    assert [hosts.hold(host) for host in held] == [True] * 3
    others = ["cluster.local", "evilcluster.local", "10.1.2.3", "", "images.example:x", "a@images.example", "[::1"]
    assert [hosts.hold(host) for host in others] == [False] * len(others)
    # What listens everywhere is asked by its address, which no name can be made to be.
    everywhere = allowed_hosts(make_settings(tmp_path, "mini", api_host="0.0.0.0", allow_anonymous=True))
    assert everywhere.hold("192.168.1.7:8000")
    assert not everywhere.hold("evil.example")
    assert allowed_hosts(make_settings(tmp_path, "mini", api_host="box.lan")).hold("box.lan:8000")


@pytest.mark.parametrize(("head", "status"), [("", 400), ("Host: localhost\r\nHost: evil.example\r\n", 400)])
def test_exactly_one_host_is_named(server: RunningServer, head: str, status: int) -> None:
    assert raw(server, f"GET /api/v1/ready HTTP/1.1\r\n{head}Connection: close\r\n\r\n") == status
    assert raw(server, "GET /api/v1/ready HTTP/1.0\r\n\r\n") == 200


def raw(server: RunningServer, request: str) -> int:
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout=60) as connection:
        connection.sendall(request.encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_host_is_in_no_redirect(closed_server: RunningServer) -> None:
    for path in ("/docs/", "/api/v1/images/"):
        answer = httpx.get(f"{closed_server.url}{path}", headers={"Host": "evil.example"})
        assert "evil.example" not in answer.headers.get("location", "")


def test_every_answer_is_kept_from_other_pages_and_from_guesses(server: RunningServer) -> None:
    assert post(server).status_code == 200
    for path in ("/api/v1/images", "/api/v1/images/a/thumbnail", "/api/v1/nothing", "/", "/openapi.json", "/metrics"):
        answer = httpx.get(f"{server.url}{path}")
        assert answer.headers["cross-origin-resource-policy"] == "same-origin", path
        assert answer.headers["x-content-type-options"] == "nosniff", path


def test_keys_of_any_letters_and_bearer_of_any_case(closed_server: RunningServer) -> None:
    def status(**headers: bytes) -> int:
        return closed_server.http.get(
            "/images", headers={name.replace("_", "-"): it for name, it in headers.items()}
        ).status_code

    utf8, latin = "schlüssel".encode(), "schlüssel".encode("latin-1")
    assert status(x_api_key=utf8) == status(x_api_key=latin) == 200
    assert status(authorization=b"Bearer " + utf8) == status(authorization=b"bearer  " + latin) == 200
    assert status(authorization=b"BEARER " + utf8) == 200
    assert status(authorization=b"Basic " + utf8) == status(authorization=utf8) == status(x_api_key=b"\xff") == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "box.lan"])
def test_a_server_for_the_network_wants_keys_or_allow_anonymous(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidRequest, match="ALLOW_ANONYMOUS=true"):
        check_reach(make_settings(tmp_path, "mini", api_host=host))
    check_reach(make_settings(tmp_path, "mini", api_host=host, allow_anonymous=True))
    check_reach(make_settings(tmp_path, "mini", api_host=host, api_keys="key"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_a_server_for_this_machine_needs_no_key(tmp_path: Path, host: str) -> None:
    check_reach(make_settings(tmp_path, "mini", api_host=host))


@pytest.fixture
def log() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as lines:
        yield lines


def test_log_names_client_and_key_and_believes_trusted_proxies_alone(
    tmp_path: Path, tiny_checkpoint: Path, log: list[dict[str, object]]
) -> None:
    def told(server: RunningServer, **headers: str) -> tuple[object, object]:
        log.clear()
        server.http.get("/stats", headers=headers)
        wait_for(lambda: any(line["event"] == "request" for line in log), "no line")
        line = next(line for line in log if line["event"] == "request")
        return line["client"], line["key"]

    forged = {"X-Forwarded-For": "198.51.100.1, 203.0.113.7"}
    settings = make_settings(tmp_path / "a", tiny_checkpoint, api_keys="first,second")
    with running_server(settings) as server:
        assert told(server) == ("127.0.0.1", None)
        assert told(server, **{"X-API-Key": "second"}) == ("127.0.0.1", fingerprint("second"))
        # The last address is what the trusted proxy saw; the one before it is what the client said.
        assert told(server, **forged) == ("203.0.113.7", None)
        # One address that fails makes nobody else wait, nor itself with a right key.
        for _ in range(6):
            assert server.http.get("/stats", headers={"X-API-Key": "wrong", **forged}).status_code == 401
        assert server.http.get("/stats", headers={"X-API-Key": "first", **forged}).status_code == 200
    settings = make_settings(tmp_path / "b", tiny_checkpoint, trusted_proxies="192.0.2.0/24")
    with running_server(settings) as server:
        assert told(server, **forged) == ("127.0.0.1", None)
