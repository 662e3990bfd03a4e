from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from image_similarity.storage.objects import Objects


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of a bucket of an S3 server in this process, with the environment that leads there."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        host, port = server.get_host_and_port()
        for name, value in {
            "ENDPOINT": f"http://{host}:{port}",
            "ENDPOINT_URL": f"http://{host}:{port}",
            "ACCESS_KEY_ID": "test",
            "SECRET_ACCESS_KEY": "test",
            "REGION": "us-east-1",
        }.items():
            patch.setenv(f"AWS_{name}", value)
        import boto3

        boto3.client("s3").create_bucket(Bucket="photos")
        yield "s3://photos"
    server.stop()


@pytest.fixture
def prefix(bucket: str) -> str:
    """The URL of a prefix in the bucket that no other test has."""
    return f"{bucket}/{uuid4()}"


@pytest.fixture(params=["folder", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """Small objects in a folder, and in a bucket."""
    url = request.getfixturevalue("prefix") if request.param == "bucket" else None
    return Objects.open(url, default=tmp_path)
