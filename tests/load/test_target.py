from __future__ import annotations

import socket

import pytest

from load_test.target import find_target, loopback_addresses


@pytest.mark.parametrize(
    "url", ["http://192.0.2.7:8080", "http://[2001:db8::1]", "https://8.8.8.8/prefix", "http://0.0.0.0"]
)
def test_load_is_not_sent_to_another_machine_unless_that_is_asked_for(url: str) -> None:
    with pytest.raises(ValueError, match="--allow-remote"):
        loopback_addresses(url)
    assert loopback_addresses(url, allow_remote=True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost", "http://127.9.9.9", "http://[::1]:80"])
def test_load_may_be_sent_to_this_machine(url: str) -> None:
    assert loopback_addresses(url)


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://localhost", "http://", "http://me:secret@localhost", "http://localhost/?a=b"]
)
def test_what_is_no_url_of_a_server_is_refused_without_telling_secrets(url: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        loopback_addresses(url)
    assert "secret" not in str(caught.value)


def test_the_first_address_that_accepts_connections_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        target = find_target(f"http://localhost:{port}/behind/")
    assert (target.address, target.port, target.path, target.tls) == ("127.0.0.1", port, "/behind/api/v1", None)
    with pytest.raises(OSError, match="No server accepts connections"):
        find_target(f"http://localhost:{port}")
