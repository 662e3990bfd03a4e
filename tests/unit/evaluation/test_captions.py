"""A whole evaluation with captions, with towers that know colours and their names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from image_similarity.domain.errors import InvalidRequest
from image_similarity.engine.search.calibration import QueryKind
from image_similarity.evaluation.dataset import read_captioned, read_labelled
from image_similarity.evaluation.report import Model, Report
from image_similarity.evaluation.report_html import render
from image_similarity.evaluation.run import measure
from image_similarity.evaluation.tasks import images_by_caption, images_by_name
from image_similarity.settings import Settings
from tests.support.encoders import ColourEncoder, ColourWords
from tests.support.engines import BLUE, ORANGE, RED, picture

MODEL = Model("colours", 16, "cpu", "fp32", None)
SETTINGS = Settings(_env_file=None, batch_size=3, decode_threads=2, decode_isolation="thread")

ROWS = ["red.png,red", "red.png,a red wall", "orange.png,orange", "blue.png,blue sea", "green.png,green"]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for name, data in {"red": RED, "orange": ORANGE, "blue": BLUE, "green": picture(0, 250, 0)}.items():
        (folder / f"{name}.png").write_bytes(data)
    return folder


def captions(folder: Path, *rows: str) -> Path:
    path = folder.parent / "captions.csv"
    path.write_text("\n".join(["image,caption", *rows]) + "\n", encoding="utf-8")
    return path


def evaluated(folder: Path, *rows: str, worst: int = 10) -> Report:
    data = read_captioned(folder, captions(folder, *rows))
    task = images_by_caption(ColourEncoder(), ColourWords(), data, SETTINGS)
    return measure(task, MODEL, data=folder.name, worst=worst).report


def test_each_caption_searches_for_its_image(album: Path) -> None:
    report = evaluated(album, *ROWS)
    assert (report.kind, report.queries, report.candidates, report.labels) == (QueryKind.TEXT, 5, 4, ())
    assert report.text_model == "colour-words"
    assert {figure.mean for figure in report.figures.values()} == {1}
    # In the order of the images; each caption has a name of its own.
    assert report.per_query.names == ("blue.png#1", "green.png#1", "orange.png#1", "red.png#1", "red.png#2")


def test_names_of_labels_search_for_their_images(tmp_path: Path) -> None:
    for label, data in {"blue": BLUE, "bright_red": RED, "orange": ORANGE}.items():
        (tmp_path / label).mkdir()
        (tmp_path / label / "0.png").write_bytes(data)
        (tmp_path / label / "1.png").write_bytes(data + b"\0")  # the same picture, other bytes
    words = ColourWords()
    task = images_by_name(ColourEncoder(), words, read_labelled(tmp_path), "a {}", SETTINGS)
    report = measure(task, MODEL, data="album").report
    assert words.batches == [["a blue", "a bright red", "a orange"]]
    assert (report.kind, report.queries, report.candidates) == (QueryKind.TEXT, 3, 6)
    assert {figure.mean for figure in report.figures.values()} == {1}
    assert {label.label: label.queries for label in report.labels} == {"blue": 1, "bright_red": 1, "orange": 1}
    assert {(worst.name, worst.label) for worst in report.worst} >= {("a bright red", "bright_red")}
    with pytest.raises(InvalidRequest, match=r"needs a \{\} where the label's name goes"):
        images_by_name(ColourEncoder(), words, read_labelled(tmp_path), "a photo", SETTINGS)


def test_a_caption_that_says_something_else_is_the_worst_query(album: Path) -> None:
    report = evaluated(album, *ROWS, "blue.png,green", worst=1)
    (worst,) = report.worst
    assert (worst.name, worst.path, worst.label) == ("green", None, None)
    assert worst.found[0].name == "green.png"
    assert [shown.name for shown in worst.wanted] == ["blue.png"]
    assert worst.wanted[0].rank > 1
    assert report.figures["recall@1"].mean == pytest.approx(5 / 6)


def test_the_page_quotes_the_caption_and_lets_no_markup_through(album: Path) -> None:
    report = evaluated(album, *ROWS, "blue.png,<b>green</b>", worst=1)
    page = render(report, None, SETTINGS)
    assert "<blockquote>&lt;b&gt;green&lt;/b&gt;</blockquote>" in page
    assert "<b>green" not in page


def test_images_with_the_same_bytes_are_one_candidate(album: Path) -> None:
    shutil.copy(album / "red.png", album / "a-copy.png")
    report = evaluated(album, *ROWS, "a-copy.png,red house")
    assert (report.queries, report.candidates) == (6, 4)
    assert report.figures["recall@1"].mean == 1


def test_broken_missing_and_long_ones_are_told_of(album: Path) -> None:
    (album / "orange.png").write_bytes(b"broken")
    report = evaluated(album, *ROWS, "gone.png,nothing", "blue.png,blue is the sea and the sky")
    assert report.queries == 5
    assert [name for name, _ in report.skipped] == ["orange.png"]
    assert report.warnings == (
        "1 images of the captions file are not there: left out.",
        "1 captions are longer than the model reads; their ends were ignored.",
    )


def test_texts_are_embedded_in_batches(album: Path) -> None:
    words = ColourWords()
    data = read_captioned(album, captions(album, *ROWS))
    images_by_caption(ColourEncoder(), words, data, SETTINGS)
    assert [len(batch) for batch in words.batches] == [3, 2]


def test_captions_of_one_readable_image_are_refused(album: Path) -> None:
    for name in ("orange.png", "blue.png", "green.png"):
        (album / name).write_bytes(b"broken")
    with pytest.raises(InvalidRequest, match="Of 4 images 1 could be read"):
        evaluated(album, *ROWS)
