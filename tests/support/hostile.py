"""Image files that cost more than they look."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def jpeg_of_scans(scans: int, *, side: int = 64) -> bytes:
    """Return a progressive JPEG of so many scans, of which all but the first ones are empty."""
    out = io.BytesIO()
    Image.new("L", (side, side), 90).save(out, "JPEG", progressive=True)
    whole = out.getvalue()
    first = whole.count(b"\xff\xda")
    # One component, the highest coefficient, no new bits, and a run that says "nothing" of all blocks.
    empty = bytes.fromhex("ffda 0008 01 01 00 3f3f 00".replace(" ", "")) + b"\x7f\xff"
    return whole[:-2] + empty * (scans - first) + whole[-2:]


def float_tiff(width: int, height: int) -> bytes:
    """Return a TIFF of floats that says little in few bytes."""
    out = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.float32)).save(out, "TIFF", compression="tiff_adobe_deflate")
    return out.getvalue()


def png(mode: str, width: int, height: int) -> bytes:
    """Return a PNG of one colour that says little in few bytes; I;16 is grey of 16 bits."""
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, "PNG", compress_level=1)
    return out.getvalue()
