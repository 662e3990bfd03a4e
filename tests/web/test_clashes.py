"""Files whose name another image has: nothing is replaced unasked."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.servers import RunningServer
from tests.web.conftest import drawing
from tests.web.locators import library


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Return another picture under the name of an indexed one."""
    path = tmp_path / "drawing-02.png"
    path.write_bytes(drawing(60))
    return path


def add(server: RunningServer, page: Page, *paths: Path) -> str:
    """Upload the files in the library; return the sha256 that drawing-02.png had before."""
    page.goto(f"{server.url}/library")
    expect(library(page)).to_have_count(12)
    before: str = server.http.get("/images/drawing-02.png").json()["sha256"]
    page.get_by_label("Images to add").set_input_files(paths)
    return before


def test_both_are_kept_and_the_others_do_not_wait(
    server: RunningServer, page: Page, other: Path, tmp_path: Path
) -> None:
    fresh, same = tmp_path / "fresh.png", tmp_path / "drawing-03.png"
    fresh.write_bytes(drawing(61))
    same.write_bytes(drawing(3))
    before = add(server, page, other, fresh, same)
    question = page.get_by_role("group", name="1 file has the name of another image.")
    expect(question).to_be_visible()
    expect(page.get_by_role("heading", name="Added 2 of 3 images")).to_be_visible()
    assert server.http.get("/images/drawing-02.png").json()["sha256"] == before
    question.get_by_role("button", name="Keep both").click()
    expect(page.get_by_role("heading", name="Added 3 images")).to_be_visible()
    expect(question).not_to_be_visible()
    assert server.http.get("/images/drawing-02.png").json()["sha256"] == before
    # drawing-00 to -11, fresh.png, and the other picture beside drawing-02.png.
    expect(library(page)).to_have_count(14)


def test_image_is_replaced_when_that_is_chosen(server: RunningServer, page: Page, other: Path) -> None:
    before = add(server, page, other)
    row = page.get_by_role("region", name="Files").get_by_role("group", name="drawing-02.png")
    row.get_by_role("button", name="Replace").click()
    expect(page.get_by_role("heading", name="Added 1 image")).to_be_visible()
    expect(page.get_by_test_id("upload-figures")).to_contain_text("1 replaced an existing image")
    assert server.http.get("/images/drawing-02.png").json()["sha256"] != before


def test_skipped_file_leaves_no_trace(server: RunningServer, page: Page, other: Path) -> None:
    before = add(server, page, other)
    page.get_by_role("group", name="1 file has").get_by_role("button", name="Skip").click()
    expect(page.get_by_role("region", name="Files")).not_to_be_visible()
    assert server.http.get("/images/drawing-02.png").json()["sha256"] == before
