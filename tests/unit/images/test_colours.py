"""Every mode that Pillow decodes comes out as RGB that looks right."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from image_similarity.domain.errors import ImageUndecodable
from image_similarity.images.decode import decode
from image_similarity.images.rgb import to_rgb
from tests.support.sample_images import BLACK, BLUE, GREEN, RED, WHITE, encoded, noise, png, png_chunk, quarters


def pixels_of(data: bytes) -> list[tuple[int, int, int]]:
    """All pixels in reading order."""
    image = decode(data, max_pixels=1_000_000).image
    assert image.mode == "RGB"
    return [tuple(p) for p in np.asarray(image).reshape(-1, 3).tolist()]


def row(mode: str, values: list) -> Image.Image:
    image = Image.new(mode, (len(values), 1))
    for x, value in enumerate(values):
        image.putpixel((x, 0), value)
    return image


def wide(values: list, dtype: str) -> Image.Image:
    return Image.fromarray(np.array([values], dtype=dtype))


def grey(*levels: int) -> list[tuple[int, int, int]]:
    return [(level,) * 3 for level in levels]


class TestPlainModes:
    @pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF", "GIF"])
    def test_grey_keeps_its_levels(self, image_format):
        assert pixels_of(encoded(row("L", [0, 1, 127, 255]), image_format)) == grey(0, 1, 127, 255)

    @pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF"])
    def test_one_bit_becomes_black_and_white(self, image_format):
        assert pixels_of(encoded(row("1", [0, 255, 0]), image_format)) == [BLACK, WHITE, BLACK]

    @pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF", "GIF"])
    def test_palette_colours_are_looked_up(self, image_format):
        drawn = quarters(8, 4)
        palette = drawn.convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
        assert decode(encoded(palette, image_format), max_pixels=99).image.tobytes() == drawn.tobytes()

    def test_cmyk_tiff_is_subtractive(self):
        inks = row("CMYK", [(0, 255, 255, 0), (255, 0, 255, 0), (0, 0, 0, 0), (0, 0, 0, 255)])
        assert pixels_of(encoded(inks, "TIFF")) == [RED, GREEN, WHITE, BLACK]

    @pytest.mark.parametrize("ink", [(0, 255, 255, 0), (255, 255, 0, 0), (0, 0, 0, 0), (0, 0, 0, 255)])
    def test_inverted_cmyk_jpeg_is_not_a_negative(self, ink):
        data = encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100)
        assert b"Adobe" in data
        expected = tuple((255 - sample) * (255 - ink[3]) // 255 for sample in ink[:3])
        assert np.allclose(pixels_of(data)[0], expected, atol=4)

    def test_ycbcr_tiff(self):
        drawn = Image.new("RGB", (16, 16), (200, 60, 30))
        assert np.allclose(pixels_of(encoded(drawn.convert("YCbCr"), "TIFF"))[0], (200, 60, 30), atol=3)

    @pytest.mark.parametrize("colour", [(200, 60, 30), BLACK, WHITE, (20, 90, 220)])
    def test_lab_tiff(self, colour):
        lab = ImageCms.profileToProfile(
            Image.new("RGB", (4, 4), colour),
            ImageCms.createProfile("sRGB"),
            ImageCms.createProfile("LAB"),
            outputMode="LAB",
        )
        assert np.allclose(pixels_of(encoded(lab, "TIFF"))[0], colour, atol=8)

    def test_hsv_and_padded_rgb(self):
        assert to_rgb(row("HSV", [(85, 255, 255)])).getpixel((0, 0)) == GREEN
        assert pixels_of(encoded(row("RGBX", [(1, 2, 3, 0), (4, 5, 6, 255)]), "TIFF")) == [
            (1, 2, 3),
            (4, 5, 6),
        ]

    def test_rgb_is_not_copied(self):
        image = quarters()
        assert to_rgb(image) is image

    def test_colour_profiles_are_ignored(self):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
        assert pixels_of(encoded(row("RGB", [RED]), "PNG", icc_profile=profile)) == [RED]

    def test_a_mode_without_conversion_is_undecodable(self):
        # Three floats a pixel are beyond Pillow.
        data = bytearray(encoded(Image.new("F", (2, 2)), "TIFF"))
        at = data.find(struct.pack("<HHI", 262, 3, 1))
        data[at + 8 : at + 10] = struct.pack("<H", 2)
        with pytest.raises(ImageUndecodable, match="TIFF"):
            pixels_of(bytes(data))


class TestTransparency:
    @pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
    def test_alpha_is_composited_on_white(self, image_format):
        options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
        data = encoded(row("RGBA", [(*RED, 255), (*RED, 0), (*BLACK, 128)]), image_format, **options)
        assert pixels_of(data) == [RED, WHITE, (127, 127, 127)]

    def test_grey_with_alpha(self):
        assert pixels_of(encoded(row("LA", [(9, 255), (9, 0), (0, 128)]), "PNG")) == grey(9, 255, 127)

    @pytest.mark.parametrize(("mode", "pixel"), [("La", (0, 128)), ("RGBa", (0, 0, 0, 128)), ("PA", (0, 128))])
    def test_premultiplied_and_palette_alpha(self, mode, pixel):
        image = Image.new("LA", (1, 1), (0, 128)) if mode == "La" else Image.new("RGBA", (1, 1), (0, 0, 0, 128))
        image = row("PA", [pixel]) if mode == "PA" else image.convert(mode)
        if mode == "PA":
            image.putpalette(BLACK)
        assert to_rgb(image).getpixel((0, 0)) == (127, 127, 127)

    def test_one_transparent_palette_entry(self):
        image = row("P", [0, 1])
        image.putpalette([*RED, *BLUE])
        for image_format in ("PNG", "GIF"):
            assert pixels_of(encoded(image, image_format, transparency=1)) == [RED, WHITE]

    def test_an_alpha_for_every_palette_entry(self):
        image = row("P", [0, 1, 2])
        image.putpalette([*RED, *BLACK, *BLUE])
        assert pixels_of(encoded(image, "PNG", transparency=bytes([255, 128, 0]))) == [
            RED,
            (127, 127, 127),
            WHITE,
        ]

    def test_one_transparent_colour(self):
        assert pixels_of(encoded(row("RGB", [RED, BLUE]), "PNG", transparency=BLUE)) == [RED, WHITE]
        assert pixels_of(encoded(row("L", [7, 8]), "PNG", transparency=8)) == grey(7, 255)
        assert pixels_of(encoded(row("1", [0, 255]), "PNG", transparency=0)) == grey(255, 255)

    @pytest.mark.parametrize(
        ("depth", "packed", "levels"), [(2, b"\x1b", (0, 255, 170, 255)), (4, b"\x01\x2f", (0, 255, 34, 255))]
    )
    def test_a_transparent_level_of_few_bits(self, depth, packed, levels):
        data = png(4, 1, depth, 0, packed, png_chunk(b"tRNS", b"\0\x01"))
        assert pixels_of(data) == grey(*levels)

    def test_a_transparent_colour_of_16_bits(self):
        colours = [(0x1234, 0x5678, 0x9ABC), (0x3434, 0x7878, 0xBCBC)]
        rows = b"".join(struct.pack(">3H", *colour) for colour in colours)
        data = png(2, 1, 16, 2, rows, png_chunk(b"tRNS", struct.pack(">3H", *colours[0])))
        assert pixels_of(data) == [WHITE, (0x34, 0x78, 0xBC)]

    def test_a_transparent_level_of_16_bits(self):
        data = png(2, 1, 16, 0, struct.pack(">2H", 0x1234, 0x1235), png_chunk(b"tRNS", b"\x12\x34"))
        assert pixels_of(data) == grey(255, 0x12)

    def test_where_a_gif_frame_does_not_reach_is_white(self):
        data = bytearray(encoded(Image.new("RGB", (2, 2), RED), "GIF"))
        data[6:10] = struct.pack("<HH", 4, 3)
        assert [p == RED for p in pixels_of(bytes(data))] == [True, True, False, False] * 2 + [False] * 4
        assert pixels_of(bytes(data))[-1] == WHITE

    def test_a_bmp_whose_alpha_is_zero_throughout_is_opaque(self):
        header = struct.pack("<IiiHHIIiiII", 108, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0)
        header += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"\0" * 52
        for alphas, expected in (((0, 0), [RED, BLUE]), ((0, 255), [WHITE, BLUE])):
            body = bytes([0, 0, 255, alphas[0], 255, 0, 0, alphas[1]])
            data = b"BM" + struct.pack("<IHHI", 14 + 108 + 8, 0, 0, 14 + 108) + header + body
            assert pixels_of(data) == expected


class TestMoreThanEightBits:
    @pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
    def test_16_bit_grey_is_scaled_not_clipped(self, image_format):
        data = encoded(wide([0, 257, 32768, 65535], "uint16"), image_format)
        assert pixels_of(data) == grey(0, 1, 128, 255)

    def test_16_bit_grey_of_the_other_byte_order(self):
        image = wide([0, 32768, 65535], ">u2")
        assert image.mode == "I;16B"
        assert pixels_of(encoded(image, "TIFF")) == grey(0, 128, 255)
        assert to_rgb(image).getpixel((1, 0)) == (128, 128, 128)

    def test_a_tiff_of_a_12_bit_sensor_is_not_black(self):
        levels = wide([0, 2048, 4095], "uint16")
        assert pixels_of(encoded(levels, "TIFF")) == grey(0, 128, 255)
        assert pixels_of(encoded(levels, "PNG")) == grey(0, 8, 15)

    def test_16_bit_colour(self):
        data = png(1, 1, 16, 2, struct.pack(">3H", 0xFFFF, 0x8000, 0))
        assert pixels_of(data) == [(255, 128, 0)]

    @pytest.mark.parametrize(
        ("values", "levels"),
        [
            ([0, 100, 255], (0, 100, 255)),
            ([0, 32896, 65535], (0, 128, 255)),
            ([0, 500_000, 1_000_000], (0, 128, 255)),
            ([-51, 0, 51], (0, 128, 255)),
            ([7, 7], (7, 7)),
            ([-7, -7], (0, 0)),
        ],
    )
    def test_32_bit_integers_are_scaled(self, values, levels):
        assert pixels_of(encoded(wide(values, "int32"), "TIFF")) == grey(*levels)

    @pytest.mark.parametrize(
        ("values", "levels"),
        [
            ([0, 0.5, 1], (0, 128, 255)),
            ([0, 100, 254.6], (0, 100, 255)),
            ([0, 32896, 65535], (0, 128, 255)),
            ([-1, 0, 1], (0, 128, 255)),
            ([np.nan, np.inf, -np.inf, 1], (0, 0, 0, 255)),
            ([np.nan, np.nan], (0, 0)),
            ([-3e38, 0, 3e38], (0, 128, 255)),
        ],
    )
    def test_floats_are_scaled(self, values, levels):
        assert pixels_of(encoded(wide(values, "float32"), "TIFF")) == grey(*levels)


def test_a_whole_picture_with_alpha_agrees_with_the_formula():
    drawn = noise(40, 30, channels=4)
    samples = np.asarray(drawn, dtype=np.float64)
    alpha = samples[..., 3:] / 255
    expected = samples[..., :3] * alpha + 255 * (1 - alpha)
    result = decode(encoded(drawn, "PNG"), max_pixels=2000).image
    assert np.abs(np.asarray(result) - expected).max() <= 1
