"""How the API process serves the page's files, and what it says where they were not built."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from generate import openapi
from generate.files import stale
from image_similarity.api import docs_page, errors
from image_similarity.api import web_page as page

FRONTEND = Path(__file__).parents[2] / "frontend"
INDEX = "<!doctype html><title>The page</title>"
SCRIPT = "console.log('hello');" * 50


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    assets = tmp_path / "assets"
    assets.mkdir()
    (tmp_path / "index.html").write_text(INDEX)
    (tmp_path / ".vite").mkdir()
    (tmp_path / ".vite" / "manifest.json").write_text("{}")
    (assets / "index-abc.js").write_text(SCRIPT)
    (assets / "index-abc.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    return TestClient(app_with(tmp_path))


def app_with(folder: Path) -> FastAPI:
    app = FastAPI()
    errors.install(app)
    page.install(app, folder)
    return app


@pytest.mark.parametrize("path", page.PAGES)
def test_every_page_is_the_same_file_asked_for_each_time(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.text == INDEX
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"
    assert client.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert client.head(path).status_code == 200


def test_page_server_and_nginx_agree_on_the_addresses_of_sections() -> None:
    source = (FRONTEND / "src" / "paths.ts").read_text()
    listed = re.search(r"PATHS = \{(.*?)\}", source, re.DOTALL)
    assert listed is not None
    paths = re.findall(r'"(/[^"]*)"', listed[1])
    assert paths
    assert sorted(re.sub(r":(\w+)", r"{\1}", path) for path in paths) == sorted(page.PAGES)
    location = re.search(r"location ~ (\S+) \{\s+try_files /index.html", (FRONTEND / "nginx.conf").read_text())
    assert location is not None
    for path in paths:
        assert re.search(location[1], re.sub(r":\w+", "abc", path)), path
    alternatives = location[1].removeprefix("^/(").removesuffix(")?$").split("|")
    assert len(alternatives) == len(paths) - 1, "nginx names each section, and no more; the start page is the empty one"


def test_policy_lets_nothing_in_from_elsewhere(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_hashed_files_are_kept_for_ever_and_sent_compressed(client: TestClient) -> None:
    answer = client.get("/assets/index-abc.js", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.text == SCRIPT
    plain = client.get("/assets/index-abc.js", headers={"Accept-Encoding": "gzip;q=0, br"})
    assert "content-encoding" not in plain.headers
    assert plain.text == SCRIPT
    assert plain.headers["etag"] != answer.headers["etag"]


@pytest.mark.parametrize(
    "path", ["/assets/no-such.js", "/assets/..%2Findex.html", "/index.html", "/.vite/manifest.json", "/api/v1/nothing"]
)
def test_what_is_no_page_is_a_problem_and_never_the_page(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_mistyped_address_shows_a_page_of_its_own_and_is_still_missing(client: TestClient) -> None:
    answer = client.get("/nothere", headers=BROWSER | {"If-None-Match": client.get("/").headers["etag"]})
    assert (answer.status_code, answer.text) == (404, INDEX)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert client.head("/nothere", headers=BROWSER).status_code == 404


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/assets/no-such.js"])
def test_mistyped_address_of_api_or_file_is_a_problem_for_browsers_too(client: TestClient, path: str) -> None:
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_page_that_was_not_built_says_how(tmp_path: Path) -> None:
    answer = TestClient(app_with(tmp_path / "missing")).get("/")
    assert answer.status_code == 503
    assert "npm run build" in answer.text


def test_documentation_names_every_route_and_has_no_script() -> None:
    document = json.loads(openapi.files()[openapi.TARGET])
    document["info"]["title"] = "<script>alert(1)</script>"
    text = docs_page.render(document)
    assert "<script" not in text
    missing = [path for path in document["paths"] if f" {path}</code>" not in text]
    assert missing == []
    names = set(re.findall(r'href="#(\w+)"', text))
    assert names <= set(re.findall(r'id="(\w+)"', text)), "links lead somewhere"


def test_types_of_the_page_are_made_from_the_present_api() -> None:
    """Run scripts/generate.py where this fails, and look at what `npm run typecheck` says then."""
    assert stale(openapi.files(), openapi.there()) == []
