"""Odd, damaged and hostile files: an RGB image or one of our errors, nothing else, and nothing printed."""

from __future__ import annotations

import functools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import features

from image_similarity.domain.errors import ImageTooLarge, ImageUndecodable, UnsupportedFormat
from image_similarity.images.decode import DecodedImage, decode, supported_formats
from image_similarity.images.signatures import format_of
from tests.support.paths import SHARED
from tests.support.sample_images import encoded, exif, noise

ODD_IMAGES = SHARED / "odd-images"
LIMIT = 50_000_000

KINDS = [
    ("JPEG", 3, {}),
    ("JPEG", 3, {"progressive": True, "exif": exif(6)}),
    ("PNG", 4, {"exif": exif(3)}),
    ("PNG", 1, {"bits": 4}),
    ("GIF", 1, {"interlace": True}),
    ("WEBP", 4, {"lossless": True, "exif": exif(8)}),
    ("WEBP", 3, {"quality": 50}),
    ("BMP", 3, {}),
    ("TIFF", 3, {"exif": exif(5)}),
    ("TIFF", 4, {"compression": "tiff_lzw"}),
    ("TIFF", 3, {"compression": "jpeg"}),
    *([("AVIF", 3, {"speed": 10, "exif": exif(2)})] if features.check("avif") else []),
]


def outcome(data: bytes, *, limit: int = LIMIT) -> str:
    """Name of our error, or "decoded" after a look at the result; all else escapes and fails the test."""
    try:
        result = decode(data, max_pixels=limit)
    except (ImageTooLarge, ImageUndecodable, UnsupportedFormat) as error:
        refusal = error
    else:
        _assert_sound(result)
        return "decoded"
    assert "0x" not in str(refusal)
    return type(refusal).__name__


def _assert_sound(result: DecodedImage) -> None:
    assert result.image.mode == "RGB"
    assert result.image.size == (result.width, result.height)
    assert len(result.image.tobytes()) == result.width * result.height * 3
    assert result.format in supported_formats()


@functools.cache
def sample(kind: int) -> bytes:
    image_format, channels, options = KINDS[kind]
    return encoded(noise(23, 17, channels=channels), image_format, **options)


@pytest.mark.skipif(not ODD_IMAGES.exists(), reason="no folder shared/odd-images beside the repository")
def test_every_odd_image_is_decoded_or_refused_in_our_own_words(capfd, caplog):
    outcomes: Counter[str] = Counter()
    for path in sorted(p for p in ODD_IMAGES.rglob("*") if p.is_file()):
        data = path.read_bytes()
        found = outcome(data)
        assert (found == "UnsupportedFormat") == (format_of(data) not in supported_formats()), path
        outcomes[found] += 1
    # libtiff would write hundreds of lines about these files if it were let.
    assert capfd.readouterr().err == ""
    assert caplog.records == []
    # Of those that carry a known signature; the others are damaged on purpose, or of kinds Pillow lacks.
    recognised = outcomes.total() - outcomes["UnsupportedFormat"]
    assert outcomes["decoded"] / recognised > 0.9, outcomes


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_the_samples_are_sound(kind):
    assert outcome(sample(kind)) == "decoded"


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_our_errors(data):
    outcome(data)


@settings(max_examples=1000, deadline=None)
@given(
    st.sampled_from(
        [
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"BM",
            b"II*\0\x08\0\0\0",
            b"RIFF0000WEBPVP8X",
            b"\0\0\0\x18ftypavif",
        ]
    ),
    st.binary(max_size=120),
)
def test_random_bytes_behind_a_signature_raise_only_our_errors(signature, rest):
    assert outcome(signature + rest, limit=1_000_000) != "UnsupportedFormat"


@settings(max_examples=5000, deadline=None)
@given(
    st.integers(0, len(KINDS) - 1),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
    st.booleans(),
)
def test_corrupted_files_raise_only_our_errors(kind, changes, near_the_start):
    data = bytearray(sample(kind))
    for at, value in changes:
        data[at % (min(len(data), 256) if near_the_start else len(data))] = value
    outcome(bytes(data), limit=1_000_000)


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, len(KINDS) - 1), st.floats(0, 1), st.binary(max_size=8))
def test_files_cut_and_continued_otherwise_raise_only_our_errors(kind, part, rest):
    data = sample(kind)
    outcome(data[: int(len(data) * part)] + rest, limit=1_000_000)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [
            ("PNG", {}),
            ("BMP", {}),
            ("TIFF", {}),
            ("TIFF", {"compression": "tiff_deflate"}),
            ("WEBP", {"lossless": True}),
        ]
    ),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_lossless_formats_give_back_what_was_drawn(kind, width, height, seed):
    image_format, options = kind
    drawn = noise(width, height, seed=seed)
    result = decode(encoded(drawn, image_format, **options), max_pixels=1600)
    assert (result.width, result.height, result.image.tobytes()) == (width, height, drawn.tobytes())
