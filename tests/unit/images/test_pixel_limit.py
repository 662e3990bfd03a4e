"""The pixel limit acts on the header, before anything is decoded."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest
from PIL import Image

from image_similarity.domain.errors import ImageTooLarge, ImageUndecodable
from image_similarity.images import decode as decode_module
from image_similarity.images.decode import DecodedImage, decode
from tests.support.sample_images import encoded, photo, png, png_chunk


def decode_a_megapixel(data: bytes) -> DecodedImage:
    return decode(data, max_pixels=1_000_000)


def test_a_header_alone_is_enough_to_refuse():
    data = png(100_000, 100_000, 8, 2, b"")
    with pytest.raises(ImageTooLarge, match=r"100000 x 100000 = 10,000,000,000 pixels; the limit is 1,000,000"):
        decode_a_megapixel(data)


@pytest.mark.parametrize("image_format", ["PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG"])
def test_the_limit_holds_exactly_for_every_format(image_format):
    data = encoded(Image.new("L", (40, 25)), image_format)
    assert decode(data, max_pixels=1000).width == 40
    with pytest.raises(ImageTooLarge, match="40 x 25"):
        decode(data, max_pixels=999)


@pytest.mark.parametrize("image_format", ["PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG"])
def test_nothing_is_decoded_of_a_picture_over_the_limit(image_format, monkeypatch):
    data = encoded(photo(900, 700), image_format)
    monkeypatch.setattr(decode_module, "_decode", lambda *_, **__: pytest.fail("decoded"))
    tracemalloc.start()
    with pytest.raises(ImageTooLarge):
        decode(data, max_pixels=900 * 700 - 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * len(data) + 1_000_000


def test_a_webp_is_refused_before_libwebp_allocates_its_canvas(monkeypatch):
    monkeypatch.setitem(decode_module._openers(), "WEBP", lambda _: pytest.fail("opened"))
    canvas = struct.pack("<I", 12_999)[:3]
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + canvas + canvas
    with pytest.raises(ImageTooLarge, match="13000 x 13000"):
        decode_a_megapixel(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk)
    for options in ({"lossless": True}, {"lossless": False}):
        with pytest.raises(ImageTooLarge, match="40 x 30"):
            decode(encoded(Image.new("RGB", (40, 30)), "WEBP", **options), max_pixels=100)


@pytest.mark.parametrize("side", [2000, 65_000])
def test_a_gif_frame_beyond_its_screen_counts(side):
    data = bytearray(encoded(Image.new("P", (10, 10)), "GIF"))
    at = data.index(b",", 13)
    data[at + 5 : at + 9] = struct.pack("<HH", side, side)
    with pytest.raises(ImageTooLarge, match="limit"):
        decode_a_megapixel(bytes(data))


def test_our_limit_rules_over_pillows_own(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode_a_megapixel(encoded(photo(50, 40), "PNG")).width == 50
    assert decode_a_megapixel(encoded(photo(50, 40), "JPEG")).width == 50


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_decompression_bomb_in_a_png_chunk_is_refused(kind):
    bomb = zlib.compress(b"\0" * 50_000_000)
    body = {b"iTXt": b"k\0\x01\0\0\0" + bomb}.get(kind, b"k\0\0" + bomb)
    tracemalloc.start()
    with pytest.raises(ImageUndecodable):
        decode_a_megapixel(png(1, 1, 8, 2, b"\0\0\0", png_chunk(kind, body)))
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
