"""The command line's search by words: on a folder, on a Qdrant server, and through a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import qdrant_edge as edge

from image_similarity.vectors.keywords import KEYWORDS
from image_similarity.vectors.qdrant_edge.folder import load
from tests.support.commands import Cli
from tests.support.qdrant_process import QdrantProcess
from tests.support.sample_images import encoded, photo
from tests.support.servers import make_settings, running_server

Env = dict[str, str]

WORDS = {
    "bus.png": {"tags": ["red", "double-decker bus"]},
    "car.png": {"description": "A red car at a bus stop, far away"},
    "dogs.png": {"description": "Two dogs in the sun"},
    "flower.png": {"description": "A sunflower"},
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(WORDS):
        (folder / name).write_bytes(encoded(photo(96, 72, seed=seed), "PNG"))
    (tmp_path / "metadata.json").write_text(json.dumps(WORDS))
    return folder


@pytest.fixture(params=["embedded", "qdrant"])
def env(request: pytest.FixtureRequest, tmp_path: Path, tiny_checkpoint: Path) -> Iterator[Env]:
    settings = {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": str(tiny_checkpoint), "DEVICE": "cpu"}
    if request.param == "embedded":
        yield settings
        return
    qdrant = QdrantProcess(tmp_path)
    qdrant.start()
    yield {**settings, "QDRANT_URL": qdrant.url, "QDRANT_GRPC_PORT": str(qdrant.grpc_port)}
    qdrant.stop()


def found(cli: Cli, *arguments: str | Path, **env: str) -> list[str]:
    result = cli("search", *arguments, "--json", **env)
    assert result.status == 0, result.stderr
    return [hit["image_id"] for hit in json.loads(result.stdout)]


def test_images_are_found_by_words_alone_and_beside_an_image(cli: Cli, env: Env, photos: Path, tmp_path: Path) -> None:
    assert cli("index", photos, "--metadata-json", tmp_path / "metadata.json", **env).status == 0

    assert found(cli, "--keywords", "red bus", **env) == ["bus.png", "car.png"]
    assert found(cli, "--keywords", "sun", "--top-k", "1", **env) == ["dogs.png"]
    assert found(cli, "--text", "sunflowers", "--mode", "keywords", **env) == ["flower.png"]
    assert found(cli, "--keywords", "red bus", "--threshold", "100", **env) == []
    both = found(cli, photos / "car.png", "--keywords", "dog", "--top-k", "2", **env)
    assert set(both) == {"car.png", "dogs.png"}
    assert len(found(cli, photos / "car.png", "--top-k", "4", **env)) == 4

    table = cli("search", "--keywords", "red bus", **env)
    assert table.stdout.index("bus.png") < table.stdout.index("car.png")
    nothing = cli("search", "--keywords", "zebra", **env).stdout
    assert nothing.startswith('Nothing found: no image has a word of "zebra" in its description or tags')


def test_a_search_that_makes_no_sense_says_why(cli: Cli, tmp_path: Path, tiny_checkpoint: Path, photos: Path) -> None:
    env = {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": str(tiny_checkpoint), "DEVICE": "cpu"}
    for arguments, said in (
        ((photos / "car.png", "--mode", "keywords", "--keywords", "red"), "words alone"),
        ((photos / "car.png", "--mode", "hybrid"), "needs words"),
        ((), "--keywords"),
        ((photos / "car.png", "--keywords", "red", "--threshold", "1.5"), "from -1 to 1"),
    ):
        result = cli("search", *arguments, **env)
        assert result.status == 1
        assert said in result.stderr


def test_a_running_server_is_asked_the_same(cli: Cli, photos: Path, tmp_path: Path, tiny_checkpoint: Path) -> None:
    settings = make_settings(tmp_path / "served", tiny_checkpoint, log_level="ERROR")
    with running_server(settings) as server:
        where = ("--url", server.url)
        assert cli("index", photos, "--metadata-json", tmp_path / "metadata.json", *where).status == 0
        assert found(cli, "--keywords", "red bus", *where) == ["bus.png", "car.png"]
        assert set(found(cli, photos / "car.png", "--keywords", "dog", "--top-k", "2", *where)) == {
            "car.png",
            "dogs.png",
        }
        typo = cli("search", photos / "car.png", "--filter", '{"tag": "red"}', *where).stdout
        assert 'No image has the field "tag". Did you mean "tags"?' in typo


@pytest.mark.parametrize("command", ["init-db", "search"])
def test_a_folder_of_an_earlier_version_is_searched_too(
    cli: Cli, photos: Path, tmp_path: Path, tiny_checkpoint: Path, command: str
) -> None:
    env = {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": str(tiny_checkpoint), "DEVICE": "cpu"}
    assert cli("index", photos, "--metadata-json", tmp_path / "metadata.json", **env).status == 0
    folder = tmp_path / "data" / "collections" / "image_features"
    shard = load(folder)
    shard.update(edge.UpdateOperation.delete_payload_by_filter(edge.Filter(), [KEYWORDS]))
    shard.close()

    if command == "init-db":
        assert "4 images" in cli("init-db", **env).stdout
        shard = load(folder)
        old = edge.CountRequest(exact=True, filter=edge.Filter(must=[edge.IsEmptyCondition(f"{KEYWORDS}.words")]))
        assert shard.count(old) == 0
        shard.close()
    assert found(cli, "--keywords", "red bus", **env) == ["bus.png", "car.png"]
