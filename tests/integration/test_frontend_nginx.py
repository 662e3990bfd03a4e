"""The page's nginx in front of a real server: what it serves itself, and what it hands on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from image_similarity.api import web_page as page
from tests.support.paths import REPOSITORY
from tests.support.sample_images import encoded, photo
from tests.support.servers import PATIENCE, RunningServer, free_port, make_settings, running_server

TEMPLATE = REPOSITORY / "frontend" / "nginx.conf"
MAIN = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}
}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    settings = make_settings(tmp_path_factory.mktemp("data"), tiny_checkpoint, log_level="ERROR")
    with running_server(settings) as running:
        yield running


@pytest.fixture(scope="module")
def site(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if nginx is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    folder = tmp_path_factory.mktemp("nginx")
    html = folder / "html"
    (html / "assets").mkdir(parents=True)
    (html / "index.html").write_text("<title>The page</title>")
    (html / "assets" / "index-abc.js").write_text("1")
    port = free_port()
    text = TEMPLATE.read_text()
    replaced = {
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "/usr/share/nginx/html": str(html),
        "${API_UPSTREAM}": server.url,
    }
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    # Started by root it would become somebody who may not look into pytest's folders.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(user + MAIN.format(folder=folder, server=text))
    process = subprocess.Popen([nginx, "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    client.get("/")
                    break
                except httpx.TransportError:
                    assert process.poll() is None, (folder / "error.log").read_text()
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield client
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.mark.parametrize("path", page.PAGES)
def test_every_page_comes_with_the_headers_of_the_api_process(site: httpx.Client, path: str) -> None:
    answer = site.get(path)
    assert "The page" in answer.text
    assert answer.headers["cache-control"] == "no-cache"
    for name, value in page.HEADERS.items():
        if name != "Vary":
            assert answer.headers[name] == value


def test_hashed_files_are_kept_for_ever_and_mistakes_are_not_the_page(site: httpx.Client) -> None:
    script = site.get("/assets/index-abc.js")
    assert script.text == "1"
    assert "immutable" in script.headers["cache-control"]
    assert site.get("/assets/other.js").status_code == 404
    assert site.get("/metrics").status_code == 404


def test_api_is_reached_with_encoded_slashes_and_large_bodies(site: httpx.Client, server: RunningServer) -> None:
    image = encoded(photo(1400, 1000, seed=1), "PNG")
    assert len(image) > 2**20
    added = site.post("/api/v1/index", files={"image": ("x", image)}, data={"image_id": "a/file"})
    assert added.status_code == 200, added.text
    assert site.get("/api/v1/images/a%2Ffile").json()["image_id"] == "a/file"
    found = site.get("/api/v1/images/a%2Ffile/file")
    assert found.content == image
    # The answer's own policy, and not the page's on top of it.
    assert found.headers["content-security-policy"] == "default-src 'none'; sandbox"


def test_events_of_a_job_come_through(site: httpx.Client) -> None:
    files = [("image", (f"{number}.png", encoded(photo(64, 64, seed=number), "PNG"))) for number in range(3)]
    job = site.post("/api/v1/index/batch", files=files).json()["job_id"]
    with site.stream("GET", f"/api/v1/jobs/{job}/events") as events:
        assert any("event: finished" in line for line in events.iter_lines())


def test_template_names_only_what_the_image_fills_in() -> None:
    names = set(re.findall(r"\$\{(\w+)\}", TEMPLATE.read_text()))
    assert names == {"API_UPSTREAM"}
    assert "NGINX_ENVSUBST_FILTER=^API_UPSTREAM$" in (REPOSITORY / "frontend" / "Dockerfile").read_text()
