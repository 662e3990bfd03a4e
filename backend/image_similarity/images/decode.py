"""Bytes of a picture -> upright RGB pixels; whatever a stranger sends, pixels or one of our errors."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from PIL import ExifTags, Image, ImageOps, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from pillow_heif import HeifImageFile

from image_similarity.domain.errors import (
    DecodeOutOfMemory,
    ImageSimilarityError,
    ImageTooLarge,
    ImageUndecodable,
    UnsupportedFormat,
)
from image_similarity.images.memory import OF_CONTAINER, Grant, peak_bytes
from image_similarity.images.rgb import fix_png_transparency, to_rgb
from image_similarity.images.signatures import format_of, jpeg_scans, webp_canvas
from image_similarity.images.suppress import silence_tiff, warnings_ignored

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the operation that undoes it."""

TOO_MUCH_MEMORY = "Decoding the image takes more memory than its header promises; save it anew and send that."

MAX_SCANS = 100
"""Of one JPEG; a progressive one has about ten."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image that is ready to be encoded."""

    image: Image.Image
    """RGB, upright, with an empty `info`; a JPEG may have been decoded at a reduced scale."""
    width: int
    """Pixels of the original, upright."""
    height: int
    format: str
    """Pillow's name: JPEG, PNG, GIF, WEBP, BMP, TIFF, AVIF or HEIF."""


def decode(
    data: bytes,
    *,
    max_pixels: int,
    min_short_side: int | None = None,
    min_long_side: int | None = None,
    grant: Grant = lambda _: None,
) -> DecodedImage:
    """Decode an image file of any supported format; safe in many threads at once.

    The first frame of an animation is taken, EXIF orientation applied, transparency composited on white,
    and every colour mode converted to RGB. ICC profiles are ignored: pixels are taken for sRGB.

    A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which is several times as fast, as long as the
    shorter side keeps `min_short_side` and the longer `min_long_side` pixels. Both None: full size.

    `grant` is asked for the memory that it will take, once that is known and before it is taken.

    Raises UnsupportedFormat for bytes that no supported format begins with, ImageTooLarge for more than
    `max_pixels` pixels (told from the header: nothing is decoded), ImageUndecodable for all else that cannot be
    decoded to its last pixel, and what `grant` raises.
    """
    name = format_of(data)
    opener = _openers().get(name or "")
    if name is None or opener is None:
        what = f"{name} is not supported here" if name else "The data is not an image of a supported format"
        raise UnsupportedFormat(f"{what}; supported are {', '.join(supported_formats())}.")
    with warnings_ignored():
        try:
            canvas = webp_canvas(data) if name == "WEBP" else None
            if canvas:
                # Before Pillow opens it, because there libwebp allocates eight bytes a pixel at once.
                _check_pixels(canvas, max_pixels)
                grant(canvas[0] * canvas[1] * OF_CONTAINER["WEBP"])
            scans = _check_scans(data) if name == "JPEG" else 1
            file = opener(io.BytesIO(data))
            full_size = file.size
            _check_pixels(full_size, max_pixels)
            if isinstance(file, JpegImageFile):
                _reduce(file, min_short_side or 0, min_long_side or 0)
            if not canvas:
                grant(peak_bytes(file, name, full_size=full_size, scans=scans))
            return _decode(file, name, full_size)
        except ImageSimilarityError:
            raise
        except MemoryError as error:
            raise DecodeOutOfMemory(TOO_MUCH_MEMORY) from error
        except Image.DecompressionBombError as error:
            # Pillow checks a few sizes itself, in the middle of reading a file, by a limit of the process.
            limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
            raise ImageTooLarge(f"The image has more than {limit:,} pixels, which is the limit.") from error
        except Exception as error:
            # Pillow and its plugins raise at least fifteen unrelated kinds of exceptions on broken files.
            # Their texts are kept for the log only: they may hold addresses and other internals.
            raise ImageUndecodable(_complaint(name, error)) from error


