"""Thumbs up and down: the results are ranked anew at once, and what was said can be taken back."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.support.servers import RunningServer
from tests.web.actions import drop
from tests.web.conftest import drawing
from tests.web.locators import chip, chips, first_result, names, results


def more_like(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=f"More like this: {name}")


def less_like(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=f"Less like this: {name}")


def marked(page: Page, how: str) -> Locator:
    return page.get_by_role("list", name=how).get_by_role("button")


def verdicts(server: RunningServer) -> list[tuple[str, str]]:
    return [(event["image_id"], event["verdict"]) for event in server.http.get("/feedback").json()["events"]]


def test_thumbs_rank_anew_at_once_and_are_kept(server: RunningServer, page: Page) -> None:
    server.http.delete("/feedback")
    page.goto(f"{server.url}/?like=drawing-04.png")
    expect(results(page)).to_have_count(11)
    first_result(page).hover()
    more_like(page, "drawing-08.png").click()
    expect(results(page)).to_have_count(10)
    less_like(page, "drawing-02.png").click()
    expect(results(page)).to_have_count(9)
    expect(marked(page, "More like these")).to_have_accessible_name("Remove mark from drawing-08.png")
    expect(marked(page, "Less like these")).to_have_accessible_name("Remove mark from drawing-02.png")
    query = {"image_id": "drawing-04.png", "positive": ["drawing-08.png"], "negative": ["drawing-02.png"]}
    answer = server.http.post("/search", json={**query, "top_k": 9}).json()["results"]
    assert names(page) == [hit["image_id"] for hit in answer]
    # The address has it all.
    page.reload()
    expect(marked(page, "More like these")).to_have_count(1)
    expect(results(page)).to_have_count(9)
    assert names(page) == [hit["image_id"] for hit in answer]
    assert verdicts(server) == [("drawing-08.png", "positive"), ("drawing-02.png", "negative")]
    asked = {event["query_id"] for event in server.http.get("/feedback").json()["events"]}
    assert len(asked) == 1


def test_marks_are_taken_back_one_by_one_or_all(server: RunningServer, page: Page) -> None:
    server.http.delete("/feedback")
    page.goto(f"{server.url}/?like=drawing-04.png&more=drawing-08.png&more=drawing-01.png&less=drawing-02.png")
    expect(results(page)).to_have_count(8)
    marked(page, "More like these").first.click()
    expect(results(page)).to_have_count(9)
    expect(marked(page, "More like these")).to_have_count(1)
    page.get_by_role("button", name="Clear all").click()
    expect(results(page)).to_have_count(11)
    expect(page.get_by_role("region", name="Marked images")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"\?like=drawing-04\.png$"))
    names_of_cleared = [("drawing-08.png", "clear"), ("drawing-01.png", "clear"), ("drawing-02.png", "clear")]
    assert sorted(verdicts(server)) == sorted(names_of_cleared)


def test_marks_shape_the_ranking_as_one_chooses(server: RunningServer, page: Page) -> None:
    page.goto(f"{server.url}/?like=drawing-04.png&variety=0.5")
    expect(results(page)).to_have_count(11)
    choice = page.get_by_role("button", name="Marks:")
    expect(choice).to_have_count(0)
    first_result(page).hover()
    more_like(page, "drawing-08.png").click()
    less_like(page, "drawing-02.png").click()
    expect(results(page)).to_have_count(9)
    query = {"image_id": "drawing-04.png", "positive": ["drawing-08.png"], "negative": ["drawing-02.png"]}

    def ranked(**options: object) -> list[str]:
        found = server.http.post("/search", json={**query, "top_k": 9, **options}).json()["results"]
        return [hit["image_id"] for hit in found]

    blend, nearest = ranked(diversity=0.5), ranked(strategy="best_score")
    assert blend[0] != nearest[0]
    assert names(page) == blend
    choice.click()
    expect(page.get_by_role("radio", name="Balanced")).to_be_focused()
    page.get_by_role("radio", name="Closest example").check()
    # The API refuses this strategy with diversity, which the page then does without.
    expect(page.get_by_label("Diversity")).to_be_disabled()
    expect(page).to_have_url(re.compile("&marks=nearest"))
    expect(results(page).first).to_have_accessible_name(re.compile(re.escape(nearest[0])))
    assert names(page) == nearest
    page.keyboard.press("Escape")
    expect(choice).to_be_focused()
    page.reload()
    expect(choice).to_have_text("Marks:Closest example")
    expect(results(page)).to_have_count(9)
    assert names(page) == nearest
    # The same marks where one looks closer: by key and by button, and they stay when the viewer closes, by "back" too.
    first_result(page).press("Enter")
    viewer = page.get_by_role("dialog")
    expect(viewer).to_be_focused()
    page.keyboard.press("+")
    expect(more_like(page, nearest[0])).to_have_attribute("aria-pressed", "true")
    second = ranked(strategy="best_score", positive=["drawing-08.png", nearest[0]])[0]
    viewer.get_by_role("button", name="Next image").click()
    expect(viewer.get_by_role("heading", level=2)).to_have_text(second)
    less_like(page, second).click()
    page.keyboard.press("Escape")
    expect(viewer).to_have_count(0)
    expect(results(page)).to_have_count(7)
    expect(first_result(page)).to_be_focused()
    expect(marked(page, "More like these")).to_have_count(2)
    expect(marked(page, "Less like these")).to_have_count(2)
    third = names(page)[0]
    page.keyboard.press("Enter")
    expect(viewer).to_be_focused()
    more_like(page, third).click()
    page.go_back()
    expect(viewer).to_have_count(0)
    expect(results(page)).to_have_count(6)
    expect(marked(page, "More like these")).to_have_count(3)


def test_mark_of_an_image_that_is_gone_can_be_done_without(server: RunningServer, page: Page) -> None:
    page.goto(f"{server.url}/?like=drawing-04.png&more=gone.png")
    expect(page.get_by_role("alert")).to_contain_text("gone.png")
    page.get_by_role("button", name="Search without the marks").click()
    expect(results(page)).to_have_count(11)


def test_thumbs_work_by_keyboard_and_the_focus_stays_among_the_results(server: RunningServer, page: Page) -> None:
    page.goto(f"{server.url}/?like=drawing-04.png")
    expect(results(page)).to_have_count(11)
    first_result(page).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    expect(results(page)).to_have_count(10)
    expect(results(page).nth(1)).to_be_focused()
    page.keyboard.press("-")
    expect(results(page)).to_have_count(9)
    expect(results(page).nth(1)).to_be_focused()
    expect(marked(page, "More like these")).to_have_count(1)
    expect(marked(page, "Less like these")).to_have_count(1)
    # The buttons of the result that has the focus come next in the tab order.
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="More like this:").nth(1)).to_be_focused()
    page.keyboard.press("Space")
    expect(marked(page, "More like these")).to_have_count(2)


def test_thumbs_are_within_reach_of_a_finger(server: RunningServer, page: Page) -> None:
    phone = page.context.browser
    assert phone is not None
    context = phone.new_context(viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True)
    touched = context.new_page()
    touched.goto(f"{server.url}/?like=drawing-04.png")
    thumb = touched.get_by_role("button", name="More like this:").first
    expect(thumb).to_be_visible()
    box = thumb.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 44
    assert thumb.evaluate("button => getComputedStyle(button.parentElement).opacity") == "1"
    thumb.tap()
    expect(marked(touched, "More like these")).to_have_count(1)
    context.close()


def test_menu_offers_nothing_that_cannot_be_searched_for(server: RunningServer, page: Page) -> None:
    server.http.patch("/images/drawing-02.png", json={"metadata": {"tags": ["coast"]}}).raise_for_status()
    stats = server.http.get("/stats").json()
    stats["model"]["towers"] = ["image"]
    page.route("**/api/v1/stats", lambda route: route.fulfill(json=stats))
    page.goto(f"{server.url}/?text=coast")
    first_result(page).hover()
    page.get_by_role("button", name="Actions for drawing-02.png").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Search with this", "Add to search"])


def test_menu_of_a_result_adds_it_to_the_query_or_sets_it_against(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    drop(page, "mine.png", drawing(4))
    expect(results(page)).to_have_count(12)
    first_result(page).hover()
    page.get_by_role("button", name="Actions for drawing-08.png").click()
    item = page.get_by_role("menuitem")
    expect(item).to_have_text(["Search with this", "Add to search", "Less like this"])
    expect(item.first).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(item.last).to_be_focused()
    page.keyboard.press("Escape")
    expect(item.first).not_to_be_visible()
    expect(page.get_by_role("button", name="Actions for drawing-08.png")).to_be_focused()
    page.keyboard.press("Enter")
    expect(item.first).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(chips(page)).to_have_count(2)
    expect(chip(page, "drawing-08.png").get_by_role("combobox")).to_have_value("-0.5")
    expect(results(page)).to_have_count(11)
    page.get_by_role("button", name="Actions for drawing-04.png").click()
    item.filter(has_text="Add to search").click()
    expect(chips(page)).to_have_count(3)
    page.get_by_role("button", name="Actions for drawing-01.png").click()
    item.filter(has_text="Search with this").click()
    expect(page).to_have_url(re.compile(r"/\?like=drawing-01\.png$"))
