"""Thumbnails: small, upright as given, free of metadata."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from image_similarity.images.decode import decode
from image_similarity.images.thumbnail import make_thumbnail
from tests.support.sample_images import encoded, exif, photo


def opened(thumbnail: bytes) -> Image.Image:
    return Image.open(io.BytesIO(thumbnail))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 480), (480, 360)), ((480, 640), (360, 480)), ((1000, 3), (480, 1)), ((3, 5000), (1, 480))],
)
def test_the_longer_side_is_shrunk_and_the_aspect_kept(size, expected):
    assert opened(make_thumbnail(photo(*size))).size == expected


@pytest.mark.parametrize("size", [(320, 200), (17, 11), (1, 1)])
def test_nothing_is_enlarged(size):
    assert opened(make_thumbnail(photo(*size))).size == size


def test_the_side_is_the_callers_choice():
    assert opened(make_thumbnail(photo(500, 375), max_side=100)).size == (100, 75)


def test_it_is_a_webp_that_looks_like_the_picture():
    drawn = photo(640, 480)
    small = opened(make_thumbnail(drawn))
    assert small.format == "WEBP"
    expected = np.asarray(drawn.resize((480, 360), Image.Resampling.LANCZOS), dtype=float)
    assert np.abs(np.asarray(small, dtype=float) - expected).mean() < 5


def test_no_metadata_leaks():
    icc = b"profile" * 30
    source = encoded(photo(400, 300), "JPEG", exif=exif(1), icc_profile=icc, xmp=b"<x:xmpmeta/>")
    untouched = Image.open(io.BytesIO(source))
    untouched.load()
    for image in (decode(source, max_pixels=1_000_000).image, untouched):
        thumbnail = make_thumbnail(image)
        assert b"SecretCamera" not in thumbnail
        assert {"exif", "icc_profile", "xmp"}.isdisjoint(opened(thumbnail).info)


def test_the_picture_itself_is_left_alone():
    drawn = photo(640, 480)
    before = drawn.tobytes()
    make_thumbnail(drawn)
    assert (drawn.size, drawn.tobytes()) == ((640, 480), before)


def test_the_same_picture_gives_the_same_bytes():
    assert make_thumbnail(photo(640, 480)) == make_thumbnail(photo(640, 480))