class _Jpeg(JpegImageFile):
    """A JPEG that does not ask its EXIF block, which may be broken, for a resolution that nobody needs."""

    def _read_dpi_from_exif(self) -> None:
        pass


class _Tiff(TiffImageFile):
    """A TIFF that leaves nested EXIF directories, which may be broken, unread."""

    def load_end(self) -> None:
        ImageOps.exif_transpose(self, in_place=True)


def supported_formats() -> tuple[str, ...]:
    """Names of the formats that `decode` accepts in this installation."""
    return tuple(_openers())


@cache
def _openers() -> dict[str, Callable[[io.BytesIO], ImageFile]]:
    """Return what opens each format; a file is shown to the one decoder that its signature names.

    `Image.open` is not used: it checks the size only against Pillow's own limit, which is global to the
    process and warns first, and it would have JPEGs searched for further pictures (MPO).
    """
    silence_tiff()
    openers: dict[str, Callable[[io.BytesIO], ImageFile]] = {
        "JPEG": _Jpeg,
        "PNG": PngImageFile,
        "GIF": GifImageFile,
        "BMP": BmpImageFile,
        "TIFF": _Tiff,
        "HEIF": HeifImageFile,
    }
    if features.check("webp"):
        openers["WEBP"] = WebPImageFile
    if features.check("avif"):
        openers["AVIF"] = AvifImageFile
    return openers


def _decode(file: ImageFile, name: str, full_size: tuple[int, int]) -> DecodedImage:
    if isinstance(file, PngImageFile) and file.tile:
        fix_png_transparency(file, str(file.tile[0].args))
    drawn = file.tile[0].extents if isinstance(file, GifImageFile) and file.tile else None
    file.load()
    orientation = _orientation(file)
    image = to_rgb(file)
    if image is not file:
        Image.Image.close(file)  # its pixels, before there are a third copy; the bytes are the caller's
    if drawn is not None and drawn != (0, 0, *image.size):
        image = _alone_on_white(image, drawn)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    image.info.clear()  # of what a later `save` would write: colour profile, transparency
    width, height = image.size
    if isinstance(file, JpegImageFile):
        width, height = full_size if orientation < 5 else full_size[::-1]
    return DecodedImage(image, width, height, name)


def _reduce(file: JpegImageFile, min_short_side: int, min_long_side: int) -> None:
    """Have a JPEG decoded at the smallest scale that keeps both sides long enough; 0 and 0: at full size."""
    if not (min_short_side or min_long_side):
        return
    for scale in (8, 4, 2):
        short, long = sorted(-(-side // scale) for side in file.size)
        if short >= min_short_side and long >= min_long_side:
            # `draft` takes the largest scale at which both sides stay at least this long: this very scale.
            file.draft(None, (max(1, file.width // scale), max(1, file.height // scale)))
            return


def _orientation(file: ImageFile) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none, or the EXIF block is broken."""
    try:
        value = file.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # any kind, as in `decode`; but the picture itself is good
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _alone_on_white(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Whiten all outside of `box`: where a GIF's first frame draws nothing, Pillow leaves colour number 0."""
    canvas = Image.new("RGB", image.size, (255, 255, 255))
    canvas.paste(image.crop(box), box)
    return canvas


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"The image has {width} x {height} = {width * height:,} pixels; the limit is {max_pixels:,}."
        )


def _check_scans(data: bytes) -> int:
    scans = jpeg_scans(data, exact_above=MAX_SCANS)
    if scans > MAX_SCANS:
        raise ImageUndecodable(
            f"The JPEG file has {scans:,} scans; the limit is {MAX_SCANS}. Save it anew and send that."
        )
    return scans


def _complaint(name: str, error: Exception) -> str:
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return f"The {name} file is cut short."
    return f"The {name} file is damaged, or of a variant that is not supported."
