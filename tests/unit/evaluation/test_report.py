"""The report as JSON, compared with another one, and as a page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest

from image_similarity.domain.errors import InvalidRequest
from image_similarity.evaluation.dataset import read_labelled
from image_similarity.evaluation.report import Model, Report, compare, to_json
from image_similarity.evaluation.report_html import render
from image_similarity.evaluation.run import measure
from image_similarity.evaluation.tasks import images_by_label
from image_similarity.settings import Settings
from tests.support.albums import SUBJECTS, drawing, labelled_album
from tests.support.encoders import ColourEncoder
from tests.support.sample_images import encoded

SETTINGS = Settings(_env_file=None, decode_isolation="thread")
HOSTILE = "<script>alert('é')</script>&\""


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = labelled_album(tmp_path / "album")
    (folder / "lake" / "wrong.png").write_bytes(encoded(drawing("apple", 77), "PNG"))
    return folder


def evaluated(folder: Path, name: str = "colours") -> Report:
    task = images_by_label(ColourEncoder(), read_labelled(folder), SETTINGS)
    return measure(task, Model(name, 16, "cpu", "fp32", None), data=folder.name, worst=3).report


@pytest.fixture
def report(album: Path) -> Report:
    return evaluated(album)


def worse(report: Report, by: float) -> Report:
    """The report of a model that is worse at every query."""
    values = report.per_query.values * (1 - by)
    return replace(
        report, model=replace(report.model, name="blind"), per_query=replace(report.per_query, values=values)
    )


def written(path: Path, report: Report) -> Path:
    path.write_bytes(orjson.dumps(to_json(report, None)))
    return path


def test_json_holds_the_figures_and_every_query(report: Report) -> None:
    document = orjson.loads(orjson.dumps(to_json(report, None)))
    assert document["model"]["name"] == "colours"
    assert (document["queries"], document["candidates"]) == (17, 16)
    assert document["figures"]["recall@1"]["mean"] == pytest.approx(16 / 17, abs=1e-6)
    assert document["figures"]["recall@1"]["low"] < 16 / 17 < document["figures"]["recall@1"]["high"]
    assert len(document["per_query"]["query"]) == len(document["per_query"]["mAP"]) == 17
    assert document["per_query"]["recall@1"][document["per_query"]["query"].index("lake/wrong.png")] == 0
    assert document["comparison"] is None


def test_a_better_model_is_told_from_a_worse_one(report: Report, tmp_path: Path) -> None:
    comparison = compare(report, written(tmp_path / "blind.json", worse(report, 0.1)))
    assert comparison.other == "blind"
    assert {each.verdict for each in comparison.differences.values()} == {"better"}
    difference = comparison.differences["mAP"]
    assert difference.difference.mean == pytest.approx(report.figures["mAP"].mean - difference.other, abs=1e-5)
    other_way = compare(worse(report, 0.1), written(tmp_path / "colours.json", report))
    assert {each.verdict for each in other_way.differences.values()} == {"worse"}
    assert to_json(report, comparison)["comparison"]["differences"]["mAP"]["verdict"] == "better"


def test_the_same_model_shows_no_difference(report: Report, tmp_path: Path) -> None:
    comparison = compare(report, written(tmp_path / "same.json", report))
    assert {each.verdict for each in comparison.differences.values()} == {"no difference shown"}


def test_reports_of_other_images_are_not_compared(report: Report, album: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "other.json", report)
    (album / "sand" / "0.png").unlink()
    with pytest.raises(InvalidRequest, match="17 among 16, here 16 among 15"):
        compare(evaluated(album), other)


def test_the_figures_of_a_stand_in_are_not_compared(report: Report, tmp_path: Path) -> None:
    stand_in = replace(report, model=replace(report.model, fallback_reason="The hub cannot be reached."))
    with pytest.raises(InvalidRequest, match=r"which stood in for another model: The hub cannot be reached\."):
        compare(report, written(tmp_path / "stand-in.json", stand_in))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"model": {"name": "x"}, "candidates": 3, "per_query": 4}'])
def test_what_is_no_report_is_not_compared(report: Report, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.json").write_bytes(content)
    with pytest.raises(InvalidRequest, match="is not what `image-similarity evaluate --json` prints"):
        compare(report, tmp_path / "odd.json")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        compare(report, tmp_path / "nowhere.json")


class Page(HTMLParser):
    """Collects tags, addresses and text, and checks that every tag is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}]
        if tag not in {"meta", "img"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def test_the_page_holds_all_it_shows_and_no_script(report: Report) -> None:
    page = Page(render(report, None, SETTINGS))
    assert "script" not in page.tags
    assert page.tags.count("img") == 3 * (1 + 5 + 3)
    assert all(source.startswith("data:image/webp;base64,") for source in page.sources)
    assert {"0.941", "recall@1", "By label, the worst first", *SUBJECTS} <= set(page.words)
    assert any(re.fullmatch(r"Query, AP 0\.\d{3}", words) for words in page.words)


def test_the_page_shows_a_comparison(report: Report, tmp_path: Path) -> None:
    comparison = compare(report, written(tmp_path / "blind.json", worse(report, 0.1)))
    words = Page(render(report, comparison, SETTINGS)).words
    assert "Compared with blind" in words
    assert "better" in words


def test_names_and_labels_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    folder = labelled_album(tmp_path / "album")
    # A slash would be a folder within.
    hostile = HOSTILE.replace("/", "")
    (folder / "lake").rename(folder / hostile)
    (folder / hostile / f"{hostile}.png").write_bytes(encoded(drawing("apple", 77), "PNG"))
    (folder / hostile / f"broken{hostile}.png").write_bytes(b"broken")
    report = replace(evaluated(folder, name=HOSTILE), warnings=(HOSTILE,))
    page = Page(render(report, None, SETTINGS))
    assert "script" not in page.tags
    assert hostile in page.words
    assert HOSTILE in page.words


def test_the_page_does_without_a_picture_that_has_gone(report: Report, album: Path) -> None:
    (album / "lake" / "wrong.png").unlink()
    assert "cannot be read any more" in Page(render(report, None, SETTINGS)).words
