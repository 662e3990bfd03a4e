"""The page while parts of it, the server or its pictures are missing or late."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.support.servers import RunningServer, free_port, server_process
from tests.web.locators import library, results


def test_pages_open_after_the_server_has_gone(page: Page, tmp_path: Path) -> None:
    port = free_port()
    with server_process(port, {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": "mini"}, tmp_path / "log"):
        page.goto(f"http://127.0.0.1:{port}")
        # All parts come by themselves while the browser has nothing else to do.
        page.wait_for_function(
            """() => ["page-", "viewer-", "editor-", "key-dialog-"].every((part) =>
                performance.getEntriesByType("resource").some(({ name }) => name.includes(`/assets/${part}`)))"""
        )
    page.get_by_role("link", name="Library").click()
    expect(page.get_by_role("heading", name="Library", level=1)).to_be_visible()
    expect(page.get_by_role("banner")).to_be_visible()


def test_page_whose_file_is_gone_says_so_and_has_a_way_back(server: RunningServer, page: Page) -> None:
    gone = re.compile(r"/assets/page-[^/]*\.js")
    page.route(gone, lambda route: route.abort())
    page.goto(server.url)
    page.get_by_role("link", name="Library").click()
    # It has loaded itself anew once by then, which brings the files of a new version.
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server did not send it")
    expect(page.get_by_role("banner")).to_be_visible()
    page.get_by_role("banner").get_by_role("link", name="Search").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("looks like")
    page.get_by_role("link", name="Library").click()
    page.unroute(gone)
    alert.get_by_role("button", name="Reload the page").click()
    expect(library(page)).to_have_count(12)


def test_thumbnails_are_never_blurred(server: RunningServer, page: Page) -> None:
    """Blurring sixty images while one scrolls costs seconds where there is no GPU."""
    page.route("**/thumbnail*", lambda _: None)
    page.goto(f"{server.url}/library")
    waiting = library(page).first.locator("img")
    expect(waiting).to_have_css("opacity", "0")
    expect(waiting).to_have_css("filter", "none")
    expect(waiting).to_have_css("transition-property", "opacity")


def test_old_results_are_shown_as_old_while_others_are_on_their_way(server: RunningServer, page: Page) -> None:
    page.goto(f"{server.url}/?like=drawing-04.png")
    expect(results(page)).to_have_count(11)
    held: list[Route] = []
    page.route("**/api/v1/search", lambda route: held.append(route))
    page.get_by_label("Add a condition").select_option("colour")
    page.get_by_label("red").check()
    shown = page.get_by_test_id("shown")
    expect(page.get_by_role("heading", name="Updating…")).to_be_visible()
    expect(shown).to_have_css("opacity", "0.5")
    busy = {"type": "about:blank", "title": "Busy", "status": 503, "code": "overloaded", "detail": "Busy."}
    held[0].fulfill(status=503, headers={"Retry-After": "1"}, json=busy)
    expect(page.get_by_text("The server is busy. Trying again in 1 s.")).to_be_visible()
    # It does try again, and what comes then is no longer marked as old.
    while len(held) < 2:
        page.wait_for_timeout(50)
    held[1].continue_()
    expect(page.get_by_role("heading", name="4 results")).to_be_visible()
    expect(shown).to_have_css("opacity", "1")
    expect(page.get_by_text("The server is busy")).not_to_be_visible()


def test_what_was_typed_is_not_thrown_away_unasked(server: RunningServer, page: Page) -> None:
    page.goto(f"{server.url}/library")
    page.get_by_role("link", name="drawing-02.png").click()
    viewer = page.get_by_role("dialog")
    # Nothing was typed: nothing is asked.
    viewer.get_by_role("button", name="Edit").click()
    page.keyboard.press("Escape")
    expect(viewer).not_to_be_visible()
    page.get_by_role("link", name="drawing-02.png").click()
    viewer.get_by_role("button", name="Edit").click()
    viewer.get_by_label("Description").fill("a red boat")
    page.keyboard.press("Escape")
    question = viewer.get_by_role("alertdialog", name="Unsaved changes")
    question.get_by_role("button", name="Keep editing").click()
    expect(viewer.get_by_label("Description")).to_have_value("a red boat")
    viewer.get_by_role("button", name="Next image").click()
    question.get_by_role("button", name="Save").click()
    expect(viewer.get_by_role("heading", name="drawing-01.png")).to_be_visible()
    assert server.http.get("/images/drawing-02.png").json()["metadata"]["description"] == "a red boat"
    viewer.get_by_role("button", name="Edit").click()
    viewer.get_by_label("Description").fill("a mistake")
    viewer.get_by_role("button", name="Close").click()
    question.get_by_role("button", name="Discard").click()
    expect(viewer).not_to_be_visible()
    assert "description" not in server.http.get("/images/drawing-01.png").json()["metadata"]
    # "Back" asks nothing. What was typed is there when the image is opened again.
    page.get_by_role("link", name="drawing-05.png").click()
    viewer.get_by_role("button", name="Edit").click()
    viewer.get_by_label("Description").fill("a blue boat")
    page.go_back()
    expect(viewer).not_to_be_visible()
    expect(page.get_by_text("Kept your changes to drawing-05.png")).to_be_visible()
    page.get_by_role("link", name="drawing-05.png").click()
    expect(viewer.get_by_label("Description")).to_have_value("a blue boat")
