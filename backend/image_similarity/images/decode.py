"""Image file bytes -> upright RGB pixels; any input gives either pixels or one of our errors."""

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
"""Scans per JPEG; a progressive one has about ten."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image that is ready for the encoder."""

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

    Takes the first frame of an animation, applies the EXIF orientation, composites transparency on white, and
    converts every colour mode to RGB. Ignores ICC profiles: pixels are taken as sRGB.

    A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which is several times as fast, as long as the
    shorter side keeps `min_short_side` and the longer `min_long_side` pixels. Both None: full size.

    `grant` is called with the bytes of memory that decoding will take, before they are allocated.

    Raises UnsupportedFormat if the signature is of no supported format, ImageTooLarge for more than `max_pixels`
    pixels (according to the header: nothing is decoded), ImageUndecodable for any other file that cannot be decoded
    to its last pixel, and what `grant` raises.
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
                # Before Pillow opens it, because opening makes libwebp allocate eight bytes per pixel at once.
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
            # Pillow checks a few sizes itself while reading a file, against a process-wide limit.
            limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
            raise ImageTooLarge(f"The image has more than {limit:,} pixels, which is the limit.") from error
        except Exception as error:
            # Pillow and its plugins raise at least fifteen unrelated exception types on broken files. Their messages
            # go to the log only, because they may contain addresses and other internals.
            raise ImageUndecodable(_complaint(name, error)) from error


class _Jpeg(JpegImageFile):
    """A JPEG that does not read the resolution, which we do not use, from its EXIF block, which may be broken."""

    def _read_dpi_from_exif(self) -> None:
        pass


class _Tiff(TiffImageFile):
    """A TIFF that does not read nested EXIF directories, which may be broken."""

    def load_end(self) -> None:
        ImageOps.exif_transpose(self, in_place=True)


def supported_formats() -> tuple[str, ...]:
    """Return the names of the formats that `decode` accepts in this installation."""
    return tuple(_openers())


@cache
def _openers() -> dict[str, Callable[[io.BytesIO], ImageFile]]:
    """Return the opener of each format; only the decoder that a file's signature names reads the file.

    `Image.open` is not used: it checks the size only against Pillow's own limit, which is process-wide and warns
    first, and it would search JPEGs for further pictures (MPO).
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
        Image.Image.close(file)  # frees its pixels before the third copy; the bytes belong to the caller
    if drawn is not None and drawn != (0, 0, *image.size):
        image = _alone_on_white(image, drawn)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    image.info.clear()  # a later `save` would write colour profile and transparency
    width, height = image.size
    if isinstance(file, JpegImageFile):
        width, height = full_size if orientation < 5 else full_size[::-1]
    return DecodedImage(image, width, height, name)


def _reduce(file: JpegImageFile, min_short_side: int, min_long_side: int) -> None:
    """Set a JPEG to the smallest scale that keeps both sides long enough; 0 and 0: full size."""
    if not (min_short_side or min_long_side):
        return
    for scale in (8, 4, 2):
        short, long = sorted(-(-side // scale) for side in file.size)
        if short >= min_short_side and long >= min_long_side:
            # `draft` takes the strongest reduction that keeps both sides at least this long: exactly this scale.
            file.draft(None, (max(1, file.width // scale), max(1, file.height // scale)))
            return


def _orientation(file: ImageFile) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none or the EXIF block is broken."""
    try:
        value = file.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # any type, as in `decode`; the picture itself may be good
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _alone_on_white(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Paint everything outside `box` white: Pillow leaves colour 0 where a GIF's first frame draws nothing."""
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
