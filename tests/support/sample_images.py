"""Pictures drawn on the spot, the same in every run, so that tests need no photo files."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def photo(width: int = 320, height: int = 240, *, seed: int = 0) -> Image.Image:
    """Draw what behaves like a photograph: soft shapes of many colours with a little noise."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    noise = random.normal(0, 4, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def noise(width: int, height: int, *, seed: int = 0, channels: int = 3) -> Image.Image:
    """Draw pixels that have nothing to do with each other: L, RGB or RGBA for 1, 3 or 4 channels."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def quarters(width: int = 32, height: int = 16) -> Image.Image:
    """Draw four quarters: red, green above; blue, yellow below. Shows any turn or flip."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(YELLOW, (width // 2, height // 2, width, height))
    return image


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """Write an image to bytes with Pillow."""
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def exif(orientation: int) -> bytes:
    """Make an EXIF block that holds an orientation, and a position on Earth to be kept private."""
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010F] = "SecretCamera"
    block.get_ifd(0x8825)[1] = "N"
    return block.tobytes()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Frame the body of a PNG chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes, *extra: bytes) -> bytes:
    """Write a PNG by hand, for kinds that Pillow cannot write; `rows` is unfiltered, `extra` whole chunks."""
    stride = len(rows) // height if rows else 0
    filtered = b"".join(b"\0" + rows[y * stride : (y + 1) * stride] for y in range(height if rows else 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
        + b"".join(extra)
        + png_chunk(b"IDAT", zlib.compress(filtered))
        + png_chunk(b"IEND", b"")
    )
