"""Bytes to upright RGB: formats, orientation, limits, errors, reduced scale, threads."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pillow_heif
import pytest
from PIL import Image, features

from image_similarity.domain.errors import ImageUndecodable, UnsupportedFormat
from image_similarity.images import decode as decode_module
from image_similarity.images.decode import DecodedImage, decode, supported_formats
from image_similarity.images.suppress import warnings_ignored
from tests.support.paths import SHARED
from tests.support.sample_images import BLUE, GREEN, RED, YELLOW, encoded, exif, photo, quarters

ORIENTATION_PHOTOS = SHARED / "odd-images" / "exif-orientation"

LIMIT = 1_000_000
LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}}
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def opened(data: bytes, **options: int) -> DecodedImage:
    return decode(data, max_pixels=LIMIT, **options)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of the samples, 0 to 255."""
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean())


def quarter_colours(image: Image.Image) -> list[str]:
    """Nearest names of the four quarters' colours, in reading order."""
    names = {"R": RED, "G": GREEN, "B": BLUE, "Y": YELLOW}
    width, height = image.size
    found = []
    for y in (height // 4, height * 3 // 4):
        for x in (width // 4, width * 3 // 4):
            pixel = image.getpixel((x, y))
            found.append(min(names, key=lambda n: sum(abs(a - b) for a, b in zip(names[n], pixel, strict=True))))
    return found


class TestFormats:
    @pytest.mark.parametrize("image_format", LOSSLESS)
    def test_lossless_formats_come_back_pixel_for_pixel(self, image_format):
        drawn = photo(61, 47)
        result = opened(encoded(drawn, image_format, **LOSSLESS[image_format]))
        assert (result.format, result.width, result.height) == (image_format, 61, 47)
        assert result.image.mode == "RGB"
        assert result.image.tobytes() == drawn.tobytes()

    @pytest.mark.parametrize("image_format", ["JPEG", "WEBP", pytest.param("AVIF", marks=needs_avif)])
    def test_lossy_formats_come_back_nearly_the_same(self, image_format):
        drawn = photo(64, 48)
        result = opened(encoded(drawn, image_format, quality=90))
        assert result.format == image_format
        assert difference(result.image, drawn) < 6

    @pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_the_first_frame_of_several_is_taken(self, image_format):
        frames = [Image.new("RGB", (20, 10), colour) for colour in (RED, BLUE)]
        data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
        red, _, blue = opened(data).image.getpixel((5, 5))
        assert red > 245
        assert blue < 10

    def test_a_jpeg_with_further_pictures_counts_as_jpeg(self):
        data = encoded(photo(), "MPO", save_all=True, append_images=[photo(seed=1)])
        assert opened(data).format == "JPEG"

    def test_heic_as_of_an_iphone_is_decoded(self):
        out = io.BytesIO()
        pillow_heif.from_pillow(photo(64, 48)).save(out, quality=90)
        result = opened(out.getvalue())
        assert (result.format, result.width, result.height) == ("HEIF", 64, 48)
        assert difference(result.image, photo(64, 48)) < 8

    def test_heic_without_content_is_undecodable(self):
        with pytest.raises(ImageUndecodable):
            opened(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + b"\0" * 40)

    def test_supported_formats_are_named(self):
        assert {"JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "HEIF"} <= set(supported_formats())


class TestOrientation:
    @pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", pytest.param("AVIF", marks=needs_avif)])
    @pytest.mark.parametrize(
        ("orientation", "upright"),
        list(enumerate(["RGBY", "GRYB", "YBGR", "BYRG", "RBGY", "BRYG", "YGBR", "GYRB"], start=1)),
    )
    def test_exif_orientation_is_applied(self, image_format, orientation, upright):
        result = opened(encoded(quarters(64, 32), image_format, exif=exif(orientation)))
        assert "".join(quarter_colours(result.image)) == upright
        expected = (64, 32) if orientation < 5 else (32, 64)
        assert result.image.size == (result.width, result.height) == expected

    @pytest.mark.skipif(not ORIENTATION_PHOTOS.exists(), reason="no folder shared/odd-images beside the repository")
    @pytest.mark.parametrize("subject", ["Landscape", "Portrait"])
    def test_photos_of_all_orientations_look_alike(self, subject):
        results = [
            decode((ORIENTATION_PHOTOS / f"{subject}_{n}.jpg").read_bytes(), max_pixels=50_000_000) for n in range(1, 9)
        ]
        assert {(r.width, r.height) for r in results} == {results[0].image.size}
        small = [r.image.resize((64, 64)) for r in results]
        assert max(difference(small[0], other) for other in small) < 6

    @pytest.mark.parametrize(
        "block", [b"", b"x", b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\xff\xff\xff\xff", b"\xff" * 99]
    )
    @pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
    def test_a_broken_exif_block_does_not_spoil_the_picture(self, image_format, block):
        result = opened(encoded(quarters(), image_format, exif=b"Exif\0\0" + block))
        assert "".join(quarter_colours(result.image)) == "RGBY"

    def test_an_empty_resolution_in_exif_does_not_spoil_a_jpeg(self):
        entries = struct.pack("<HHHII", 2, 0x0128, 3, 1, 2) + struct.pack("<HHII", 0x011A, 2, 1, 0)
        data = encoded(quarters(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + entries + b"\0" * 4)
        jfif_end = 4 + int.from_bytes(data[4:6], "big")
        assert opened(data[:2] + data[jfif_end:]).width == 32

    @pytest.mark.parametrize("nested", [0x8769, 0x8825])
    def test_a_nested_exif_directory_out_of_place_does_not_spoil_a_tiff(self, nested):
        data = bytearray(encoded(quarters(), "TIFF", exif=exif(1), tiffinfo={nested: 8}))
        at = data.find(struct.pack("<H", nested))
        data[at : at + 12] = struct.pack("<HHIi", nested, 9, 1, -1)
        assert "".join(quarter_colours(opened(bytes(data)).image)) == "RGBY"

    def test_no_metadata_stays_in_the_result(self):
        assert opened(encoded(quarters(), "JPEG", exif=exif(6), comment=b"hi", icc_profile=b"p" * 200)).image.info == {}


class TestReducedScale:
    @pytest.mark.parametrize(
        ("short", "long", "scale"),
        [
            (None, None, 1),
            (300, None, 2),
            (301, None, 1),
            (None, 100, 8),
            (150, 200, 4),
            (150, 201, 2),
            (75, 100, 8),
            (601, 1, 1),
        ],
    )
    def test_a_jpeg_is_shrunk_only_while_both_sides_stay_long_enough(self, short, long, scale):
        result = opened(encoded(photo(800, 600), "JPEG"), min_short_side=short, min_long_side=long)
        assert (result.width, result.height) == (800, 600)
        assert result.image.size == (800 // scale, 600 // scale)

    def test_an_upright_size_is_told_of_a_turned_and_shrunk_jpeg(self):
        result = opened(encoded(quarters(801, 601), "JPEG", exif=exif(6)), min_short_side=100)
        assert (result.width, result.height) == (601, 801)
        assert result.image.size == (151, 201)
        assert "".join(quarter_colours(result.image)) == "BRYG"

    @pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (7, 9)])
    def test_tiny_sides_survive(self, size):
        assert min(opened(encoded(photo(*size), "JPEG"), min_short_side=1).image.size) >= 1

    def test_other_formats_keep_their_size(self):
        assert opened(encoded(photo(800, 600), "PNG"), min_short_side=10).image.size == (800, 600)


class TestErrors:
    @pytest.mark.parametrize(
        "data", [b"", b"\0", b"hello", b"%PDF-1.7", b"8BPS\0\x01", b"%!PS-Adobe", b"SIMPLE  =", b"<svg/>"]
    )
    def test_what_is_no_image_is_unsupported_and_the_formats_are_listed(self, data):
        with pytest.raises(UnsupportedFormat, match=r"JPEG.*PNG.*GIF.*BMP.*TIFF.*WEBP"):
            opened(data)

    def test_formats_that_pillow_knows_but_we_do_not_are_unsupported(self):
        for image_format in ("PPM", "TGA", "ICO", "EPS", "PCX", "SGI", "JPEG2000"):
            with pytest.raises(UnsupportedFormat):
                opened(encoded(photo(32, 32), image_format))

    @pytest.mark.parametrize(
        "signature",
        [
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"BM",
            b"II*\0",
            b"MM\0*",
            b"RIFF\0\0\0\0WEBPVP8 ",
        ],
    )
    def test_a_known_signature_with_nothing_behind_is_undecodable(self, signature):
        for tail in (b"", b"\0" * 40, b"\xff" * 40):
            with pytest.raises(ImageUndecodable):
                opened(signature + tail)

    @pytest.mark.parametrize(
        "image_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", pytest.param("AVIF", marks=needs_avif)]
    )
    @pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
    def test_a_file_cut_short_is_undecodable(self, image_format, part):
        options = {"compression": "tiff_lzw"} if image_format == "TIFF" else {}
        data = encoded(photo(120, 90), image_format, **options)
        with pytest.raises(ImageUndecodable, match=image_format):
            opened(data[: int(len(data) * part)])

    def test_the_message_holds_no_internals_and_the_cause_is_kept(self):
        with pytest.raises(ImageUndecodable) as caught:
            opened(b"BM" + b"\xff" * 60)
        assert "0x" not in str(caught.value)
        assert "PIL" not in str(caught.value)
        assert caught.value.__cause__ is not None

    @pytest.mark.parametrize(
        "error", [MemoryError, KeyError, RecursionError, zlib.error, AttributeError, ZeroDivisionError]
    )
    def test_whatever_the_decoder_raises_becomes_our_error(self, error, monkeypatch):
        def explode(_: object) -> None:
            raise error("<_io.BytesIO object at 0x7f00>")

        monkeypatch.setitem(decode_module._openers(), "PNG", explode)
        text = decode_module.TOO_MUCH_MEMORY if error is MemoryError else "The PNG file is damaged"
        with pytest.raises(ImageUndecodable, match=text) as caught:
            opened(encoded(photo(9, 9), "PNG"))
        assert isinstance(caught.value.__cause__, error)


class TestThreads:
    def test_many_threads_get_the_same_pixels(self):
        drawn = photo(150, 100)
        files = [encoded(drawn, f) for f in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")] * 20
        alone = [opened(data).image.tobytes() for data in files]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda data: opened(data).image.tobytes(), files))
        assert together == alone

    def test_only_the_decoding_thread_is_silent(self):
        with ThreadPoolExecutor(1) as other, warnings_ignored():
            warnings.warn("nobody hears this", UserWarning, stacklevel=1)
            heard = other.submit(warnings.warn, "this is heard", UserWarning)
            with pytest.raises(UserWarning, match="this is heard"):
                heard.result()
        with pytest.raises(UserWarning, match="so is this"):
            warnings.warn("so is this", UserWarning, stacklevel=1)
