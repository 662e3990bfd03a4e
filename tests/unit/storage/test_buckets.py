"""Buckets that lead nowhere are told in one sentence when a process starts, and plain http needs no permission."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.storage import buckets
from image_similarity.storage.buckets import check_bucket
from image_similarity.storage.images import ImageStorage
from tests.support.commands import Cli


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


async def refusal(url: str) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        await check_bucket(url)
    told = str(caught.value)
    assert told.startswith(f"The bucket {url} (STORAGE_URL) cannot be used: ")
    assert "\n" not in told
    return told


async def test_an_endpoint_that_says_http_needs_no_permission(bucket: str) -> None:
    with capture_logs() as logs:
        await check_bucket(f"{bucket}/plain")
    assert logs == []
    storage = ImageStorage.open(f"{bucket}/plain", default=Path("unused"), store_originals=True)
    digest = sha256(b"original").hexdigest()
    await storage.save(digest, b"original", b"thumbnail")
    assert await storage.original(digest) == b"original"


async def test_plain_http_to_a_public_address_is_warned_of_once(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 0, 0, "", ("93.184.215.14", 0))])
    with capture_logs() as logs:
        await check_bucket(bucket)
    assert [(line["event"], line["log_level"]) for line in logs] == [("storage_unencrypted", "warning")]


async def test_folders_are_left_alone(tmp_path: Path) -> None:
    await check_bucket(None)
    await check_bucket((tmp_path / "nowhere").as_uri())
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "endpoint", ["minio:9000", "ftp://minio", "http://", "http://a b", "http://[::1", "http://a:x"]
)
async def test_an_endpoint_that_is_no_address_is_told(
    bucket: str, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", endpoint)
    assert f'AWS_ENDPOINT is "{endpoint}", but must be an address like' in await refusal(bucket)


async def test_a_bucket_that_is_not_there_is_told(bucket: str) -> None:
    told = await refusal(bucket.replace("photos", "nowhere"))
    assert "answered 404 NoSuchBucket; make the bucket, or correct STORAGE_URL." in told


async def test_keys_that_are_not_accepted_are_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto import settings

    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0.0)
    told = await refusal(bucket)
    assert "answered 403 InvalidAccessKeyId; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in told


async def test_a_server_that_is_not_there_is_told(
    bucket: str, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    told = await refusal(bucket)
    assert f"check that an S3 server listens at http://127.0.0.1:{closed_port}, or correct AWS_ENDPOINT." in told


async def test_a_server_that_does_not_answer_is_given_up(
    bucket: str, monkeypatch: pytest.MonkeyPatch, silent_port: int
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{silent_port}")
    monkeypatch.setattr(buckets, "START_SECONDS", 0.3)
    assert "no answer within 0.3 s; check that an S3 server listens" in await refusal(bucket)


@pytest.mark.parametrize(
    "command",
    [
        ["serve", "--port", "0"],
        ["worker"],
        ["init-db"],
        ["index", "image.png"],
        ["stats"],
        ["feedback", "export"],
        ["feedback", "clear", "--yes"],
    ],
    ids=" ".join,
)
def test_every_command_says_it_in_one_sentence(
    bucket: str, cli: Cli, monkeypatch: pytest.MonkeyPatch, closed_port: int, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "image.png").write_bytes(b"not looked at")
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    server = {"QDRANT_URL": f"http://127.0.0.1:{closed_port}", "BROKER_URL": "amqp://localhost"}

    result = cli(*command, MODEL_NAME="mini", STORAGE_URL=f"{bucket}/p", DATA_DIR=str(tmp_path / "data"), **server)

    assert result.status == 1
    [*before, told] = result.stderr.splitlines()
    assert before in ([], ["Loading the model …"])
    assert told.startswith(f"Error: The bucket {bucket}/p (STORAGE_URL) cannot be used: ")
    assert told.endswith("or correct AWS_ENDPOINT. [store_unavailable]")
