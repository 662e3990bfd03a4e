"""Finding checkpoints on a hub that is played by a local server, or that cannot be reached."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.fake_hub import NAME, serve

LIMIT_SECONDS = 6.0
CHECKPOINT = {
    "config.json": b'{"model_type": "clip"}',
    "preprocessor_config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights" * 10_000,
}
OTHER_FORMATS = {"pytorch_model.bin": b"pickle", "tf_model.h5": b"tensorflow", "README.md": b"# Some CLIP"}

# The client reads its environment once, when it is imported: hence another process.
PROGRAM = """
import sys, time
from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders import hub
started = time.monotonic()
try:
    answer = "found", str(hub.locate(sys.argv[1]))
except ModelUnavailable as error:
    answer = "unavailable", str(error)
print(*answer, time.monotonic() - started, sep="\\n")
"""


class Outcome(NamedTuple):
    kind: str
    text: str
    seconds: float
    noise: str


@pytest.fixture
def locate(tmp_path: Path) -> Callable[..., Outcome]:
    """Run `hub.locate` in a process of its own, with an empty cache and the given environment."""

    def run(endpoint: str, name: str = NAME, **environment: str) -> Outcome:
        kept = {key: value for key, value in os.environ.items() if not key.upper().startswith(("HF_", "HTTP", "ALL_"))}
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, name],
            env={
                **kept,
                "HF_HOME": str(tmp_path / "hf"),
                "HF_ENDPOINT": endpoint,
                "NO_PROXY": "127.0.0.1",
                **environment,
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        kind, text, seconds = result.stdout.splitlines()
        return Outcome(kind, text, float(seconds), result.stderr)

    return run


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def assert_says_what_to_do(outcome: Outcome, name: str = NAME) -> None:
    assert outcome.kind == "unavailable"
    assert outcome.seconds < LIMIT_SECONDS
    assert f'"{name}"' in outcome.text
    assert "MODEL_NAME" in outcome.text
    assert "image-similarity download-model" in outcome.text
    assert "MODEL_NAME=mini" in outcome.text
    assert outcome.noise == ""


def test_a_refused_connection_is_told_at_once(locate: Callable[..., Outcome]) -> None:
    outcome = locate(f"http://127.0.0.1:{closed_port()}")

    assert_says_what_to_do(outcome)
    assert "127.0.0.1 cannot be reached" in outcome.text


def test_a_host_without_address_is_told_soon(locate: Callable[..., Outcome]) -> None:
    outcome = locate("https://no-such-hub.invalid")

    assert_says_what_to_do(outcome)
    assert "no-such-hub.invalid cannot be reached" in outcome.text


def test_a_host_that_accepts_and_never_answers_is_given_up(locate: Callable[..., Outcome]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        outcome = locate(f"http://127.0.0.1:{black_hole.getsockname()[1]}")

    assert_says_what_to_do(outcome)
    assert "cannot be reached" in outcome.text


def test_a_proxy_that_refuses_is_told_without_its_password(locate: Callable[..., Outcome]) -> None:
    proxy = f"http://me:hush-hush@127.0.0.1:{closed_port()}"

    outcome = locate("https://huggingface.co", HTTPS_PROXY=proxy, HF_TOKEN="hf_hush-hush")

    assert_says_what_to_do(outcome)
    assert "hush-hush" not in outcome.text + outcome.noise


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "does not exist"),
        (401, "HTTP 401"),
        (403, "HTTP 403"),
        (429, "HTTP 429"),
        (500, "HTTP 500"),
        (503, "HTTP 503"),
    ],
)
def test_a_refusing_hub_is_quoted(locate: Callable[..., Outcome], status: int, reason: str) -> None:
    with serve({}, status=status) as (endpoint, _):
        outcome = locate(endpoint)

    assert_says_what_to_do(outcome)
    assert reason in outcome.text


def test_offline_mode_asks_nobody(locate: Callable[..., Outcome]) -> None:
    with serve(CHECKPOINT) as (endpoint, asked):
        outcome = locate(endpoint, HF_HUB_OFFLINE="1")

    assert_says_what_to_do(outcome)
    assert outcome.seconds < 1
    assert asked == []


def test_only_the_needed_files_are_downloaded(locate: Callable[..., Outcome]) -> None:
    with serve(CHECKPOINT | OTHER_FORMATS) as (endpoint, _):
        outcome = locate(endpoint)

    assert outcome.kind == "found", outcome
    assert outcome.noise == ""
    folder = Path(outcome.text)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CHECKPOINT


def test_a_pickle_is_taken_where_there_are_no_safetensors(locate: Callable[..., Outcome]) -> None:
    files = {name: body for name, body in (CHECKPOINT | OTHER_FORMATS).items() if name != "model.safetensors"}
    with serve(files) as (endpoint, _):
        outcome = locate(endpoint)

    assert outcome.kind == "found", outcome
    assert "pytorch_model.bin" in {path.name for path in Path(outcome.text).iterdir()}


def test_a_repository_without_weights_is_refused(locate: Callable[..., Outcome]) -> None:
    with serve({"config.json": b"{}", "tf_model.h5": b"tensorflow"}) as (endpoint, _):
        assert_says_what_to_do(locate(endpoint))


def test_what_was_downloaded_is_used_without_a_network(locate: Callable[..., Outcome]) -> None:
    with serve(CHECKPOINT) as (endpoint, asked):
        first = locate(endpoint)
        asked.clear()
        second = locate(endpoint)
        assert asked == []
    assert first.kind == second.kind == "found"

    assert locate(endpoint).text == first.text
    assert locate(endpoint, HF_HUB_OFFLINE="1").text == first.text


def test_an_incomplete_download_is_completed(locate: Callable[..., Outcome]) -> None:
    with serve(CHECKPOINT) as (endpoint, _):
        folder = Path(locate(endpoint).text)
        for name in ("model.safetensors", "preprocessor_config.json"):
            (folder / name).unlink()
            (folder / name).resolve().unlink(missing_ok=True)

            outcome = locate(endpoint)

            assert outcome.kind == "found", outcome
            assert (folder / name).read_bytes() == CHECKPOINT[name]


MULTILINGUAL = {
    "config.json": b'{"model_type": "distilbert"}',
    "model.safetensors": b"weights" * 10_000,
    "modules.json": json.dumps(
        [
            {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
        ]
    ).encode(),
    "sentence_bert_config.json": b"{}",
    "tokenizer.json": b"{}",
    "1_Pooling/config.json": b"{}",
    "2_Dense/config.json": b"{}",
    "2_Dense/model.safetensors": b"dense",
}
M_CLIP = {"config.json": b'{"model_type": "M-CLIP"}', "tokenizer.json": b"{}", "model.safetensors": b"weights"}
LEFT_OUT = {
    **OTHER_FORMATS,
    "2_Dense/pytorch_model.bin": b"pickle",
    "onnx/model.onnx": b"onnx",
    "coreml/model.safetensors": b"core",
}


@pytest.mark.parametrize("files", [MULTILINGUAL, M_CLIP], ids=["sentence-transformers", "m-clip"])
def test_a_text_tower_is_downloaded_with_its_modules_and_then_found(
    locate: Callable[..., Outcome], files: dict[str, bytes]
) -> None:
    with serve(files | (LEFT_OUT if "modules.json" in files else OTHER_FORMATS)) as (endpoint, asked):
        outcome = locate(endpoint)
        asked.clear()
        again = locate(endpoint)
        assert asked == []

    assert outcome.kind == again.kind == "found", outcome
    folder = Path(outcome.text)
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == files


def test_a_text_tower_without_its_dense_layer_is_completed(locate: Callable[..., Outcome]) -> None:
    with serve(MULTILINGUAL) as (endpoint, _):
        folder = Path(locate(endpoint).text)
        lost = folder / "2_Dense" / "model.safetensors"
        lost.resolve().unlink()
        lost.unlink()

        assert locate(endpoint).kind == "found"
        assert lost.read_bytes() == b"dense"
