"""Pixels of any kind that Pillow decodes -> RGB that looks right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_WHITE = (255, 255, 255)
_STORED_AS_8_BIT = {"L;2": 255 // 3, "L;4": 255 // 15}
"""Factor by which Pillow spreads the grey levels of a PNG of 2 or 4 bits."""


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded image of any mode to RGB; one that is RGB already is returned as it is.

    Transparency is composited on white. Grey and floating-point values of more than 8 bits are scaled to
    0..255. ICC profiles are not applied. Raises ValueError for a mode that Pillow cannot convert.
    """
    mode = image.mode
    if mode.startswith("I;16"):
        return _from_16_bits(image)
    if mode in ("I", "F"):
        return _from_wide_range(image, ceilings=(255, 65535) if mode == "I" else (1, 255, 65535))
    if mode == "LAB":
        return _from_lab(image)
    if mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"), may_be_padding=image.format == "BMP")
    return image if mode == "RGB" else image.convert("RGB")


def fix_png_transparency(image: Image.Image, raw_mode: str) -> None:
    """Bring the transparent colour of a PNG to the scale of the decoded pixels.

    `raw_mode` is Pillow's name of how samples are stored. A PNG names the colour at its own bit depth, and
    Pillow hands it on unchanged although it delivers grey of 2 or 4 bits, and RGB of 16, as 8.
    """
    colour: Any = image.info.get("transparency")
    if raw_mode in _STORED_AS_8_BIT and isinstance(colour, int):
        image.info["transparency"] = colour * _STORED_AS_8_BIT[raw_mode] & 0xFF
    elif raw_mode == "RGB;16B" and isinstance(colour, tuple):
        image.info["transparency"] = tuple(sample >> 8 for sample in colour)


def _on_white(image: Image.Image, *, may_be_padding: bool) -> Image.Image:
    """Composite RGBA on white.

    Many programs write zeros where a BMP of 32 bits has its alpha, so with `may_be_padding` an image that
    would be invisible altogether is taken for opaque, as browsers do.
    """
    alpha = image.getchannel("A")
    rgb = image.convert("RGB")
    extremes = alpha.getextrema()
    if extremes == (255, 255) or (may_be_padding and extremes == (0, 0)):
        return rgb
    canvas = Image.new("RGB", image.size, _WHITE)
    canvas.paste(rgb, mask=alpha)
    return canvas


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Keep the upper 8 bits of 16-bit grey, as Pillow does with 16-bit colour; honour a transparent level.

    A TIFF without any value above 12 bits is taken for what a camera sensor of 12 bits delivers, which is
    commonly stored that way and would come out black.
    """
    values = np.asarray(image)
    shift = 4 if image.format == "TIFF" and values.max() < 4096 else 8
    grey = (values >> shift).astype(np.uint8)
    level = image.info.get("transparency")
    if isinstance(level, int):
        grey[values == level] = 255
    return Image.fromarray(grey).convert("RGB")


def _from_wide_range(image: Image.Image, *, ceilings: Sequence[int]) -> Image.Image:
    """Scale integers of 32 bits or floats, whose white no header names, to 0..255.

    White is the lowest of `ceilings` that no value exceeds. Where a value is negative or exceeds them all,
    the darkest value becomes black and the brightest white. What is not a finite number becomes black.
    """
    values: NDArray[np.float32] = np.asarray(image).astype(np.float32)
    finite = np.isfinite(values)
    low = float(values.min(where=finite, initial=np.inf))
    high = float(values.max(where=finite, initial=-np.inf))
    if low >= 0:
        high = next((ceiling for ceiling in ceilings if high <= ceiling), high)
        low = 0.0 if high in ceilings else low
    # In float64, where the difference of two float32 cannot overflow; at least 1e-30, where they are equal.
    scale = 255.0 / max(high - low, 1e-30)
    with np.errstate(all="ignore"):
        levels = np.where(finite, (values.astype(np.float64) - low) * scale, 0.0)
    return Image.fromarray(np.rint(levels.clip(0, 255)).astype(np.uint8)).convert("RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    """Convert CIE L*a*b* to sRGB, which Pillow's `convert` cannot."""
    converted = ImageCms.profileToProfile(
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    if converted is None:  # only for inPlace=True
        raise ValueError("no conversion from LAB")
    return converted
