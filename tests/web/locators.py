"""What a person sees on the page, by the names that a screen reader says."""

from __future__ import annotations

from playwright.sync_api import Locator, Page


def results(page: Page) -> Locator:
    return page.get_by_role("list", name="Images, best first").get_by_role("link")


def first_result(page: Page) -> Locator:
    return results(page).first


def names(page: Page) -> list[str]:
    """Return the ids of the results in their order."""
    found: list[str] = results(page).evaluate_all("all => all.map(a => a.querySelector('[title]').title)")
    return found


def library(page: Page) -> Locator:
    return page.get_by_role("list", name="Images, newest first").get_by_role("link")


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Text or image URL")


def chips(page: Page) -> Locator:
    """Return the parts of the query, each with its name and a way to remove it."""
    return page.get_by_role("list", name="Query parts").get_by_role("listitem").filter(has=_remove(page))


def chip(page: Page, name: str) -> Locator:
    return chips(page).filter(has_text=name)


def _remove(page: Page) -> Locator:
    return page.get_by_role("button", name="Remove ")
