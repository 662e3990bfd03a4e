"""What follows from where the vectors are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from image_similarity.bootstrap.deployment import Deployment, StoreKind
from image_similarity.settings import Settings


def deployment(**fields: Any) -> Deployment:
    return Deployment.of(Settings(_env_file=None, data_dir=Path("/data"), storage_url="s3://bucket", **fields))  # type: ignore[call-arg]


def test_a_process_with_an_embedded_collection_is_alone() -> None:
    assert deployment() == Deployment(
        store=StoreKind.EMBEDDED,
        shared=False,
        folder=Path("/data/collections/image_features"),
        records_url=None,
        fetches_urls=True,
        may_stand_in=True,
        may_have_broker=False,
    )


@pytest.mark.parametrize("server", [{"qdrant_url": "http://qdrant:6333"}, {"qdrant_host": "qdrant"}])
def test_processes_share_a_collection_on_a_server(server: dict[str, str]) -> None:
    assert deployment(**server) == Deployment(
        store=StoreKind.SERVER,
        shared=True,
        folder=None,
        records_url="s3://bucket",
        fetches_urls=False,
        may_stand_in=False,
        may_have_broker=True,
    )


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("host", [None, "qdrant"])
def test_whoever_sets_it_decides_whether_urls_are_fetched(allowed: Literal[True, False], host: str | None) -> None:
    assert deployment(allow_url_fetch=allowed, qdrant_host=host).fetches_urls is allowed


def test_the_settings_may_forbid_a_stand_in() -> None:
    assert not deployment(model_fallback=False).may_stand_in
