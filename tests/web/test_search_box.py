"""The search box: words, addresses of pictures and pictures, and all of them together."""

from __future__ import annotations

import json
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Page, expect

from tests.support.servers import RunningServer, make_settings, running_server
from tests.web.actions import drop
from tests.web.conftest import drawing
from tests.web.locators import box, chip, chips, first_result, names, results


def test_several_images_make_one_query(server: RunningServer, page: Page) -> None:
    page.goto(f"{server.url}/?like=drawing-01.png&like=drawing-02.png&weight=0.5&like=drawing-03.png&weight=-0.5")
    expect(chips(page)).to_have_count(3)
    # Whatever is searched with is left out.
    expect(results(page)).to_have_count(9)
    parts = [
        {"image_id": "drawing-01.png", "weight": 1},
        {"image_id": "drawing-02.png", "weight": 0.5},
        {"image_id": "drawing-03.png", "weight": -0.5},
    ]
    answer = server.http.post("/search", json={"query": parts, "top_k": 9}).json()["results"]
    assert names(page) == [hit["image_id"] for hit in answer]


def test_weights_and_removals_change_the_query_and_back_undoes_them(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    drop(page, "mine.png", drawing(4))
    expect(first_result(page)).to_have_accessible_name(re.compile("drawing-04"))
    expect(chip(page, "mine.png").get_by_role("combobox")).to_have_count(0)
    page.goto(f"{page.url}&like=drawing-05.png")
    expect(chips(page)).to_have_count(2)
    page.get_by_label("How much mine.png counts").select_option("a little")
    expect(page).to_have_url(re.compile(r"weight=0\.5"))
    page.get_by_label("How much drawing-05.png counts").select_option("not like this")
    expect(page).to_have_url(re.compile(r"weight=-0\.5"))
    # What is left has to look for something.
    levels = page.get_by_label("How much mine.png counts").get_by_role("option")
    expect(levels).to_have_text(["a lot", "normal", "a little"])
    page.get_by_role("button", name="Remove drawing-05.png").click()
    expect(chips(page)).to_have_count(1)
    expect(first_result(page)).to_have_accessible_name(re.compile(r"drawing-04\.png"))
    page.go_back()
    expect(chips(page)).to_have_count(2)
    page.get_by_role("button", name="Remove mine.png").click()
    expect(page.get_by_role("heading", name="What are you looking for?")).to_be_visible()
    page.get_by_role("button", name="New search").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("looks like")


def test_new_image_takes_the_place_of_the_other_unless_both_are_wanted(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    drop(page, "mine.png", drawing(4))
    expect(first_result(page)).to_have_accessible_name(re.compile("drawing-04"))
    drop(page, "other.png", drawing(7))
    expect(chips(page)).to_have_text(re.compile("^other.png"))
    expect(first_result(page)).to_have_accessible_name(re.compile("drawing-07"))
    page.get_by_role("button", name="Use both").click()
    expect(chips(page)).to_have_count(2)
    expect(results(page)).to_have_count(12)
    best = {results(page).nth(rank).locator("[title]").first.get_attribute("title") for rank in (0, 1)}
    assert best == {"drawing-04.png", "drawing-07.png"}


def test_words_are_searched_for_by_the_keyboard_alone(server: RunningServer, page: Page) -> None:
    if "text" not in server.http.get("/stats").json()["model"]["towers"]:
        pytest.skip("the running model has no text tower: install image-similarity[offline]")
    page.goto(server.url)
    box(page).fill("  two   dogs ")
    with page.expect_request("**/api/v1/search") as asked:
        box(page).press("Enter")
    assert asked.value.post_data_json == {"query": [{"text": "two dogs", "weight": 1}], "top_k": 200}
    expect(page).to_have_url(re.compile(r"/\?text=two\+dogs$"))
    expect(box(page)).to_have_value("two dogs")
    expect(page).to_have_title(re.compile("^two dogs"))
    drop(page, "mine.png", drawing(4))
    # The words stay, and now count as one of two things.
    expect(chips(page)).to_have_count(2)
    expect(page).to_have_url(re.compile(r"query=\w+&twin=drawing-04\.png&text=two\+dogs$"))
    page.go_back()
    expect(box(page)).to_have_value("two dogs")
    expect(chips(page)).to_have_count(0)


def test_box_says_that_the_model_reads_no_words_but_descriptions_do(server: RunningServer, page: Page) -> None:
    server.http.patch("/images/drawing-02.png", json={"metadata": {"description": "Two dogs"}}).raise_for_status()
    stats = server.http.get("/stats").json()
    stats["model"]["towers"] = ["image"]
    page.route("**/api/v1/stats", lambda route: route.fulfill(json=stats))
    page.goto(server.url)
    box(page).fill("two dogs")
    expect(page.get_by_text("The current model (mini) can't read text")).to_be_visible()
    box(page).press("Enter")
    expect(results(page)).to_have_count(1)
    expect(page.get_by_text("The current model (mini) can't read text")).to_be_visible()
    expect(page.get_by_test_id("timing")).to_contain_text("Text match")


REFUSALS = {
    "text_search_unavailable": "The current model can't read text",
    "url_fetch_disabled": "This server doesn't load images from URLs",
    "url_unreachable": "No image found at this address",
}


@pytest.mark.parametrize("code", REFUSALS)
def test_what_is_wrong_with_a_query_is_said_at_the_box(server: RunningServer, page: Page, code: str) -> None:
    problem = {"code": code, "detail": "In the server's own words.", "status": 422, "title": "", "type": "about:blank"}
    page.route(
        "**/api/v1/search",
        lambda route: route.fulfill(status=422, content_type="application/problem+json", body=json.dumps(problem)),
    )
    page.goto(f"{server.url}/?url=https%3A%2F%2Fexample.org%2Fa.jpg&text=dogs")
    expect(page.get_by_role("alert")).to_contain_text(REFUSALS[code])
    expect(page.get_by_role("alert")).to_contain_text("In the server's own words.")


def test_address_within_the_servers_own_network_is_refused_in_plain_words(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    box(page).fill("http://127.0.0.1/picture.jpg")
    box(page).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Can't load this address")


def test_picture_at_an_address_is_searched_with(tmp_path: Path, page: Page) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "picture.png").write_bytes(drawing(7))
    handler = partial(SimpleHTTPRequestHandler, directory=shared)
    settings = make_settings(tmp_path / "data", "mini", log_level="ERROR", url_fetch_allow=["127.0.0.1"])
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as elsewhere, running_server(settings) as server:
        Thread(target=elsewhere.serve_forever, daemon=True).start()
        for number in (3, 7):
            server.index(drawing(number), image_id=f"drawing-{number:02}.png")
        page.goto(server.url)
        box(page).fill(f"http://127.0.0.1:{elsewhere.server_port}/picture.png")
        box(page).press("Enter")
        expect(first_result(page)).to_have_accessible_name(re.compile(r"Rank 1 drawing-07\.png , score 1\.00"))
        expect(chips(page)).to_have_text(re.compile(r"^picture\.png"))
        # The chip shows it, and so does the box beside the results: as the server has it, never from its address.
        for place in (chips(page), page.get_by_test_id("query-preview")):
            expect(place.locator("img")).to_have_attribute("src", re.compile("^data:image/webp;base64,"))
            expect(place.locator("img")).not_to_have_js_property("naturalWidth", 0)
        page.reload()
        expect(first_result(page)).to_have_accessible_name(re.compile(r"Rank 1 drawing-07\.png , score 1\.00"))
        elsewhere.shutdown()


def test_text_that_is_too_long_for_the_model_is_told(server: RunningServer, page: Page) -> None:
    answer = server.http.post("/search", json={"image_id": "drawing-01.png"}).json()
    page.route("**/api/v1/search", lambda route: route.fulfill(json={**answer, "truncated": True}))
    page.goto(f"{server.url}/?text={'dogs+' * 200}")
    expect(page.get_by_text("The text is too long for the model, which ignored the end.")).to_be_visible()


def test_address_of_a_picture_is_recognised(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    box(page).fill("https://www.example.org/a/b.jpg at night")
    expect(page.get_by_text("Searches with the picture at example.org, and with “at night”")).to_be_visible()
    page.get_by_role("button", name="Search with this picture").click()
    expect(page).to_have_url(re.compile(r"\?url=https%3A%2F%2Fwww\.example\.org%2Fa%2Fb\.jpg&text=at\+night$"))
    expect(box(page)).to_have_value("at night")
    expect(chips(page)).to_have_count(2)
    expect(chip(page, "b.jpg")).to_be_visible()
