"""An image's description and tags: shown, edited, and a way to others that have them."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.support.servers import RunningServer, make_settings, running_server
from tests.web.conftest import drawing
from tests.web.locators import box, results

WORDS = {"description": "A lighthouse above the sea", "tags": ["coast", "stormy weather"]}


def test_tag_leads_to_the_images_that_have_it(server: RunningServer, page: Page) -> None:
    for image_id in ("drawing-02.png", "drawing-05.png"):
        server.http.patch(f"/images/{image_id}", json={"metadata": WORDS}).raise_for_status()
    page.goto(f"{server.url}/library?view=drawing-02.png")
    dialog = page.get_by_role("dialog", name="drawing-02.png")
    expect(dialog.get_by_text("A lighthouse above the sea")).to_be_visible()
    dialog.get_by_role("link", name="stormy weather").click()
    expect(page).to_have_url(re.compile(r"/\?text=stormy\+weather&mode=words$"))
    expect(dialog).not_to_be_visible()
    expect(box(page)).to_have_value("stormy weather")
    expect(results(page)).to_have_count(2)
    # What the image shows is said below each.
    expect(results(page).first).to_have_accessible_name(re.compile("A lighthouse above the sea$"))


def test_description_and_tags_are_edited(server: RunningServer, page: Page) -> None:
    server.http.patch("/images/drawing-02.png", json={"metadata": WORDS}).raise_for_status()
    page.goto(f"{server.url}/library?view=drawing-02.png")
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Tags, separated by commas")).to_have_value("coast, stormy weather")
    page.get_by_label("Description").fill("")
    page.get_by_label("Tags, separated by commas").fill("coast, night,, coast")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("list", name="Tags").get_by_role("link")).to_have_text(["coast", "night"])
    expect(page.get_by_text("A lighthouse")).to_have_count(0)
    metadata = server.http.get("/images/drawing-02.png").json()["metadata"]
    assert metadata == {"colour": "blue", "year": 2012, "tags": ["coast", "night"]}


def test_what_a_tagger_found_is_told_from_what_somebody_said(tmp_path: Path, page: Page) -> None:
    # Of drawings the classes are only guesses; here any of them will do.
    settings = make_settings(tmp_path, "mini", log_level="ERROR", tagger="imagenet", tagger_threshold=1e-6)
    with running_server(settings) as tagging:
        tagging.index(drawing(1), image_id="bare.png")
        tagging.index(drawing(2), image_id="said.png", metadata='{"tags": ["coast"]}')
        found = tagging.http.get("/images/bare.png").json()["tagging"]["confidence"]
        tags = page.get_by_role("list", name="Tags").get_by_role("link")

        page.goto(f"{tagging.url}/library?view=said.png")
        expect(tags).to_have_text(["coast"])
        expect(page.get_by_text("tags found by a model")).to_have_count(0)

        page.goto(f"{tagging.url}/library?view=bare.png")
        expect(tags).to_have_text([f"{tag}{round(share * 100)}%" for tag, share in found.items()])
        expect(page.get_by_text("tags found by a model")).to_be_visible()
        tags.first.click()
        expect(page).to_have_url(re.compile("mode=words$"))
        expect(page.get_by_role("link", name=re.compile(r"Rank \d bare\.png"))).to_be_visible()
