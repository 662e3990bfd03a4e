"""The command line, as a person sees it: output and exit status."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from image_similarity import __version__
from image_similarity.bootstrap import models
from image_similarity.bootstrap import server as api_server
from image_similarity.cli import index_remote as remote_bulk
from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders.base import ImageEncoder
from image_similarity.encoders.mini.image import MINI
from image_similarity.settings import Settings
from tests.support.commands import Cli
from tests.support.encoders import ColourEncoder
from tests.support.sample_images import encoded, photo
from tests.support.servers import command, environment, free_port, make_settings, running_server, server_process

Env = dict[str, str]


@pytest.fixture
def env(tmp_path: Path, tiny_checkpoint: Path) -> Env:
    return {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": str(tiny_checkpoint), "DEVICE": "cpu"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of four photos, one of them in a folder within, and a text file beside them."""
    folder = tmp_path / "photos"
    (folder / "cats").mkdir(parents=True)
    for name, seed in (("a.jpg", 0), ("b.jpg", 1), ("c.png", 2), ("cats/tom.jpg", 3)):
        suffix = "PNG" if name.endswith("png") else "JPEG"
        (folder / name).write_bytes(encoded(photo(seed=seed), suffix))
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_folder_is_indexed_searched_and_indexed_again_for_free(
    cli: Cli, env: Env, photos: Path, tmp_path: Path
) -> None:
    metadata = tmp_path / "metadata.json"
    metadata.write_text('{"cats/tom.jpg": {"species": "cat"}, "a.jpg": {"species": "dog"}}')
    first = cli("index", photos, "--metadata-json", metadata, **env)
    assert first.status == 0, first.stderr
    assert "4 indexed, 0 replaced, 0 unchanged, 0 failed." in first.stdout
    assert "4/4" in first.stderr
    assert re.search(r"\d+\.\d images/s", first.stderr)

    again = cli("index", photos, "--metadata-json", metadata, **env)
    assert "0 indexed, 0 replaced, 4 unchanged, 0 failed." in again.stdout

    found = cli("search", photos / "cats" / "tom.jpg", "--top-k", "2", "--json", **env)
    hits = json.loads(found.stdout)
    assert hits[0]["image_id"] == "cats/tom.jpg"
    assert hits[0]["score"] == pytest.approx(1, abs=1e-3)
    assert hits[0]["metadata"] == {"species": "cat"}
    assert len(hits) == 2

    table = cli("search", photos / "a.jpg", "--filter", '{"species": "dog"}', **env)
    assert "a.jpg" in table.stdout
    assert "tom.jpg" not in table.stdout

    figures = json.loads(cli("stats", "--json", **env).stdout)
    assert figures["collection"]["images"] == 4

    assert "Deleted a.jpg" in cli("delete", "a.jpg", **env).stdout
    assert json.loads(cli("stats", "--json", **env).stdout)["collection"]["images"] == 3
    gone = cli("delete", "a.jpg", **env)
    assert gone.status == 1
    assert 'No image with the id "a.jpg"' in gone.stderr


