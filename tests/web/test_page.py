"""Searching on the web page in a real browser, before the real server with the real embedded engine."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, expect

from tests.support.sample_images import encoded, photo
from tests.support.servers import (
    API,
    RunningServer,
    free_port,
    make_settings,
    running_server,
    server_process,
)
from tests.web.actions import drop, paste
from tests.web.conftest import drawing
from tests.web.locators import chips, first_result, library, results


def test_dropped_image_finds_its_twin_first(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    drop(page, "mine.png", drawing(4))
    expect(first_result(page)).to_have_accessible_name(re.compile(r"Rank 1 drawing-04\.png , score 1\.00"))
    expect(page.get_by_test_id("query-preview").get_by_role("img")).to_be_visible()
    expect(chips(page)).to_have_text(re.compile("^mine.png"))
    expect(page.get_by_test_id("timing")).to_have_text(re.compile(r"\d+ ms|under 1 ms"))


def test_photograph_is_sent_small_and_still_finds_its_twin(server: RunningServer, page: Page) -> None:
    data = encoded(photo(2600, 1800, seed=4), "PNG")
    server.index(data, image_id="large.png")
    page.add_init_script(
        """const ask = window.fetch;
        window.fetch = async (request) => {
            if (request.url.endsWith("/search")) window.sent = (await request.clone().blob()).size;
            return ask(request);
        };"""
    )
    page.goto(server.url)
    drop(page, "mine.png", data)
    expect(first_result(page)).to_have_accessible_name(re.compile(r"Rank 1 large\.png , score 1\.00"))
    # Its hash is that of the whole file, so the link works for others.
    expect(page).to_have_url(re.compile("twin=large"))
    assert 0 < page.evaluate("window.sent") < len(data) / 10
    # Likewise it is looked at in the size of a screen, and downloaded as it is.
    with page.expect_response("**/large.png/preview*") as preview:
        first_result(page).click()
    assert len(preview.value.body()) < len(data) / 10
    expect(page.get_by_role("dialog").get_by_role("img", name="large.png")).to_have_css("opacity", "1")


def test_pasted_image_is_searched_with(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    expect(page.get_by_role("heading", level=1)).to_contain_text("looks like")
    paste(page, drawing(7))
    expect(first_result(page)).to_have_accessible_name(re.compile(r"Rank 1 drawing-07\.png , score 1\.00"))


def test_chosen_file_is_searched_with(server: RunningServer, page: Page, files: Path) -> None:
    page.goto(server.url)
    page.get_by_label("Image to search with").set_input_files(files / "holiday-03.png")
    expect(page.get_by_role("heading", name="12 results")).to_be_visible()


def test_damaged_image_is_answered_with_the_servers_own_words(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    drop(page, "torn.png", drawing(1)[:500])
    expect(page.get_by_role("alert")).to_contain_text("This image is damaged")
    answer = server.http.post("/search", files={"image": ("x", drawing(1)[:500])})
    expect(page.get_by_role("alert")).to_contain_text(answer.json()["detail"])


def test_search_survives_reload_and_back(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    drop(page, "mine.png", drawing(4))
    expect(first_result(page)).to_have_accessible_name(re.compile("drawing-04"))
    page.get_by_role("slider", name="Results").fill("5")
    expect(results(page)).to_have_count(5)
    expect(page).to_have_url(re.compile("show=5"))
    page.reload()
    expect(first_result(page)).to_have_accessible_name(re.compile("drawing-04"))
    expect(results(page)).to_have_count(5)
    drop(page, "other.png", drawing(5))
    expect(first_result(page)).to_have_accessible_name(re.compile("drawing-05"))
    page.go_back()
    expect(first_result(page)).to_have_accessible_name(re.compile("drawing-04"))
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_contain_text("looks like")


def test_link_to_a_search_works_for_others_where_the_image_is_indexed(
    server: RunningServer, page: Page, browser: Browser
) -> None:
    page.goto(server.url)
    drop(page, "mine.png", drawing(4))
    expect(page).to_have_url(re.compile("twin=drawing-04"))
    elsewhere = browser.new_context()
    other = elsewhere.new_page()
    other.goto(page.url)
    expect(first_result(other)).to_have_accessible_name(re.compile(r"Rank 1 drawing-04\.png , score 1\.00"))
    elsewhere.close()


def test_link_to_a_search_says_so_where_it_cannot_work(server: RunningServer, page: Page, browser: Browser) -> None:
    page.goto(server.url)
    drop(page, "mine.png", drawing(50))
    expect(results(page)).to_have_count(12)
    elsewhere = browser.new_context()
    other = elsewhere.new_page()
    other.goto(page.url)
    expect(other.get_by_text("only the browser that searched with it has it")).to_be_visible()
    # Once the image is in the collection, links to the search work everywhere.
    page.get_by_role("button", name="Add to library").click()
    expect(first_result(page)).to_have_accessible_name(re.compile(r"Rank 1 mine\.png , score 1\.00"))
    other.goto(page.url)
    expect(first_result(other)).to_have_accessible_name(re.compile(r"Rank 1 mine\.png , score 1\.00"))
    elsewhere.close()


def test_sliders_act_on_what_is_there_without_another_request(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    drop(page, "mine.png", drawing(4))
    expect(results(page)).to_have_count(12)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url) if "search" in request.url else None)
    page.get_by_role("slider", name="Results").fill("3")
    expect(results(page)).to_have_count(3)
    page.get_by_role("slider", name="Results").fill("24")
    page.get_by_role("slider", name="Minimum similarity").fill("1")
    expect(results(page)).to_have_count(1)
    expect(page).to_have_url(re.compile("least=1"))
    assert not any("/api/" in url for url in requests)


def test_filter_offers_the_fields_and_values_that_there_are(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    drop(page, "mine.png", drawing(4))
    page.get_by_label("Add a condition").select_option("colour")
    page.get_by_label("red").check()
    expect(results(page)).to_have_count(4)
    names = [name or "" for name in results(page).evaluate_all("all => all.map(a => a.textContent)")]
    assert {int(re.search(r"drawing-(\d+)", name)[1]) % 3 for name in names} == {0}  # type: ignore[index]
    page.get_by_label("Add a condition").select_option("year")
    # Whichever box the earlier year is in.
    page.get_by_label("year from").fill("2025")
    page.get_by_label("year to").fill("2015")
    expect(page.get_by_text("Searching from 2015 to 2025.")).to_be_visible()
    expect(results(page)).to_have_count(2)
    # Every image has another year: grouping by each would make groups of one.
    page.get_by_label("Group by").select_option("year")
    expect(page).to_have_url(re.compile("group=year&step=2$"))
    expect(page.get_by_role("heading", name=re.compile(r"^20\d\d . 20\d\d"))).to_have_count(2)
    page.get_by_label("Group by").select_option("nothing")
    page.reload()
    expect(results(page)).to_have_count(2)
    page.get_by_role("button", name="Remove the condition on colour").click()
    expect(results(page)).to_have_count(7)


def test_more_like_this_searches_with_the_indexed_image(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    drop(page, "mine.png", drawing(4))
    first_result(page).click()
    dialog = page.get_by_role("dialog", name="drawing-04.png")
    expect(dialog).to_contain_text("2014")
    dialog.get_by_role("link", name="More like this").click()
    expect(page).to_have_url(re.compile(r"like=drawing-04\.png"))
    expect(dialog).not_to_be_visible()
    expect(results(page)).to_have_count(11)
    expect(first_result(page)).not_to_have_accessible_name(re.compile("drawing-04"))


def test_keyboard_alone_reaches_every_result(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    drop(page, "mine.png", drawing(4))
    expect(results(page)).to_have_count(12)
    first_result(page).focus()
    for key, rank in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 12), ("Home", 1)):
        page.keyboard.press(key)
        expect(results(page).nth(rank - 1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(first_result(page)).not_to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(first_result(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="drawing-04.png")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("dialog", name="drawing-04.png")).not_to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).not_to_be_visible()


def test_status_page_tells_what_runs(server: RunningServer, page: Page) -> None:
    page.goto(f"{server.url}/status")
    model = page.get_by_role("region", name="Model")
    expect(model).to_contain_text("mini")
    expect(model).to_contain_text("fp32")
    expect(model).to_contain_text(re.compile(r"Text model\s*mini, reads 256 tokens"))
    expect(page.get_by_role("region", name="Images")).to_contain_text("12")
    expect(page.get_by_role("region", name="Services")).to_contain_text("vector store")
    expect(page.get_by_role("img", name="Queue over the last minutes")).to_be_visible()
    server.index(drawing(90))
    expect(page.get_by_role("region", name="Images")).to_contain_text("13")


def test_stopped_server_is_reported_and_the_page_recovers(page: Page, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    env = {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": "mini"}
    url = f"http://127.0.0.1:{port}"
    with server_process(port, env, log):
        httpx.post(f"{url}{API}/index", files={"image": ("x", drawing(3))}, data={"image_id": "three.png"})
        page.goto(url)
        expect(page.get_by_role("link", name="More like three.png")).to_be_visible()
    # It says so by itself, and a search says the same.
    expect(page.get_by_text("Can't reach the server. Reconnecting")).to_be_visible()
    drop(page, "mine.png", drawing(3))
    expect(page.get_by_role("alert")).to_contain_text("Can't reach the server")
    with server_process(port, env, log):
        # Nobody touches the page.
        expect(first_result(page)).to_have_accessible_name(re.compile(r"Rank 1 three\.png , score 1\.00"))
        expect(page.get_by_text("Can't reach the server. Reconnecting")).not_to_be_visible()


def test_key_is_asked_for_and_pictures_come_with_it(page: Page, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, "mini", log_level="ERROR", api_keys=["right", "spare"])
    with running_server(settings) as guarded:
        guarded.http.headers["X-API-Key"] = "right"
        guarded.index(drawing(3), image_id="three.png")
        page.goto(f"{guarded.url}/library")
        dialog = page.get_by_role("dialog", name="This server needs an API key")
        dialog.get_by_label("API key").fill("wrong")
        dialog.get_by_role("button", name="Continue").click()
        expect(page.get_by_text("does not accept this key")).to_be_visible()
        dialog.get_by_label("API key").fill("right")
        dialog.get_by_role("button", name="Continue").click()
        expect(dialog).not_to_be_visible()
        expect(library(page)).to_have_count(1)
        picture = library(page).first.locator("img")
        expect(picture).to_have_js_property("complete", True)
        assert picture.get_attribute("src", timeout=5000).startswith("blob:")  # type: ignore[union-attr]
        assert picture.evaluate("image => image.naturalWidth") > 0
        page.reload()
        expect(library(page)).to_have_count(1)
        # A new tab has it from this one.
        other = page.context.new_page()
        other.goto(f"{guarded.url}/library")
        expect(library(other)).to_have_count(1)
        expect(other.get_by_role("dialog")).to_have_count(0)
