"""What images are ranked by: how they look, the words of their descriptions and tags, or both."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.servers import RunningServer
from tests.web.sights import box, first_result, names, results

DESCRIPTIONS = {
    "drawing-03.png": {"description": "A lighthouse above the sea", "tags": ["coast", "storm"]},
    "drawing-07.png": {"description": "Two dogs on the coast, and a third dog"},
    "drawing-09.png": {"tags": ["coast road"]},
}


@pytest.fixture
def described(server: RunningServer) -> RunningServer:
    for image_id, metadata in DESCRIPTIONS.items():
        server.http.patch(f"/images/{image_id}", json={"metadata": metadata}).raise_for_status()
    return server


def mode(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name="What the words are looked for in").get_by_label(name)


def test_words_find_descriptions_and_tags(described: RunningServer, page: Page) -> None:
    page.goto(f"{described.url}/?text=dog&mode=words")
    expect(results(page)).to_have_count(1)
    answer = described.http.post("/search/keywords", json={"text": "dog"}).json()["results"]
    expect(first_result(page)).to_have_accessible_name(
        re.compile(rf"Rank 1 drawing-07\.png , BM25 {answer[0]['score']:.2f} Two dogs on the coast")
    )
    expect(page.get_by_test_id("timing")).to_contain_text("BM25")
    # Such scores have no bound, so there is nothing to slide.
    expect(page.get_by_role("slider", name="Least score")).to_have_count(0)
    box(page).fill("coast")
    box(page).press("Enter")
    expect(results(page)).to_have_count(3)
    expect(page).to_have_url(re.compile(r"\?text=coast&mode=words$"))


def test_words_beside_a_picture_are_looked_for_in_descriptions(described: RunningServer, page: Page) -> None:
    page.goto(f"{described.url}/?like=drawing-04.png&text=lighthouse&mode=both")
    expect(page.get_by_test_id("timing")).to_contain_text("Rank fusion")
    expect(results(page)).to_have_count(11)
    query = {"image_id": "drawing-04.png", "keywords": "lighthouse", "mode": "hybrid", "top_k": 11}
    answer = described.http.post("/search", json=query).json()["results"]
    # Where the model reads words as well, they count as looks too; the description counts most in any case.
    assert names(page)[0] == answer[0]["image_id"] == "drawing-03.png"


def test_marks_bring_looks_into_a_search_for_words(described: RunningServer, page: Page) -> None:
    page.goto(f"{described.url}/?text=coast&mode=words")
    expect(results(page)).to_have_count(3)
    first_result(page).focus()
    page.keyboard.press("+")
    expect(page.get_by_test_id("timing")).to_contain_text("Rank fusion")
    expect(results(page)).not_to_have_count(3)