def test_a_corrupt_file_is_named_and_the_others_are_indexed(cli: Cli, env: Env, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes((photos / "a.jpg").read_bytes()[:500])
    (photos / "fake.png").write_text("text")
    result = cli("index", photos, **env)
    assert result.status == 1
    assert "4 indexed, 0 replaced, 0 unchanged, 2 failed." in result.stdout
    assert f"{photos / 'broken.jpg'}: " in result.stderr
    assert f"{photos / 'fake.png'}: " in result.stderr
    assert "Traceback" not in result.stderr


def test_metadata_of_no_image_is_told_of_and_refused_if_none_is_of_any(
    cli: Cli, env: Env, photos: Path, tmp_path: Path
) -> None:
    table = tmp_path / "meta.json"
    table.write_text('{"a.jpgg": {"species": "cat"}, "dogs/tom.jpg": {"species": "dog"}}')
    refused = cli("index", photos, "--metadata-json", table, **env)
    assert refused.status == 1
    assert "2 of 2 entries" in refused.stderr
    assert "name no image: a.jpgg, dogs/tom.jpg." in refused.stderr
    assert not Path(env["DATA_DIR"]).exists()

    table.write_text('{"a.jpgg": {"species": "cat"}, "tom.jpg": {"species": "dog"}}')
    told = cli("index", photos, "--metadata-json", table, **env)
    assert told.status == 0
    assert "Warning: 1 of 2 entries" in told.stderr


def test_names_that_are_nearly_settings_are_told_of(cli: Cli, env: Env) -> None:
    told = cli("index", "/no/such/folder", **env, API_PROT="8001")
    assert "Warning: API_PROT is no setting. Did you mean API_PORT?" in told.stderr
    assert "Warning" not in cli("index", "/no/such/folder", **env).stderr


def test_a_model_that_cannot_be_had_is_told_of_in_words(cli: Cli, env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_mini(name: str, _: Settings) -> ImageEncoder:
        if name != "mini":
            raise ModelUnavailable(f'The model "{name}" is not on this machine.')
        encoder = ColourEncoder("mini")
        encoder.spec = replace(MINI, towers=frozenset({"image"}), dimension=encoder.spec.dimension)
        return encoder

    monkeypatch.setattr(models, "load_encoder", only_mini)
    told = cli("stats", "--json", **{**env, "MODEL_NAME": "minni"})
    assert "mini replaces minni" in told.stderr
    assert 'The model "minni" is not on this machine.' in told.stderr
    assert '{"' not in told.stderr


def test_serve_says_who_has_its_port_before_anything_is_loaded(cli: Cli, env: Env) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        refused = cli("serve", "--port", str(port), **env)
    assert refused.status == 1
    assert f"Port {port} is taken, by" in refused.stderr
    assert not Path(env["DATA_DIR"]).exists()


@pytest.mark.parametrize(("log_format", "lines"), [("console", 1), ("json", 0)])
def test_a_person_is_told_where_the_server_is_once_it_answers(
    cli: Cli, env: Env, monkeypatch: pytest.MonkeyPatch, log_format: str, lines: int
) -> None:
    monkeypatch.setattr(api_server, "serve", lambda _, on_ready: on_ready("http://127.0.0.1:8001"))
    told = cli("serve", **env, LOG_FORMAT=log_format)
    assert told.status == 0
    assert told.stderr.count("Ready: open http://localhost:8001 in a browser. Ctrl-C stops the server.") == lines


def test_ids_come_from_path_name_or_hash(cli: Cli, env: Env, photos: Path) -> None:
    def indexed(*options: str) -> set[str]:
        assert cli("index", photos, *options, **env).status == 0
        hits = cli("search", photos / "a.jpg", "--json", **env)
        return {hit["image_id"] for hit in json.loads(hits.stdout)}

    assert indexed("--no-recursive") == {"a.jpg", "b.jpg", "c.png"}
    assert "tom.jpg" in indexed("--id-from", "name")
    assert sum(len(image_id) == 64 for image_id in indexed("--id-from", "hash")) == 4


def test_two_files_of_one_id_are_refused_before_anything_is_written(cli: Cli, env: Env, photos: Path) -> None:
    (photos / "cats" / "a.jpg").write_bytes((photos / "b.jpg").read_bytes())
    result = cli("index", photos, "--id-from", "name", **env)
    assert result.status == 1
    assert "--id-from hash" in result.stderr
    assert not (Path(env["DATA_DIR"])).exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["index", "/no/such/folder"], "no file or folder"),
        (["search", "/no/such/file"], "cannot be read"),
        (["search", __file__, "--filter", "{"], "not JSON"),
        (["search", "--text", "a dog", "--filter", ""], "not JSON"),
        (["search", "--text", "a dog", "--filter", "null"], "JSON object"),
        (["optimize"], "no collection"),
        (["index", "/no/such/*.jpg"], "leave out the quotes"),
        (["search", str(Path(__file__).parent)], f"image-similarity index {Path(__file__).parent}"),
        (["stats", "--url", "ftp://photos"], "no address of a server"),
    ],
)
def test_mistakes_get_one_line_and_no_traceback(cli: Cli, env: Env, arguments: list[str], words: str) -> None:
    result = cli(*arguments, **env)
    assert result.status == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_the_installed_command_starts() -> None:
    result = subprocess.run(command("--version"), env=environment({}), capture_output=True, text=True, check=True)
    assert result.stdout == f"image-similarity {__version__}\n"


def test_two_programs_that_compute_do_not_hinder_each_other(env: Env, photos: Path) -> None:
    """Where the library of torch's threads has been loaded, it says how often they try before they let others."""
    of_its_own = environment({**env, "OMP_DISPLAY_ENV": "verbose"})
    del of_its_own["GOMP_SPINCOUNT"]
    arguments = command("index", photos)
    result = subprocess.run(arguments, env=of_its_own, capture_output=True, text=True, check=True)
    if "GOMP_" not in result.stderr:
        pytest.skip("torch's threads are not those of GNU OpenMP here")
    assert "GOMP_SPINCOUNT = '1000'" in result.stderr


