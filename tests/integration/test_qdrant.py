"""The service and the command line on a Qdrant server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from image_similarity.bootstrap import models
from image_similarity.bootstrap.engine import build_engine
from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders.base import ImageEncoder
from image_similarity.engine.collection import trash
from image_similarity.settings import Settings
from tests.support.commands import Cli
from tests.support.qdrant_process import QdrantProcess
from tests.support.sample_images import encoded, photo
from tests.support.servers import make_settings, running_server, wait_for

Env = dict[str, str]


@pytest.fixture
def own_qdrant(tmp_path: Path) -> Iterator[QdrantProcess]:
    """A server of its own: the collection has its usual name, and a test may take it away."""
    process = QdrantProcess(tmp_path)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def env(tmp_path: Path, tiny_checkpoint: Path) -> Env:
    return {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": str(tiny_checkpoint), "DEVICE": "cpu"}


@pytest.fixture
def scaled(env: Env, own_qdrant: QdrantProcess) -> Env:
    return {**env, "QDRANT_URL": own_qdrant.url, "QDRANT_GRPC_PORT": str(own_qdrant.grpc_port)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(6):
        (folder / f"{seed}.png").write_bytes(encoded(photo(96, 72, seed=seed), "PNG"))
    return folder


def settings_for(qdrant: QdrantProcess, data_dir: Path, model: Path, **overrides: Any) -> Settings:
    where = {"qdrant_host": "127.0.0.1", "qdrant_port": qdrant.port, "qdrant_grpc_port": qdrant.grpc_port}
    return make_settings(data_dir, model, **{**where, "qdrant_timeout": 2, **overrides})


def status_of(http: httpx.Client) -> str:
    return str(http.get("/health").json()["status"])


@pytest.mark.parametrize("prefer_grpc", [True, False], ids=["grpc", "rest"])
def test_replicas_share_a_collection_and_survive_its_server(
    own_qdrant: QdrantProcess, tmp_path: Path, tiny_checkpoint: Path, prefer_grpc: bool
) -> None:
    settings = settings_for(own_qdrant, tmp_path / "data", tiny_checkpoint, qdrant_prefer_grpc=prefer_grpc)
    images = [encoded(photo(96, 72, seed=seed), "PNG") for seed in range(5)]
    with ExitStack() as replicas:
        one, other = (replicas.enter_context(running_server(settings)) for _ in range(2))
        assert not (tmp_path / "data" / "collections").exists()
        for number, image in enumerate(images):
            one.index(image, image_id=f"{number}", metadata=json.dumps({"number": number}))
            assert other.search(image)["results"][0]["image_id"] == f"{number}"
        found = other.search(images[2], filter=json.dumps({"number": {"gte": 3}}))
        assert {hit["image_id"] for hit in found["results"]} == {"3", "4"}
        assert one.http.get("/ready").status_code == 200

        own_qdrant.kill()
        for replica in (one, other):
            wait_for(lambda http=replica.http: status_of(http) == "degraded", "nobody notices")
            assert replica.http.get("/health").json()["services"]["vector_store"]["status"] == "unavailable"
            assert replica.http.get("/ready").status_code == 200
        new = encoded(photo(96, 72, seed=9), "PNG")
        started = monotonic()
        for path in ("/search", "/index"):
            answer = one.http.post(path, files={"image": ("x", new)})
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert monotonic() - started < 6 * settings.qdrant_timeout

        own_qdrant.start()
        wait_for(lambda: status_of(one.http) == "healthy", "the replica does not see its server again")
        for number, image in enumerate(images):
            assert one.search(image)["results"][0]["image_id"] == f"{number}"
        one.index(new, image_id="new")
        assert one.http.get("/stats").json()["collection"]["images"] == 6


@pytest.mark.parametrize("prefer_grpc", [True, False], ids=["grpc", "rest"])
def test_what_one_replica_deletes_another_restores_or_drops(
    own_qdrant: QdrantProcess, tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, prefer_grpc: bool
) -> None:
    monkeypatch.setattr(trash, "SETTLE_SECONDS", 0.5)
    monkeypatch.setattr(trash, "SWEEP_SECONDS", 0.1)
    settings = settings_for(own_qdrant, tmp_path / "data", tiny_checkpoint, qdrant_prefer_grpc=prefer_grpc)
    image = encoded(photo(96, 72), "PNG")

    digest = hashlib.sha256(image).hexdigest()
    stored = tmp_path / "data" / "images" / "originals" / digest[:2] / digest
    with ExitStack() as replicas:
        one, other = (replicas.enter_context(running_server(settings)) for _ in range(2))
        one.index(image, image_id="a", metadata='{"n": 18446744073709551615, "tame": true}')
        before = other.http.get("/images/a").json()
        one.http.delete("/images/a")
        assert other.search(image)["results"] == []
        assert other.http.post("/images/a/restore").json() == before
        assert one.http.get("/images/a").json() == before
        assert one.search(image)["results"][0]["score"] == pytest.approx(1, abs=1e-3)

        other.http.delete("/images/a", params={"undo_seconds": 0.2})
        assert stored.exists()
        wait_for(lambda: not stored.exists(), "what cannot be undone is kept")
        assert one.http.post("/images/a/restore").status_code == 404


async def test_there_is_no_stand_in_for_the_model_of_a_shared_collection(
    qdrant: QdrantProcess, tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str, settings: Settings) -> ImageEncoder:
        raise ModelUnavailable(f"There are no weights of {name}.")

    monkeypatch.setattr(models, "load_encoder", nothing)
    settings = make_settings(tmp_path, "someone/some-model", qdrant_url=qdrant.url, qdrant_prefer_grpc=False)
    with pytest.raises(ModelUnavailable, match="someone/some-model"):
        await build_engine(settings)


def test_init_db_makes_the_collection_on_the_server(cli: Cli, scaled: Env) -> None:
    for _ in range(2):
        result = cli("init-db", **scaled)
        assert "Collection image_features is ready: 0 images, 64 dimensions" in result.stdout, result.stderr


def test_a_server_that_is_away_is_named(cli: Cli, env: Env) -> None:
    result = cli("init-db", **env, QDRANT_URL="http://127.0.0.1:9", QDRANT_TIMEOUT="1", QDRANT_PREFER_GRPC="false")
    assert result.status == 1
    assert "http://127.0.0.1:9" in result.stderr
    assert "store_unavailable" in result.stderr
    assert "Traceback" not in result.stderr


def test_optimize_is_for_the_embedded_store(cli: Cli, scaled: Env) -> None:
    result = cli("optimize", **scaled)
    assert result.status == 1
    assert "embedded collections only" in result.stderr


def test_a_collection_moves_to_the_server_and_back(cli: Cli, env: Env, scaled: Env, photos: Path) -> None:
    assert cli("index", photos, **env).status == 0
    there = cli("migrate", "--from", "embedded", "--to", "server", **scaled)
    assert there.status == 0, there.stderr
    assert "6 images are in the server collection image_features: 6 copied, 0 were there." in there.stdout
    assert "6 vectors compared, lowest cosine 1.0" in there.stdout
    assert "Image bytes were not moved" in there.stdout
    assert "6/6" in there.stderr
    again = cli("migrate", "--from", "embedded", "--to", "server", **scaled)
    assert "0 copied, 6 were there" in again.stdout

    # On the server now: the same images are found, with their bytes, and may change.
    found = json.loads(cli("search", photos / "3.png", "--json", **scaled).stdout)
    assert found[0]["image_id"] == "3.png"
    assert found[0]["score"] == pytest.approx(1, abs=1e-3)
    assert "0 indexed, 0 replaced, 6 unchanged" in cli("index", photos, **scaled).stdout
    assert cli("delete", "3.png", **scaled).status == 0

    elsewhere = {**scaled, "DATA_DIR": str(photos.parent / "elsewhere")}
    back = cli("migrate", "--from", "server", "--to", "embedded", **elsewhere)
    assert "5 images are in the embedded collection image_features: 5 copied" in back.stdout, back.stderr
    surplus = cli("migrate", "--from", "server", "--to", "embedded", **scaled)
    assert "holds 1 images that the server one does not" in surplus.stdout


def test_a_migration_says_what_is_missing(cli: Cli, env: Env, scaled: Env) -> None:
    for arguments, variables, words in (
        (("--from", "embedded", "--to", "server"), scaled, "There is no embedded collection"),
        (("--from", "server", "--to", "embedded"), env, "set QDRANT_URL or QDRANT_HOST"),
        (("--from", "server", "--to", "server"), scaled, "nothing to do"),
    ):
        result = cli("migrate", *arguments, **variables)
        assert result.status == 1
        assert words in result.stderr
        assert "Traceback" not in result.stderr
