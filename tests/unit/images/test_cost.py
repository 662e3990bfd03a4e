"""What an image may cost: bounds on scans and on memory, told before anything is decoded."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from image_similarity.domain.errors import ImageTooLarge, ImageUndecodable
from image_similarity.images import rgb
from image_similarity.images.decode import MAX_SCANS, decode
from image_similarity.images.signatures import jpeg_scans
from image_similarity.images.thumbnail import THUMBNAIL_SIDE
from tests.support.hostile import float_tiff, jpeg_of_scans, png

LIMIT = 100_000_000


def asked(data: bytes, **options: int) -> int:
    """Bytes that decoding asks for; nothing is decoded."""
    wanted: list[int] = []

    def refuse(wants: int) -> None:
        wanted.append(wants)
        raise ImageTooLarge("no")

    with pytest.raises(ImageTooLarge, match="no"):
        decode(data, max_pixels=LIMIT, grant=refuse, **options)
    return wanted[0]


class TestScans:
    def test_a_jpeg_may_have_a_hundred(self) -> None:
        assert decode(jpeg_of_scans(MAX_SCANS), max_pixels=LIMIT).width == 64

    def test_more_are_refused_before_anything_is_decoded(self) -> None:
        with pytest.raises(ImageUndecodable, match="101 scans; the limit is 100"):
            decode(jpeg_of_scans(MAX_SCANS + 1), max_pixels=LIMIT)

    def test_those_of_a_thumbnail_in_the_header_do_not_count(self) -> None:
        inner = b"\xff\xda\x00\x08" * 120
        photo = jpeg_of_scans(12)
        data = photo[:2] + b"\xff\xe1" + (2 + len(inner)).to_bytes(2, "big") + inner + photo[2:]
        assert jpeg_scans(data, exact_above=MAX_SCANS) == 12
        assert decode(data, max_pixels=LIMIT).width == 64

    def test_nor_do_those_of_what_is_appended(self) -> None:
        data = jpeg_of_scans(12) + b"\xff\xda\x00\x08" * 120
        assert jpeg_scans(data, exact_above=MAX_SCANS) == 12

    def test_an_end_within_a_comment_hides_none(self) -> None:
        bomb = jpeg_of_scans(300)
        at = bomb.index(b"\xff\xda", bomb.index(b"\xff\xda") + 2)
        data = bomb[:at] + b"\xff\xfe\x00\x04\xff\xd9" + bomb[at:]
        assert jpeg_scans(data, exact_above=MAX_SCANS) == 300

    @pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xda", b"\xff\xd8\xff\xe1\x00"])
    def test_what_is_cut_short_is_counted_too(self, data: bytes) -> None:
        assert jpeg_scans(data, exact_above=0) == data.count(b"\xff\xda")


class TestMemory:
    def test_floats_cost_more_than_pixels(self) -> None:
        assert asked(float_tiff(1000, 800)) >= 8 * 800_000

    def test_a_jpeg_that_is_reduced_costs_what_is_left(self) -> None:
        out = io.BytesIO()
        Image.new("RGB", (4000, 3000)).save(out, "JPEG")
        assert asked(out.getvalue(), min_short_side=224, min_long_side=THUMBNAIL_SIDE) < 2 * 12_000_000
        assert asked(out.getvalue()) >= 4 * 12_000_000

    def test_but_the_coefficients_of_a_progressive_one_are_kept_whole(self) -> None:
        out = io.BytesIO()
        Image.new("RGB", (4000, 3000)).save(out, "JPEG", progressive=True, subsampling=0)
        assert asked(out.getvalue(), min_short_side=224, min_long_side=THUMBNAIL_SIDE) >= 6 * 12_000_000

    @pytest.mark.skipif(not features.check("webp"), reason="Pillow without WebP")
    def test_webp_is_asked_for_before_libwebp_takes_it(self) -> None:
        out = io.BytesIO()
        Image.new("RGB", (4000, 3000)).save(out, "WEBP", lossless=True)
        assert asked(out.getvalue()[:40]) >= 16 * 12_000_000

    @pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's peak of memory")
    @pytest.mark.parametrize(
        "data",
        [float_tiff(5000, 4000), png("RGB", 20_000_000, 1), png("RGBA", 5000, 4000), jpeg_of_scans(3, side=4472)],
        ids=["floats", "one row", "alpha", "progressive"],
    )
    def test_decoding_takes_no_more_than_it_asks_for(self, data: bytes, tmp_path: Path) -> None:
        (tmp_path / "image").write_bytes(data)
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE, str(tmp_path / "image")], capture_output=True, text=True, check=True
        )
        taken = int(done.stdout)
        # And what is converted at a time, whatever the size of the image.
        assert taken < asked(data) + 40_000_000


_MEASURE = """
import re, sys
from pathlib import Path
from image_similarity.images.decode import decode, supported_formats
supported_formats()
data = Path(sys.argv[1]).read_bytes()
peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
Path("/proc/self/clear_refs").write_text("5")
before = peak()
decode(data, max_pixels=100_000_000)
print(peak() - before)
"""


@pytest.mark.parametrize("size", [(37, 41), (500, 1), (1, 500)])
@pytest.mark.parametrize(
    "values",
    [
        pytest.param(lambda shape: np.random.default_rng(0).random(shape) * 1e9 - 5, id="wide floats"),
        pytest.param(lambda shape: np.random.default_rng(0).random(shape), id="floats up to 1"),
        pytest.param(lambda shape: np.random.default_rng(0).integers(-5, 1 << 30, shape), id="integers"),
    ],
)
def test_tiles_do_not_show(values: object, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = values(size[::-1])  # type: ignore[operator]
    image = Image.fromarray(drawn.astype(np.int32 if drawn.dtype == np.int64 else np.float32))
    whole = rgb.to_rgb(image)
    monkeypatch.setattr(rgb, "_TILE_PIXELS", 97)
    assert rgb.to_rgb(image).tobytes() == whole.tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I;16"])
def test_nor_in_any_mode(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.frombytes(mode, (40, 30), np.random.default_rng(0).bytes(40 * 30 * 4)[: _bytes(mode)])
    whole = rgb.to_rgb(image)
    monkeypatch.setattr(rgb, "_TILE_PIXELS", 97)
    assert rgb.to_rgb(image).tobytes() == whole.tobytes()


def _bytes(mode: str) -> int:
    row = {"1": 5, "L": 40, "P": 40, "LA": 80, "I;16": 80, "RGBA": 160, "CMYK": 160}
    return 30 * row.get(mode, 120)
