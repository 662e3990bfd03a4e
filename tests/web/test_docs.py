"""What a browser shows of the API's documentation, and what a page of another origin can do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.servers import RunningServer
from tests.web.conftest import drawing


@pytest.fixture
def foreign() -> Iterator[str]:
    """Return the address of an empty page of another origin, on a port of its own."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>Elsewhere</title>")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_documentation_is_whole_and_comes_from_this_server_alone(empty_server: RunningServer, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    answer = page.goto(f"{empty_server.url}/docs")
    assert answer is not None
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    search = page.locator("details", has_text="POST /api/v1/search").first
    search.locator("summary").click()
    expect(search.get_by_text("top_k", exact=True).first).to_be_visible()
    colours = page.evaluate("getComputedStyle(document.querySelector('details')).borderTopStyle")
    assert colours == "solid", "the style is let in"
    assert {url for url in asked if not url.startswith(empty_server.url)} == set()


def test_page_of_another_origin_neither_writes_nor_reads_nor_embeds(
    empty_server: RunningServer, context: BrowserContext, foreign: str
) -> None:
    empty_server.index(drawing(1), image_id="a")
    elsewhere = context.new_page()
    elsewhere.goto(foreign)
    tried = elsewhere.evaluate(
        """async (api) => {
          const form = new FormData();
          form.append("image_url", "http://localhost/x.png");
          const outcome = (sent) => sent.then((answer) => answer.type, () => "failed");
          const image = new Image();
          const embedded = new Promise((done) => {
            image.onload = () => done("loaded");
            image.onerror = () => done("failed");
          });
          image.src = `${api}/images/a/thumbnail`;
          return {
            form: await outcome(fetch(`${api}/cache/warm`, { method: "POST", mode: "no-cors", body: form })),
            json: await outcome(
              fetch(`${api}/feedback`, { method: "POST", mode: "no-cors", body: new Blob(["{}"]) })),
            read: await outcome(fetch(`${api}/images`)),
            remove: await outcome(fetch(`${api}/images/a`, { method: "DELETE" })),
            embedded: await embedded,
          };
        }""",
        f"{empty_server.url}/api/v1",
    )
    # Simple requests are sent, but the server refuses them, and CORP keeps even the refusal from the page.
    assert set(tried.values()) == {"failed"}, tried
    assert [image["image_id"] for image in empty_server.http.get("/images").json()["images"]] == ["a"]
    # The server's own page sees it.
    elsewhere.goto(empty_server.url)
    own = """(source) => new Promise((done) => {
      const image = new Image();
      image.onload = () => done(image.naturalWidth);
      image.src = source;
    })"""
    assert elsewhere.evaluate(own, "/api/v1/images/a/thumbnail") > 0
