"""Converts pixels of any Pillow mode to RGB that looks right; large images are converted in tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_WHITE = (255, 255, 255)
_STORED_AS_8_BIT = {"L;2": 255 // 3, "L;4": 255 // 15}
"""Factor by which Pillow scales the grey levels of a PNG of 2 or 4 bits."""
_TILE_PIXELS = 1 << 19
"""Pixels converted at once, because floats take up to 40 bytes per pixel during the conversion."""

Convert = Callable[[Image.Image], Image.Image]
Box = tuple[int, int, int, int]


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded image of any mode to RGB; an RGB image is returned unchanged.

    Transparency is composited on white. Grey and floating-point values of more than 8 bits are scaled to
    0..255. ICC profiles are not applied. Raises ValueError for a mode that Pillow cannot convert.
    """
    convert = _converter(image)
    return image if convert is None else _in_tiles(image, convert)


def fix_png_transparency(image: Image.Image, raw_mode: str) -> None:
    """Scale the transparent colour of a PNG to the decoded pixels.

    `raw_mode` is Pillow's name of the sample format. A PNG gives the colour at its own bit depth, and Pillow keeps it
    unchanged although it converts grey of 2 or 4 bits, and RGB of 16, to 8 bits.
    """
    colour: Any = image.info.get("transparency")
    if raw_mode in _STORED_AS_8_BIT and isinstance(colour, int):
        image.info["transparency"] = colour * _STORED_AS_8_BIT[raw_mode] & 0xFF
    elif raw_mode == "RGB;16B" and isinstance(colour, tuple):
        image.info["transparency"] = tuple(sample >> 8 for sample in colour)


def _converter(image: Image.Image) -> Convert | None:
    """Return a function that converts any part of the image to RGB; None if the image is RGB."""
    mode = image.mode
    if mode.startswith("I;16"):
        return _from_16_bits(image)
    if mode in ("I", "F"):
        return _from_wide_range(image, ceilings=(255, 65535) if mode == "I" else (1, 255, 65535))
    if mode == "LAB":
        return _from_lab()
    if mode == "La" or image.has_transparency_data:
        if image.format == "BMP" and _is_invisible(image):
            # Many programs write zeros into the alpha channel of a 32-bit BMP; like browsers, take it as opaque.
            return lambda part: part.convert("RGB")
        return _on_white
    return None if mode == "RGB" else lambda part: part.convert("RGB")


def _in_tiles(image: Image.Image, convert: Convert) -> Image.Image:
    if image.width * image.height <= _TILE_PIXELS:
        return convert(image)
    converted = Image.new("RGB", image.size)
    for box in _tiles(image.size):
        converted.paste(convert(image.crop(box)), box)
    return converted


def _tiles(size: tuple[int, int]) -> Iterator[Box]:
    """Yield boxes of at most _TILE_PIXELS that cover an area of any shape."""
    columns = min(size[0], _TILE_PIXELS)
    rows = max(1, _TILE_PIXELS // columns)
    for top in range(0, size[1], rows):
        for left in range(0, size[0], columns):
            yield left, top, min(left + columns, size[0]), min(top + rows, size[1])


def _parts(image: Image.Image) -> Iterator[NDArray[Any]]:
    """Yield the values of the image, tile by tile."""
    for box in _tiles(image.size):
        yield np.asarray(image.crop(box))


def _is_invisible(image: Image.Image) -> bool:
    alphas = (_rgba(image.crop(box)).getchannel("A") for box in _tiles(image.size))
    return all(alpha.getextrema() == (0, 0) for alpha in alphas)


def _on_white(part: Image.Image) -> Image.Image:
    rgba = _rgba(part)
    alpha = rgba.getchannel("A")
    rgb = rgba.convert("RGB")
    if alpha.getextrema() == (255, 255):
        return rgb
    canvas = Image.new("RGB", part.size, _WHITE)
    canvas.paste(rgb, mask=alpha)
    return canvas


def _rgba(part: Image.Image) -> Image.Image:
    # Pillow cannot convert grey with premultiplied alpha (La) to RGBA directly.
    return (part.convert("LA") if part.mode == "La" else part).convert("RGBA")


def _from_16_bits(image: Image.Image) -> Convert:
    """Keep the upper 8 bits of 16-bit grey, as Pillow does with 16-bit colour; a transparent level becomes white.

    A TIFF without values above 12 bits is taken as the output of a 12-bit camera sensor, which is commonly stored
    that way and would come out black otherwise.
    """
    shift = 4 if image.format == "TIFF" and all(part.max() < 4096 for part in _parts(image)) else 8
    level = image.info.get("transparency")

    def convert(part: Image.Image) -> Image.Image:
        values = np.asarray(part)
        grey = (values >> shift).astype(np.uint8)
        if isinstance(level, int):
            grey[values == level] = 255
        return Image.fromarray(grey).convert("RGB")

    return convert


def _from_wide_range(image: Image.Image, *, ceilings: Sequence[int]) -> Convert:
    """Scale 32-bit integers or floats, for which no header defines white, to 0..255.

    White is the lowest of `ceilings` that no value exceeds. If a value is negative or exceeds them all, the darkest
    value becomes black and the brightest white. Values that are not finite become black.
    """
    low, high = np.inf, -np.inf
    for values in map(_as_floats, _parts(image)):
        finite = np.isfinite(values)
        low = min(low, float(values.min(where=finite, initial=np.inf)))
        high = max(high, float(values.max(where=finite, initial=-np.inf)))
    if low >= 0:
        high = next((ceiling for ceiling in ceilings if high <= ceiling), high)
        low = 0.0 if high in ceilings else low
    # In float64, so that the difference of two float32 cannot overflow; at least 1e-30, in case they are equal.
    scale = 255.0 / max(high - low, 1e-30)

    def convert(part: Image.Image) -> Image.Image:
        values = _as_floats(np.asarray(part))
        with np.errstate(all="ignore"):
            levels = np.where(np.isfinite(values), (values.astype(np.float64) - low) * scale, 0.0)
        return Image.fromarray(np.rint(levels.clip(0, 255)).astype(np.uint8)).convert("RGB")

    return convert


def _as_floats(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(np.float32)


def _from_lab() -> Convert:
    """Convert CIE L*a*b* to sRGB, which Pillow's `convert` cannot do."""
    to_srgb = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")

    def convert(part: Image.Image) -> Image.Image:
        converted = ImageCms.applyTransform(part, to_srgb)
        if converted is None:  # only for inPlace=True
            raise ValueError("no conversion from LAB")
        return converted

    return convert
