from __future__ import annotations

import base64
import io
import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from load_test.photos import Photos, read_photos, shipped_photos
from tests.support.sample_images import encoded, photo


def image_in(body: tuple[bytes, ...]) -> bytes:
    return base64.b64decode(json.loads(b"".join(body))["image_data"], validate=True)


def test_an_image_to_index_is_a_photograph_that_was_never_sent_before() -> None:
    photos = Photos([encoded(photo(), "JPEG"), encoded(photo(seed=1), "PNG")], queries=2)
    sent = [image_in(photos.index_body(f"load-test/{number}")) for number in range(20)]
    assert len(set(sent)) == 20
    for file in sent:
        assert Image.open(io.BytesIO(file)).convert("RGB").size == (320, 240)
    assert json.loads(b"".join(photos.index_body("load-test/x")))["image_id"] == "load-test/x"


def test_some_queries_are_asked_more_often_than_others() -> None:
    photos = Photos([encoded(photo(), "JPEG")], queries=50)
    asked = Counter(image_in(photos.search_body()) for _ in range(2000))
    counts = [count for _, count in asked.most_common()]
    assert len(counts) <= 50
    # By Zipf's law 22 % ask the first of fifty and 2 % would if all were as popular.
    assert counts[0] > 2000 * 0.15
    assert counts[0] > 5 * counts[len(counts) // 2]


def test_two_runs_do_not_ask_the_same_queries() -> None:
    file = encoded(photo(), "JPEG")
    first, second = Photos([file], queries=1), Photos([file], queries=1)
    assert image_in(first.search_body()) == image_in(first.search_body()) != image_in(second.search_body())


def test_the_photographs_of_packages_are_cut_to_the_size_of_a_small_photo() -> None:
    files = shipped_photos(7)
    assert files == shipped_photos(7)
    assert len(set(files)) == 7
    for file in files:
        assert Image.open(io.BytesIO(file)).size == (500, 375)
        assert 50_000 < len(file) < 250_000


def test_a_folder_gives_its_images_and_an_empty_one_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match="no image files"):
        read_photos(tmp_path)
    (tmp_path / "a.JPG").write_bytes(b"a")
    assert read_photos(tmp_path) == [b"a"]
    with pytest.raises(OSError, match="nowhere"):
        read_photos(tmp_path / "nowhere")
