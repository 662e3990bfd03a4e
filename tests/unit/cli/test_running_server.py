"""Addresses of servers as people write them."""

from __future__ import annotations

import pytest

from image_similarity.cli.running_server import server_at
from image_similarity.domain.errors import InvalidRequest


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("localhost:8301", "http://localhost:8301"),
        ("photos.internal", "http://photos.internal"),
        ("127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("https://photos.example.com/", "https://photos.example.com"),
        ("http://localhost:8000/api/v1", "http://localhost:8000"),
        ("http://localhost:8000/api/v1/", "http://localhost:8000"),
        ("https://example.com/photos/api/v1", "https://example.com/photos"),
    ],
)
def test_what_people_leave_out_or_write_too_much_of_is_no_mistake(written: str, url: str) -> None:
    server = server_at(written, "key")

    assert (server.url, server.api_key) == (url, "key")


@pytest.mark.parametrize("written", ["", "ftp://photos", "http://", "http://[::1", "localhost:many", "localhost:99999"])
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(InvalidRequest, match="write it as http://localhost:8000"):
        server_at(written, None)
