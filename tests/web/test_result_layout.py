"""How results are laid out: where they end, stacked copies, groups, diversity, and how likely each match is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.servers import RunningServer, make_settings, running_server
from tests.web.conftest import COLOURS, drawing
from tests.web.locators import first_result, names, results

COPIES = ("copy-a.png", "copy-b.png")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Return a server with twelve drawings, and two copies of `drawing-07.png`, one of them of another colour."""
    # To the model all drawings look much the same; here only copies are to count as that.
    settings = make_settings(tmp_path_factory.mktemp("copies"), "mini", log_level="ERROR", duplicate_similarity=0.999)
    with running_server(settings) as running:
        for number in range(12):
            metadata = f'{{"colour": "{COLOURS[number % 3]}", "year": {2010 + number}}}'
            running.index(drawing(number), image_id=f"drawing-{number:02}.png", metadata=metadata)
        for image_id, colour in zip(COPIES, ("green", "red"), strict=True):
            running.index(drawing(7), image_id=image_id, metadata=f'{{"colour": "{colour}", "year": 2030}}')
        yield running


def groups(page: Page) -> Locator:
    return page.get_by_role("region", name="Results").get_by_role("heading", level=2)


def test_copies_are_folded_into_one_that_opens(copied: RunningServer, page: Page) -> None:
    page.goto(f"{copied.url}/?like=drawing-04.png")
    expect(results(page)).to_have_count(13)
    page.get_by_role("switch", name="Stack near-duplicates").check()
    expect(results(page)).to_have_count(11)
    expect(page).to_have_url(re.compile("fold=1"))
    badge = page.get_by_role("button", name=re.compile("copies of drawing-07.png$|copies of copy-[ab].png$"))
    expect(badge).to_have_text(re.compile("^2 similar copies"))
    expect(badge).to_have_attribute("aria-expanded", "false")
    badge.click()
    expect(badge).to_have_attribute("aria-expanded", "true")
    expect(results(page)).to_have_count(13)
    shown = names(page)
    trio = {*COPIES, "drawing-07.png"}
    at = min(shown.index(name) for name in trio)
    assert set(shown[at : at + 3]) == trio
    # They are results like others: they open, and the keyboard reaches them.
    results(page).nth(at).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name=shown[at + 1])).to_be_visible()
    page.keyboard.press("Escape")
    badge.click()
    expect(results(page)).to_have_count(11)


def test_results_stand_in_groups(copied: RunningServer, page: Page) -> None:
    page.goto(f"{copied.url}/?like=drawing-04.png")
    page.get_by_label("Group by").select_option("colour")
    expect(page).to_have_url(re.compile("group=colour"))
    answer = copied.http.post(
        "/search", json={"image_id": "drawing-04.png", "group_by": "colour", "group_size": 12, "top_k": 3}
    ).json()["results"]
    expected = list(dict.fromkeys(hit["group"] for hit in answer))
    expect(groups(page)).to_have_text([re.compile(f"^{colour}\\d") for colour in expected])
    expect(page.get_by_role("heading", name="13 results in 3 groups")).to_be_visible()
    reds = page.get_by_role("list", name="red").get_by_role("link")
    expect(reds).to_have_count(5)
    # Arrow keys go on from group to group.
    every = page.get_by_role("region", name="Results").get_by_role("link", name="Rank")
    every.first.focus()
    page.keyboard.press("End")
    expect(every.last).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(every.first).not_to_be_focused()
    page.get_by_role("slider", name="Groups").fill("1")
    expect(groups(page)).to_have_count(1)


def test_results_end_where_the_scores_drop(copied: RunningServer, page: Page) -> None:
    page.goto(f"{copied.url}/?like=copy-a.png")
    expect(results(page)).to_have_count(13)
    page.get_by_role("switch", name="Hide weak matches").check()
    answer = copied.http.post("/search", json={"image_id": "copy-a.png", "threshold": "auto", "top_k": 200}).json()
    assert 0 < len(answer["results"]) < 13
    expect(results(page)).to_have_count(len(answer["results"]))
    expect(page).to_have_url(re.compile("least=auto"))
    slider = page.get_by_role("slider", name="Minimum similarity")
    expect(slider).to_be_disabled()
    expect(slider).to_have_attribute("aria-valuetext", f"{answer['threshold']:.2f}")
    page.get_by_role("switch", name="Hide weak matches").uncheck()
    expect(results(page)).to_have_count(13)


def test_variety_asks_for_results_that_are_unlike_each_other(copied: RunningServer, page: Page) -> None:
    page.goto(f"{copied.url}/?like=drawing-04.png")
    expect(results(page)).to_have_count(13)
    page.get_by_role("slider", name="Diversity").fill("0.5")
    expect(page).to_have_url(re.compile("variety=0.5"))
    query = {"image_id": "drawing-04.png", "diversity": 0.5, "top_k": 200}
    answer = copied.http.post("/search", json=query).json()["results"]
    expect(results(page).nth(1)).to_have_accessible_name(re.compile(re.escape(answer[1]["image_id"])))
    assert names(page) == [hit["image_id"] for hit in answer]


def test_results_that_are_probably_not_meant_are_folded(copied: RunningServer, page: Page) -> None:
    answer = copied.http.post("/search", json={"image_id": "copy-a.png", "top_k": 200}).json()
    for rank, hit in enumerate(answer["results"]):
        hit["confidence"] = 0.9 if rank < 5 else 0.1
    page.route("**/api/v1/search", lambda route: route.fulfill(json=answer))
    page.goto(f"{copied.url}/?like=copy-a.png")
    expect(page.get_by_role("heading", name="13 results")).to_be_visible()
    expect(results(page)).to_have_count(5)
    fold = page.get_by_role("button", name="Probably not what you mean (8)")
    expect(fold).to_have_attribute("aria-expanded", "false")
    fold.press("Enter")
    expect(results(page)).to_have_count(13)
    expect(fold).to_have_attribute("aria-expanded", "true")
    expect(fold).to_be_focused()
    fold.press("Enter")
    expect(results(page)).to_have_count(5)


def test_confidence_stands_beside_the_score_where_there_is_one(copied: RunningServer, page: Page) -> None:
    page.goto(f"{copied.url}/?like=copy-a.png")
    best = copied.http.post("/search", json={"image_id": "copy-a.png", "top_k": 1}).json()["results"][0]
    sure = f"{round(best['confidence'] * 100)}% match"
    expect(first_result(page)).to_have_accessible_name(re.compile(rf"score {best['score']:.2f} , {sure}"))
    # Where examples shape the query nobody has measured what a score is worth.
    page.goto(f"{copied.url}/?like=copy-a.png&more=drawing-01.png")
    expect(first_result(page)).to_have_accessible_name(re.compile(r"score \d\.\d\d"))
    expect(page.get_by_text("% match")).to_have_count(0)