def test_a_wrong_setting_is_named(cli: Cli, env: Env) -> None:
    result = cli("stats", **env, BATCH_SIZE="many")
    assert result.status == 1
    assert "BATCH_SIZE" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_worker_wants_a_broker_and_a_store_that_can_be_shared(cli: Cli, env: Env) -> None:
    alone = cli("worker", **env)
    assert alone.status == 1
    assert "BROKER_URL" in alone.stderr
    for command_name in ("worker", "serve"):
        embedded = cli(command_name, **env, BROKER_URL="amqp://localhost/")
        assert embedded.status == 1
        assert "QDRANT_HOST" in embedded.stderr
        assert "Traceback" not in embedded.stderr


def test_a_folder_goes_up_in_several_jobs_and_refused_files_are_named(
    cli: Cli, env: Env, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_bulk, "UPLOAD_FILES", 3)
    (photos / "copy.jpg").write_bytes((photos / "a.jpg").read_bytes())
    (photos / "bro\nken.jpg").write_bytes((photos / "a.jpg").read_bytes())
    with running_server(make_settings(tmp_path / "served", env["MODEL_NAME"], log_level="ERROR")) as server:
        url = server.url
        result = cli("index", photos, "--url", url, **env)
        assert "5 indexed, 0 replaced, 0 unchanged, 1 failed." in result.stdout, result.stderr
        assert "image_id must be" in result.stderr
        again = cli("index", photos, "--id-from", "hash", "--url", url, **env)
        assert "4 indexed, 0 replaced, 2 unchanged, 0 failed." in again.stdout, again.stderr


def test_every_command_has_help_with_an_example(cli: Cli) -> None:
    commands = ["serve", "worker", "index", "search", "delete", "stats", "warm"]
    commands += ["download-model", "init-db", "optimize", "migrate"]
    overview = cli("--help")
    for name in commands:
        assert name in overview.stdout
        assert "Example" in cli(name, "--help").stdout


def test_init_db_and_optimize_say_what_they_did(cli: Cli, env: Env, photos: Path) -> None:
    for _ in range(2):
        result = cli("init-db", **env)
        assert "Collection image_features is ready: 0 images, 64 dimensions" in result.stdout, result.stderr
    cli("index", photos, **env)
    assert re.search(r"\d+ of 4 images are in the graph", cli("optimize", **env).stdout)
    assert len(json.loads(cli("search", photos / "a.jpg", "--json", **env).stdout)) == 4


def test_commands_work_through_the_server_that_holds_the_data_folder(
    cli: Cli, env: Env, photos: Path, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with server_process(port, {**env, "API_KEYS": "k1"}, tmp_path / "log"):
        keyless = cli("index", photos, "--url", url, **env)
        assert keyless.status == 1
        assert "unauthorized" in keyless.stderr

        with_key = {**env, "IMAGE_SIMILARITY_API_KEY": "k1"}
        (photos / "broken.jpg").write_bytes((photos / "a.jpg").read_bytes()[:500])
        sent = cli("index", photos, "--url", url, **with_key)
        assert "4 indexed, 0 replaced, 0 unchanged, 1 failed." in sent.stdout, sent.stderr
        assert "image_undecodable" in sent.stderr
        refused = cli("search", "--id", "nobody", "--url", url, **with_key)
        assert refused.stderr.rstrip().endswith('"nobody" is indexed. [image_not_found]')
        hits = json.loads(cli("search", photos / "cats" / "tom.jpg", "--json", "--url", url, **with_key).stdout)
        assert hits[0]["image_id"] == "cats/tom.jpg"
        assert "Deleted cats/tom.jpg" in cli("delete", "cats/tom.jpg", "--url", url, **with_key).stdout
        assert json.loads(cli("stats", "--json", "--url", url, **with_key).stdout)["collection"]["images"] == 3
    log = (tmp_path / "log").read_text().splitlines()
    lines = [json.loads(line) for line in log]
    indexed = [line for line in lines if line.get("path") == "/api/v1/index/batch"]
    assert {"event", "level", "timestamp", "request_id", "method", "status", "ms"} <= set(indexed[0])
    assert "k1" not in "\n".join(log)
    absent = cli("stats", "--url", url, **env)
    assert absent.status == 1
    assert "image-similarity serve" in absent.stderr
