"""The library in a real browser: images are added, looked at, changed, deleted and brought back."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
from playwright.sync_api import Page, expect

from tests.support.servers import (
    API,
    RunningServer,
    make_settings,
    running_server,
)
from tests.web.actions import drop, pinch, swipe
from tests.web.conftest import drawing
from tests.web.locators import library


def expect_zoom(page: Page, scale: float, right: float = 0) -> None:
    """Wait until the viewer's picture is so many times as large, and so many pixels right of where it was."""
    page.wait_for_function(
        """([scale, right]) => {
            const picture = document.querySelector("[data-testid=zoomable] > div");
            const { a, e } = new DOMMatrix(getComputedStyle(picture).transform);
            return Math.abs(a - scale) < 0.05 && Math.abs(e - right) < 2;
        }""",
        arg=[scale, right],
    )


def test_deleted_image_comes_back_by_undo(server: RunningServer, page: Page) -> None:
    # The offer to undo ends after ten seconds, in which a busy machine may not do what comes between.
    page.add_init_script(
        """const later = window.setTimeout;
        window.setTimeout = (run, ms, ...rest) => later(run, ms === 10_000 ? 600_000 : ms, ...rest);"""
    )
    page.goto(f"{server.url}/library")
    expect(library(page)).to_have_count(12)
    page.get_by_role("link", name="drawing-06.png").click()
    page.get_by_role("button", name="Delete").click()
    # The viewer goes on to the next one, and stays there when the deletion is taken back.
    beside = page.get_by_role("dialog", name="drawing-05.png")
    expect(beside).to_be_visible()
    # A finger leafs as well, there and back.
    swipe(page, beside.get_by_role("img", name="drawing-05.png"), -150)
    expect(page.get_by_role("dialog", name="drawing-04.png")).to_be_visible()
    swipe(page, page.get_by_role("dialog").get_by_role("img", name="drawing-04.png"), 150)
    expect(beside).to_be_visible()
    expect(page.get_by_text("Deleted drawing-06.png")).to_be_visible()
    assert server.http.get("/images/drawing-06.png").status_code == 404
    page.get_by_text("Undo", exact=True).click()
    expect(page.get_by_text("Restored drawing-06.png")).to_be_visible()
    expect(beside).to_be_visible()
    # Two fingers enlarge the picture, and nothing around it; then one finger moves it and leafs no more.
    frame = beside.get_by_test_id("zoomable")
    pinch(page, frame, first=100, last=300)
    expect_zoom(page, 3)
    expect(frame).to_have_css("touch-action", "none")
    assert page.evaluate("visualViewport.scale") == 1
    swipe(page, frame, -150)
    expect_zoom(page, 3, right=-150)
    pinch(page, frame, first=300, last=90)
    expect_zoom(page, 1)
    expect(beside).to_be_visible()
    page.keyboard.press("Escape")
    expect(library(page)).to_have_count(12)
    assert server.http.get("/images/drawing-06.png").json()["metadata"] == {"colour": "red", "year": 2016}


def test_metadata_are_edited_and_only_the_change_is_sent(server: RunningServer, page: Page) -> None:
    page.goto(f"{server.url}/library?view=drawing-02.png")
    page.get_by_role("button", name="Edit").click()
    # Somebody else changes another field meanwhile; it stays.
    server.http.patch("/images/drawing-02.png", json={"metadata": {"owner": "Kim"}})
    page.get_by_label("Value of year").fill("1999")
    page.get_by_role("button", name="Remove colour").click()
    page.get_by_role("button", name="Add a field").click()
    page.get_by_label("Field", exact=True).last.fill("sizes")
    page.get_by_label("Value of sizes").fill('["small", 7]')
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Metadata saved")).to_be_visible()
    metadata = server.http.get("/images/drawing-02.png").json()["metadata"]
    assert metadata == {"year": 1999, "owner": "Kim", "sizes": ["small", 7]}


def test_upload_names_the_damaged_file_and_indexes_the_others(
    empty_server: RunningServer, page: Page, files: Path
) -> None:
    page.goto(f"{empty_server.url}/library")
    expect(page.get_by_text("No images yet")).to_be_visible()
    page.get_by_label("Images to add").set_input_files(sorted(files.iterdir()))
    expect(page.get_by_role("heading", name="Added 33 of 34 images")).to_be_visible()
    expect(page.get_by_test_id("upload-figures")).to_contain_text(re.compile(r"33 added · 1 failed .* images/s"))
    page.get_by_label("Show failed only").check()
    row = page.get_by_role("region", name="Files").get_by_role("listitem")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("holiday-17.png")
    expect(row).to_contain_text("cut short")
    expect(library(page)).to_have_count(33)
    assert empty_server.http.get("/stats").json()["collection"]["images"] == 33
    # The very same bytes would fail again: nothing offers to send them. The bar says what the heading says.
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    expect(page.get_by_role("progressbar", name="All files")).to_have_attribute("aria-valuenow", "100")
    page.set_viewport_size({"width": 360, "height": 800})
    reason = row.get_by_text("cut short")
    assert reason.evaluate("line => line.scrollHeight <= line.clientHeight + 1"), "on a phone the reason is whole"
    # It came in two batches and is one job, with a page of its own.
    page.get_by_role("banner").get_by_role("link", name="Status").click()
    page.get_by_role("link", name="34 images, complete, with failures · 1 failed").click()
    expect(page.get_by_role("heading", name="Import of 34 images")).to_be_visible()
    failure = page.get_by_role("region", name="What could not be added").get_by_role("listitem")
    expect(failure).to_contain_text(re.compile(r"holiday-17\.png.*cut short"))
    page.reload()
    expect(failure).to_have_count(1)


def test_files_that_the_server_refuses_leave_the_others_unharmed(tmp_path: Path, page: Page, files: Path) -> None:
    settings = make_settings(tmp_path / "data", "mini", log_level="ERROR", max_body_bytes=300_000)
    large = tmp_path / "large.bmp"
    large.write_bytes(bytes(400_000))
    with running_server(settings) as small:
        page.goto(f"{small.url}/library")
        page.get_by_label("Images to add").set_input_files([files / "holiday-01.png", large, files / "holiday-02.png"])
        expect(page.get_by_role("heading", name="Added 2 of 3 images")).to_be_visible()
        row = page.get_by_role("region", name="Files").get_by_role("listitem").filter(has_text="large.bmp")
        expect(row).to_contain_text("more than 300000 bytes")
        assert small.http.get("/stats").json()["collection"]["images"] == 2


def test_dropping_in_the_library_adds(empty_server: RunningServer, page: Page) -> None:
    page.goto(f"{empty_server.url}/library")
    drop(page, "new.png", drawing(77))
    expect(page.get_by_role("heading", name="Added 1 image")).to_be_visible()
    expect(library(page)).to_have_count(1)


def test_library_shows_a_large_collection_with_few_elements(server: RunningServer, page: Page) -> None:
    with httpx.Client(base_url=server.url + API, timeout=60) as client:
        data = drawing(1)
        many = [("image", (f"copy-{number:04}.png", data, "image/png")) for number in range(600)]
        job = client.post("/index/batch", files=many).json()["job_id"]
        while client.get(f"/jobs/{job}").json()["finished_at"] is None:
            time.sleep(0.2)
    page.goto(f"{server.url}/library")
    expect(page.get_by_text("612 images, newest first")).to_be_visible()
    library(page).first.focus()
    # To the end of the collection, however much of it was loaded.
    page.keyboard.press("End")
    expect(page.get_by_role("link", name="drawing-00.png")).to_be_focused()
    assert library(page).count() < 200
