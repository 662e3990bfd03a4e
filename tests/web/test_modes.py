"""What images are ranked by: how they look, the words of their descriptions and tags, or both."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.servers import RunningServer
from tests.web.locators import box, first_result, names, results

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
    return page.get_by_role("group", name="Match words against").get_by_label(name)


def test_words_find_descriptions_and_tags(described: RunningServer, page: Page) -> None:
    page.goto(f"{described.url}/?text=dog&mode=words")
    expect(results(page)).to_have_count(1)
    answer = described.http.post("/search/keywords", json={"text": "dog"}).json()["results"]
    expect(first_result(page)).to_have_accessible_name(
        re.compile(rf"Rank 1 drawing-07\.png , text match {answer[0]['score']:.2f} Two dogs on the coast")
    )
    expect(page.get_by_test_id("timing")).to_contain_text("Text match")
    # Such scores have no bound, so there is nothing to slide.
    expect(page.get_by_role("slider", name="Minimum similarity")).to_have_count(0)
    box(page).fill("coast")
    box(page).press("Enter")
    expect(results(page)).to_have_count(3)
    expect(page).to_have_url(re.compile(r"\?text=coast&mode=words$"))


def test_words_beside_a_picture_are_looked_for_in_descriptions(described: RunningServer, page: Page) -> None:
    page.goto(f"{described.url}/?like=drawing-04.png&text=lighthouse&mode=both")
    expect(page.get_by_test_id("timing")).to_contain_text("Combined")
    expect(results(page)).to_have_count(11)
    query = {"image_id": "drawing-04.png", "keywords": "lighthouse", "mode": "hybrid", "top_k": 11}
    answer = described.http.post("/search", json=query).json()["results"]
    # Where the model reads words as well, they count as looks too; the description counts most in any case.
    assert names(page)[0] == answer[0]["image_id"] == "drawing-03.png"


@pytest.fixture
def reading(described: RunningServer) -> RunningServer:
    """Return the server where its model reads words."""
    if "text" not in described.http.get("/stats").json()["model"]["towers"]:
        pytest.skip("the running model has no text tower: install image-similarity[offline]")
    return described


def test_switch_says_what_the_words_are_looked_for_in(reading: RunningServer, page: Page) -> None:
    page.goto(f"{reading.url}/")
    box(page).fill("coast")
    box(page).press("Enter")
    expect(mode(page, "Appearance")).to_be_checked()
    expect(page.get_by_test_id("timing")).to_contain_text("Similarity")
    answer = reading.http.post("/search/text", json={"text": "coast", "top_k": 12}).json()["results"]
    page.get_by_role("button", name="Probably not what you mean").click()
    expect(results(page)).to_have_count(12)
    assert names(page) == [hit["image_id"] for hit in answer]

    mode(page, "Text").check()
    expect(page).to_have_url(re.compile(r"\?text=coast&mode=words$"))
    expect(results(page)).to_have_count(3)

    # By the keyboard, as radio buttons are.
    page.keyboard.press("ArrowRight")
    expect(mode(page, "Both")).to_be_checked()
    expect(page.get_by_test_id("timing")).to_contain_text("Combined")
    answer = reading.http.post("/search", json={"text": "coast", "mode": "hybrid", "top_k": 12}).json()["results"]
    expect(results(page)).to_have_count(12)
    assert names(page) == [hit["image_id"] for hit in answer]
    page.reload()
    expect(mode(page, "Both")).to_be_checked()


def test_picture_with_words_is_one_query_of_looks(reading: RunningServer, page: Page) -> None:
    page.goto(f"{reading.url}/?like=drawing-04.png")
    expect(results(page)).to_have_count(11)
    expect(page.get_by_role("group", name="Match words against")).to_have_count(0)
    box(page).fill("at night")
    box(page).press("Enter")
    expect(mode(page, "Appearance")).to_be_checked()
    expect(mode(page, "Text")).to_be_disabled()
    page.get_by_label("How much “at night” counts").select_option("a lot")
    expect(page).to_have_url(re.compile(r"\?like=drawing-04\.png&text=at\+night&weight=2$"))
    query = [{"image_id": "drawing-04.png"}, {"text": "at night", "weight": 2}]
    answer = reading.http.post("/search", json={"query": query, "top_k": 11}).json()["results"]
    score = f"{answer[0]['score']:.2f}"
    expect(first_result(page)).to_have_accessible_name(re.compile(rf"{answer[0]['image_id']} , score {score}"))
    assert names(page) == [hit["image_id"] for hit in answer]


def test_words_that_nothing_has_can_be_looked_for_in_the_pictures(reading: RunningServer, page: Page) -> None:
    page.goto(f"{reading.url}/?text=zebra&mode=words")
    expect(page.get_by_role("heading", name="No description or tag has these words")).to_be_visible()
    page.get_by_role("button", name="Search by appearance instead").click()
    page.get_by_role("button", name="Probably not what you mean").click()
    expect(results(page)).to_have_count(12)


def test_marks_bring_looks_into_a_search_for_words(described: RunningServer, page: Page) -> None:
    page.goto(f"{described.url}/?text=coast&mode=words")
    expect(results(page)).to_have_count(3)
    first_result(page).focus()
    page.keyboard.press("+")
    expect(page.get_by_test_id("timing")).to_contain_text("Combined")
    expect(results(page)).not_to_have_count(3)
