"""The page of `image-similarity evaluate --html` in a real browser: on a phone, in the dark, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from image_similarity.evaluation.dataset import read_labelled
from image_similarity.evaluation.report import Model
from image_similarity.evaluation.report_html import render
from image_similarity.evaluation.run import measure
from image_similarity.evaluation.tasks import images_by_label
from image_similarity.settings import Settings
from tests.support.albums import drawing, labelled_album
from tests.support.encoders import ColourEncoder
from tests.support.paths import REPOSITORY
from tests.support.sample_images import encoded

AXE = REPOSITORY / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
LONG = "a-label-that-is-longer-than-anybody-would-have-it-and-has-no-place-to-break-" * 2


@pytest.fixture
def report(tmp_path: Path) -> Path:
    folder = labelled_album(tmp_path / "album")
    (folder / "lake" / "wrong.png").write_bytes(encoded(drawing("apple", 77), "PNG"))
    (folder / "sand").rename(folder / LONG)
    (folder / "grass" / "broken.png").write_bytes(b"broken")
    settings = Settings(_env_file=None, decode_isolation="thread")
    task = images_by_label(ColourEncoder(), read_labelled(folder), settings)
    measured = measure(task, Model("colours", 16, "cpu", "fp32", None), data="album", worst=3)
    path = tmp_path / "report.html"
    path.write_text(render(measured.report, None, settings), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1200, "light")])
def test_it_fits_is_legible_and_asks_for_nothing(
    browser: Browser, report: Path, width: int, scheme: Literal["dark", "light"]
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url.split(":")[0]))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(report.as_uri())
    assert set(asked) <= {"file", "data"}
    assert asked.count("file") == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = "[...document.images].filter(image => image.complete && image.naturalWidth > 0).length"
    assert page.evaluate(shown) == page.locator("img").count() == 3 * (1 + 5 + 3)
    if AXE.is_file():
        page.evaluate(AXE.read_text())
        violations = page.evaluate("axe.run().then(({ violations }) => violations)")
        assert [(violation["id"], violation["nodes"][0]["html"]) for violation in violations] == []
    assert complaints == []
    context.close()
