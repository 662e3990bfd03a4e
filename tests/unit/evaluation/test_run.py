"""A whole evaluation of folders, with an encoder that sees colours."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from image_similarity.domain.errors import EncodingFailed, InvalidRequest
from image_similarity.engine.search.calibration import QueryKind
from image_similarity.evaluation.dataset import read_labelled
from image_similarity.evaluation.report import Model, Report
from image_similarity.evaluation.run import measure
from image_similarity.evaluation.tasks import images_by_label
from image_similarity.settings import Settings
from tests.support.albums import drawing, labelled_album
from tests.support.encoders import ColourEncoder, StrictColourEncoder
from tests.support.sample_images import encoded

MODEL = Model("colours", 16, "cpu", "fp32", None)
SETTINGS = Settings(_env_file=None, batch_size=5, decode_threads=2, decode_isolation="thread")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return labelled_album(tmp_path / "album")


def evaluated(
    folder: Path,
    encoder: ColourEncoder | None = None,
    on_step: Callable[[str, int, int], None] = lambda *_: None,
    worst: int = 10,
) -> Report:
    task = images_by_label(encoder or ColourEncoder(), read_labelled(folder), SETTINGS, on_step)
    return measure(task, MODEL, data=folder.name, worst=worst, on_step=on_step).report


def test_a_model_that_sees_what_the_labels_are_is_perfect(album: Path) -> None:
    report = evaluated(album)
    assert (report.kind, report.images, report.queries, report.candidates) == (QueryKind.IMAGE, 16, 16, 15)
    assert {name: figure.mean for name, figure in report.figures.items()} == {
        "recall@1": 1,
        "recall@5": 1,
        "recall@10": 1,
        "mAP": 1,
        "nDCG@10": 1,
        "nDCG": 1,
    }
    assert {label.label for label in report.labels} == {"apple", "grass", "lake", "sand"}
    assert report.drawn == "queries"  # four labels are too few to be drawn
    assert report.skipped == report.warnings == ()


def test_the_worst_query_is_the_picture_in_the_wrong_folder(album: Path) -> None:
    (album / "lake" / "wrong.png").write_bytes(encoded(drawing("apple", 77), "PNG"))
    report = evaluated(album, worst=1)
    (worst,) = report.worst
    assert (worst.name, worst.label) == ("lake/wrong.png", "lake")
    assert worst.path == album / "lake" / "wrong.png"
    assert [shown.rank for shown in worst.found] == [1, 2, 3, 4, 5]
    assert {shown.label for shown in worst.found[:4]} == {"apple"}
    assert not any(shown.relevant for shown in worst.found[:4])
    assert {shown.label for shown in worst.wanted} == {"lake"}
    assert all(shown.relevant and shown.rank > 4 for shown in worst.wanted)
    assert report.labels[0].label == "lake"  # the worst first
    assert report.figures["recall@1"].mean == pytest.approx(16 / 17)


def test_bad_images_are_named_and_left_out(album: Path) -> None:
    (album / "apple" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (album / "lake" / "text.jpg").write_text("no image")
    (album / "stray.png").write_bytes(encoded(drawing("lake", 9), "PNG"))
    report = evaluated(album)
    assert report.images == 15
    assert [name for name, _ in report.skipped] == ["apple/0.png", "lake/text.jpg"]
    assert "supported" in dict(report.skipped)["lake/text.jpg"]
    assert "1 images are in no folder" in report.warnings[0]


def test_an_image_that_the_model_fails_on_does_not_take_its_batch_along(album: Path) -> None:
    encoder = StrictColourEncoder()
    encoder.error = EncodingFailed("numbers that are not finite")
    encoder.fail_when = lambda pixels: bool((pixels == 255).all())
    (album / "sand" / "white.png").write_bytes(encoded(drawing("sand", 0).point(lambda _: 255), "PNG"))
    report = evaluated(album, encoder)
    assert report.skipped == (("sand/white.png", "numbers that are not finite"),)
    assert report.images == 16


def test_copies_within_a_label_count_once_and_across_labels_give_warning(album: Path) -> None:
    shutil.copy(album / "apple" / "0.png", album / "apple" / "copy.png")
    shutil.copy(album / "apple" / "1.png", album / "grass" / "stolen.png")
    report = evaluated(album)
    assert report.skipped == (("apple/copy.png", "has the same bytes as apple/0.png"),)
    assert report.images == 17
    assert report.warnings == (
        "1 images have the same bytes under two labels, so one is wrong: apple/1.png = grass/stolen.png.",
    )


def test_an_image_alone_with_its_label_is_no_query(album: Path) -> None:
    (album / "snow").mkdir()
    (album / "snow" / "0.png").write_bytes(encoded(drawing("sand", 5).point(lambda _: 255), "PNG"))
    report = evaluated(album)
    assert (report.images, report.queries, report.unanswerable) == (17, 16, 1)
    assert "snow/0.png" not in report.per_query.names


def test_a_folder_whose_images_are_all_broken_is_refused(album: Path) -> None:
    for path in album.rglob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(InvalidRequest, match="No two of the 0 images"):
        evaluated(album)


def test_images_are_embedded_in_batches_and_progress_is_told(album: Path) -> None:
    encoder, told = ColourEncoder(), list[tuple[str, int, int]]()
    evaluated(album, encoder, lambda *step: told.append(step))
    assert encoder.batches == [5, 5, 5, 1]
    assert told[0] == ("Embedding images", 5, 16)
    assert told[-1] == ("Ranking", 16, 16)


def test_embeddings_are_those_of_indexing(album: Path) -> None:
    task = images_by_label(ColourEncoder(), read_labelled(album), SETTINGS)
    assert task.retrieval.candidates.dtype == np.float32
    assert np.linalg.norm(task.retrieval.candidates, axis=1) == pytest.approx(1, abs=1e-5)
