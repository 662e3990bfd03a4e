from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from image_similarity.api import web_page as served
from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer, make_settings, running_server

CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 120_000
COLOURS = ("red", "green", "blue")


# Not for the session: Playwright has an event loop running, beside which no asynchronous test could have its own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if not (served.FOLDER / "index.html").is_file():
        pytest.skip("the web page is not built: cd frontend && npm ci && npm run build")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium), nor named by CHROMIUM")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGS)
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Return one server with the offline model for all tests here; use `server`, which has twelve drawings."""
    with running_server(make_settings(tmp_path_factory.mktemp("web"), "mini", log_level="ERROR")) as running:
        yield running


@pytest.fixture
def empty_server(shared_server: RunningServer) -> RunningServer:
    from tests.api.conftest import quoted

    while images := shared_server.http.get("/images", params={"limit": 500}).json()["images"]:
        for image in images:
            shared_server.http.delete(f"/images/{quoted(image['image_id'])}")
    return shared_server


@pytest.fixture
def server(empty_server: RunningServer) -> RunningServer:
    """Return a server that has `drawing-00.png` to `drawing-11.png`, of three colours and different years."""
    for number in range(12):
        metadata = f'{{"colour": "{COLOURS[number % 3]}", "year": {2010 + number}}}'
        empty_server.index(drawing(number), image_id=f"drawing-{number:02}.png", metadata=metadata)
    return empty_server


def drawing(number: int) -> bytes:
    return encoded(photo(240 + 20 * (number % 4), 240, seed=number), "PNG")


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    made.set_default_timeout(PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Return a page whose every error and every breach of its content policy fails the test."""
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on(
        "console",
        lambda message: (
            # Chromium logs each answer that is an error by itself; those are the tests' own doing.
            errors.append(message.text)
            if message.type == "error" and not message.text.startswith("Failed to load resource")
            else None
        ),
    )
    yield opened
    assert errors == []


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder of 34 images, more than one batch, and one of them damaged: `holiday-17.png` ends too soon."""
    for number in range(34):
        data = drawing(100 + number)
        (tmp_path / f"holiday-{number:02}.png").write_bytes(data[: len(data) // 2] if number == 17 else data)
    return tmp_path
