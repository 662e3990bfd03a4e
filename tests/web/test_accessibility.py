"""Every view of the page in both themes and widths: axe finds nothing, nothing sticks out, nothing moves."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.paths import REPOSITORY
from tests.support.servers import RunningServer
from tests.web.conftest import drawing
from tests.web.locators import results

AXE = REPOSITORY / "frontend" / "node_modules" / "axe-core" / "axe.min.js"


def test_nothing_moves_while_thumbnails_load(server: RunningServer, page: Page) -> None:
    page.add_init_script(
        """window.moved = 0;
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.moved += entry.value;
        }).observe({ type: "layout-shift", buffered: true });"""
    )
    page.goto(f"{server.url}/?like=drawing-04.png")
    expect(results(page)).to_have_count(11)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.moved") < 0.1


PAGES = {
    "start": "/",
    "results": "/?like=drawing-04.png",
    "filter": "/?like=drawing-04.png&where=" + json.dumps([{"field": "colour", "test": "any", "values": ["red"]}]),
    "words": "/?text=coast&mode=words",
    "marked": "/?like=drawing-04.png&like=drawing-03.png&weight=-0.5&more=drawing-07.png&less=drawing-02.png",
    "arranged": "/?like=drawing-04.png&group=colour&fold=1&variety=0.4",
    "viewer": "/?like=drawing-04.png&view=drawing-05.png",
    "library": "/library",
    "status": "/status",
    "no image": "/library?view=missing",
    "no query": "/?query=abc",
    "no page": "/mistyped",
}


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_sticks_out(
    server: RunningServer, context: BrowserContext, page: Page, scheme: str, width: int
) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: cd frontend && npm ci")
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 800})
    said = {"description": "A lighthouse above the sea, and a coast that goes on and on", "tags": ["coast", "storm"]}
    server.http.patch("/images/drawing-05.png", json={"metadata": said}).raise_for_status()
    server.index(drawing(7), image_id="copy-of-07.png", metadata='{"colour": "green"}')
    for name, path in PAGES.items():
        page.goto(server.url + path)
        expect(page.locator("#main")).not_to_be_empty()
        page.wait_for_timeout(700)
        page.evaluate(AXE.read_text())
        violations = page.evaluate("axe.run().then(({ violations }) => violations)")
        found = [(violation["id"], node["html"][:200]) for violation in violations for node in violation["nodes"]]
        assert found == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
