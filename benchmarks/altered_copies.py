"""Copies of a photograph with typical changes: smaller, brighter, cropped, compressed again."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageEnhance


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """Write an image as JPEG."""
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=quality)
    return out.getvalue()


def webp(image: Image.Image) -> bytes:
    """Write an image as WebP."""
    out = io.BytesIO()
    image.convert("RGB").save(out, "WEBP", quality=60)
    return out.getvalue()


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Return the centre crop of an image with this share of its width and height."""
    width, height = round(image.width * share), round(image.height * share)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def shrunk(image: Image.Image, width: int) -> Image.Image:
    """Return an image at another width."""
    return image.resize((width, max(1, round(image.height * width / image.width))))


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG, quality 75": lambda image: jpeg(image, 75),
    "brightness + 20 %": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(1.2)),
    "brightness - 20 %": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(0.8)),
    "mirrored": lambda image: jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "middle 95 %": lambda image: jpeg(cropped(image, 0.95)),
    "half the size": lambda image: jpeg(shrunk(image, image.width // 2)),
    "WebP, quality 60": webp,
    "middle 90 %": lambda image: jpeg(cropped(image, 0.9)),
    "JPEG, quality 30": lambda image: jpeg(image, 30),
    "192 pixels wide": lambda image: jpeg(shrunk(image, 192)),
    "turned by 5 degrees": lambda image: jpeg(image.rotate(5, resample=Image.Resampling.BICUBIC)),
    "middle 80 %": lambda image: jpeg(cropped(image, 0.8)),
    "grey": lambda image: jpeg(image.convert("L")),
    "JPEG, quality 10": lambda image: jpeg(image, 10),
}
"""Name of a change -> function from the photograph to the bytes of the changed copy."""
