"""Searching with words, through a real server and every layer below it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from image_similarity.domain.errors import ModelMismatch, ModelUnavailable
from image_similarity.encoders.clip import text as clip_text
from random_checkpoint import build_checkpoint
from tests.support.commands import make_cli
from tests.support.multilingual import Layout, build_multilingual
from tests.support.qdrant_process import QdrantProcess
from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer, make_settings, refusal, running_server

PHOTOS = 12


def index_photos(server: RunningServer) -> None:
    for seed in range(PHOTOS):
        server.index(encoded(photo(64, 48, seed=seed), "PNG"), image_id=f"photo-{seed}")


def found(server: RunningServer, text: str) -> list[tuple[str, float]]:
    answer = server.http.post("/search/text", json={"text": text, "top_k": PHOTOS})
    assert answer.status_code == 200, answer.text
    return [(hit["image_id"], hit["score"]) for hit in answer.json()["results"]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    with running_server(make_settings(tmp_path_factory.mktemp("clip"), tiny_checkpoint)) as server:
        index_photos(server)
        yield server


@pytest.fixture(params=["sentence-transformers", "m-clip"])
def multilingual(request: pytest.FixtureRequest, tmp_path: Path, tiny_checkpoint: Path) -> Path:
    layout: Layout = request.param
    return build_multilingual(
        tmp_path / "multilingual", clip_text.load(str(tiny_checkpoint), device="cpu"), layout=layout
    )


def test_a_text_ranks_images_by_its_embedding(server: RunningServer, tiny_checkpoint: Path) -> None:
    [text] = clip_text.load(str(tiny_checkpoint), device="cpu").encode_texts(["a cat"])
    hits = found(server, "a cat")

    assert len(hits) == PHOTOS
    assert [score for _, score in hits] == sorted((score for _, score in hits), reverse=True)
    for image_id, score in hits[:3]:
        seed = int(image_id.removeprefix("photo-"))
        pair = {"query": [{"text": "a cat"}], "top_k": PHOTOS}
        answer = server.http.post("/search", json=pair).json()["results"]
        assert {hit["image_id"]: hit["score"] for hit in answer}[f"photo-{seed}"] == pytest.approx(score, abs=1e-5)
    assert text.embedding.shape == (64,)


def test_what_was_cut_off_is_said_and_does_not_count(server: RunningServer) -> None:
    read = "dog " * 14
    whole = server.http.post("/search/text", json={"text": read}).json()
    cut = server.http.post("/search/text", json={"text": read + "cat cat"}).json()

    assert (whole["truncated"], cut["truncated"]) == (False, True)
    assert [hit["image_id"] for hit in cut["results"]] == [hit["image_id"] for hit in whole["results"]]


def test_the_server_says_that_it_understands_text_and_what_with(server: RunningServer) -> None:
    found(server, "a cat")
    stats = server.http.get("/stats").json()
    assert stats["model"]["towers"] == ["image", "text"]
    assert stats["text_model"] == {"name": stats["model"]["name"], "loaded": True, "max_tokens": 16}


def test_without_a_tokenizer_images_are_searched_and_texts_explained(tmp_path: Path) -> None:
    checkpoint = build_checkpoint(tmp_path / "clip", size="tiny")
    (checkpoint / "vocab.json").unlink()
    (checkpoint / "tokenizer_config.json").unlink()
    with running_server(make_settings(tmp_path / "data", checkpoint)) as server:
        index_photos(server)
        stats = server.http.get("/stats").json()
        assert (stats["model"]["towers"], stats["text_model"]) == (["image"], None)
        assert server.search(encoded(photo(64, 48, seed=3), "PNG"))["results"][0]["image_id"] == "photo-3"

        answer = server.http.post("/search/text", json={"text": "a cat"})
        assert (answer.status_code, answer.json()["code"]) == (422, "text_search_unavailable")
        assert "lacks its tokenizer" in answer.json()["detail"]


def test_spielende_hunde_finds_what_playing_dogs_finds(
    tmp_path: Path, tiny_checkpoint: Path, multilingual: Path, server: RunningServer
) -> None:
    english = found(server, "playing dogs")
    settings = make_settings(tmp_path / "data", tiny_checkpoint, text_model_name=str(multilingual))
    with running_server(settings) as foreign:
        index_photos(foreign)
        for text in ("spielende Hunde", "playing dogs"):
            hits = found(foreign, text)
            assert [image_id for image_id, _ in hits] == [image_id for image_id, _ in english]
            assert [score for _, score in hits] == pytest.approx([score for _, score in english], abs=2e-3)
        assert found(foreign, "ein rotes Auto") != hits


def test_languages_meet_on_a_qdrant_server_too(
    tmp_path: Path, tiny_checkpoint: Path, multilingual: Path, qdrant: QdrantProcess
) -> None:
    settings = make_settings(
        tmp_path / "data",
        tiny_checkpoint,
        text_model_name=str(multilingual),
        qdrant_url=qdrant.url,
        qdrant_prefer_grpc=False,
        qdrant_collection_name=f"languages-{tmp_path.name}"[:64],
    )
    with running_server(settings) as server:
        index_photos(server)
        english = found(server, "playing dogs")
        german = found(server, "spielende Hunde")
    assert len(german) == PHOTOS
    assert [image_id for image_id, _ in german] == [image_id for image_id, _ in english]


def test_a_text_model_that_is_not_there_is_named_with_its_setting(tmp_path: Path, tiny_checkpoint: Path) -> None:
    settings = make_settings(tmp_path / "data", tiny_checkpoint, text_model_name=str(tmp_path / "nowhere"))
    with pytest.raises(ModelUnavailable, match="TEXT_MODEL_NAME: There is no folder"), running_server(settings):
        raise AssertionError("it started")


def test_a_text_model_of_another_space_is_refused_at_the_start(tmp_path: Path, tiny_checkpoint: Path) -> None:
    stranger = build_multilingual(tmp_path / "stranger", None)
    settings = {"MODEL_NAME": str(tiny_checkpoint), "TEXT_MODEL_NAME": str(stranger), "DEVICE": "cpu"}

    said = refusal({**settings, "DATA_DIR": str(tmp_path / "data")}, tmp_path / "log")

    assert "was not aligned to" in said
    assert "TEXT_MODEL_TRUSTED=true" in said
    assert not (tmp_path / "data" / "collections" / "image_features").exists()


def test_a_text_model_of_another_dimension_is_refused_even_when_trusted(tmp_path: Path, tiny_checkpoint: Path) -> None:
    longer = build_multilingual(tmp_path / "longer", None, dimension=96)
    settings = make_settings(tmp_path / "data", tiny_checkpoint, text_model_name=str(longer), text_model_trusted=True)
    with pytest.raises(ModelMismatch, match=r"embeddings of 96 numbers.*of 64"), running_server(settings):
        raise AssertionError("it started")


def test_a_missing_text_tower_stops_a_server_that_loads_it_at_the_start(tmp_path: Path) -> None:
    checkpoint = build_checkpoint(tmp_path / "clip", size="tiny")
    with running_server(make_settings(tmp_path / "whole", checkpoint, text_preload=True)) as server:
        assert httpx.post(f"{server.url}/api/v1/search/text", json={"text": "cat"}).status_code == 200
    (checkpoint / "merges.txt").unlink()

    settings = {"MODEL_NAME": str(checkpoint), "TEXT_PRELOAD": "true", "DEVICE": "cpu"}
    said = refusal({**settings, "DATA_DIR": str(tmp_path / "data")}, tmp_path / "log")
    assert "lacks its tokenizer" in said


def test_a_prompt_template_surrounds_the_text(server: RunningServer, tmp_path: Path, tiny_checkpoint: Path) -> None:
    wanted = found(server, "a cat by the sea")
    body = {"text": "cat", "top_k": PHOTOS, "prompt_template": "a {} by the sea"}
    for path, named in {"/search/text": body, "/search": body}.items():
        answer = server.http.post(path, json=named).json()["results"]
        assert [(hit["image_id"], hit["score"]) for hit in answer] == wanted
    assert found(server, "cat") != wanted

    with running_server(make_settings(tmp_path, tiny_checkpoint, prompt_template="a {} by the sea")) as templated:
        index_photos(templated)
        assert found(templated, "cat") == wanted
        alone = {"text": "a cat by the sea", "top_k": PHOTOS, "prompt_template": "{}"}
        answer = templated.http.post("/search/text", json=alone).json()["results"]
        assert [(hit["image_id"], hit["score"]) for hit in answer] == wanted


def test_a_prompt_template_without_a_place_for_the_text_is_refused(server: RunningServer, tmp_path: Path) -> None:
    answer = server.http.post("/search/text", json={"text": "cat", "prompt_template": "a photo"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "no prompt template" in answer.json()["detail"]

    with pytest.raises(ValueError, match="no prompt template"):
        make_settings(tmp_path, "mini", prompt_template="a photo")
    with pytest.raises(ValueError, match="no prompt template"):
        make_settings(tmp_path, "mini", prompt_template="{} and {}")


def test_the_command_takes_a_prompt_template(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = make_cli(monkeypatch, capsys, tmp_path)
    words = ("--text", "cat", "--top-k", "3", "--json", "--url", server.url)

    done = cli("search", *words, "--prompt-template", "a {} by the sea")

    assert done.status == 0, done.stderr
    assert [hit["image_id"] for hit in json.loads(done.stdout)] == [
        image_id for image_id, _ in found(server, "a cat by the sea")[:3]
    ]
