"""Reads format, size and scans from the bytes of a file, without a decoder."""

from __future__ import annotations

import re

import numpy as np

_PREFIXES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
)

_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIF"),
}
"""ISO base media brands of the two formats that share that container."""

_MAX_BRANDS = 64

_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""Excludes the markers within the data of a scan: stuffed zeros, restarts, fill bytes."""
_WITHOUT_LENGTH = (0x01, 0xD8)
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


def format_of(data: bytes) -> str | None:
    """Return Pillow's name of the format whose signature the bytes begin with; None if it is unknown."""
    for prefix, name in _PREFIXES:
        if data.startswith(prefix):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _container_format(data)
    return None


def _container_format(data: bytes) -> str | None:
    """Return AVIF or HEIF by the major brand, or else by the first known compatible brand."""
    end = min(int.from_bytes(data[:4], "big"), 16 + 4 * _MAX_BRANDS)
    for at in (8, *range(16, end, 4)):
        if name := _BRANDS.get(data[at : at + 4]):
            return name
    return None


def webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) in pixels from a WebP header; None if the header is damaged.

    Container layout: RFC 9649, sections 2.5 to 2.7.
    """
    chunk = data[12:16]
    if chunk == b"VP8X" and len(data) >= 30:
        return _little(data, 24, 3) + 1, _little(data, 27, 3) + 1
    if chunk == b"VP8L" and len(data) >= 25 and data[20] == 0x2F:
        bits = _little(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a" and len(data) >= 30:
        return _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF
    return None


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def jpeg_scans(data: bytes, *, exact_above: int) -> int:
    """Count the scans of a JPEG: exactly if there may be more than `exact_above`, otherwise an upper bound.

    A scan of twelve bytes can cost a pass over all pixels ("Two Issues with the JPEG Standard", LJT-01-003).
    """
    count, at = 0, 2
    while found := _JPEG_MARKER.search(data, at):
        marker, at = data[found.end() - 1], found.end()
        if marker == _END_OF_IMAGE:
            break
        if marker == _START_OF_SCAN:
            count += 1
            # 0.2 ms per megabyte; walking the data of all scans takes 8. An upper bound: it also counts other bytes.
            if count == 1 and (most := 1 + _pairs(data, at, _START_OF_SCAN)) <= exact_above:
                return most
        if marker not in _WITHOUT_LENGTH:
            # Skip the segment, which may contain anything, even a thumbnail with its own scans.
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return count


def _pairs(data: bytes, at: int, marker: int) -> int:
    """Count how often 0xFF is followed by `marker` from `at` on."""
    pair = 0xFF | marker << 8
    tails = (np.frombuffer(data, np.uint8)[start:] for start in (at, at + 1))
    return sum(int(np.count_nonzero(tail[: tail.size & ~1].view("<u2") == pair)) for tail in tails)
