"""Estimates from the header how much memory decoding an image takes, and bounds the sum."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from image_similarity.domain.errors import ImageTooLarge, Overloaded

Grant = Callable[[int], None]
"""Called with the bytes that decoding will take. Returns when they may be allocated, or raises ImageTooLarge or
Overloaded."""

UNCOUNTED = 16 << 20
"""Bytes that decoding may take without a grant: a photo of 12 megapixels, decoded as a reduced JPEG, takes 1 MB."""

# Measured at 20 megapixels, in bytes per pixel, including the later conversion to RGB: WebP 16.0 to 16.5, AVIF 9.3 to
# 12.2 with 8 bits per sample.
OF_CONTAINER = {"WEBP": 17, "AVIF": 18, "HEIF": 18}
"""Bytes per pixel of the formats whose decoders hold several copies."""

_IN_MODE = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
"""Bytes per pixel of Pillow's modes that do not take four."""
_RGB = 4
_BITS_PER_SAMPLE, _ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT = 258, 278, 322, 323
_MOST_BITS = 64
_JPEG_COEFFICIENT = 2


def peak_bytes(file: ImageFile, name: str, *, full_size: tuple[int, int], scans: int = 1) -> int:
    """Estimate the peak memory of decoding in bytes, including the resulting RGB image.

    `file` is opened but not loaded, and set to the scale at which it will be decoded; `full_size` is (width, height)
    before that. `scans` is the number of scans of a JPEG.
    """
    pixels = file.width * file.height
    if name in OF_CONTAINER:
        return pixels * OF_CONTAINER[name]
    loaded = pixels * _IN_MODE.get(file.mode, 4)
    peak = loaded + pixels * _RGB
    if name == "PNG":
        peak = max(peak, loaded + 2 * file.width * _MOST_BITS // 8)  # two rows, to undo their filters
    if isinstance(file, JpegImageFile) and scans > 1:
        peak += _coefficients(file, full_size)
    if isinstance(file, TiffImageFile):
        peak += _strip(file)
    return peak


def _coefficients(file: JpegImageFile, full_size: tuple[int, int]) -> int:
    """Return the bytes of coefficients that libjpeg keeps for several scans, always at full size."""
    # One (id, horizontal, vertical, table) per component; sides are multiples of the coarsest component's blocks.
    across = max((layer[1] for layer in file.layer), default=1) or 1
    down = max((layer[2] for layer in file.layer), default=1) or 1
    share = sum(layer[1] * layer[2] for layer in file.layer) / (across * down)
    width, height = (side + 8 * most for side, most in zip(full_size, (across, down), strict=True))
    return round(width * height * share * _JPEG_COEFFICIENT)


def _strip(file: TiffImageFile) -> int:
    """Return the bytes of a strip or tile, which libtiff unpacks at once; of the whole image if the header is odd."""
    if not file.tile or file.tile[0][0] != "libtiff":
        return 0
    whole = file.width * file.height
    try:
        rows = min(int(file.tag_v2.get(_ROWS_PER_STRIP, file.height)), file.height)
        pixels = int(file.tag_v2.get(_TILE_WIDTH, file.width)) * int(file.tag_v2.get(_TILE_HEIGHT, rows))
        bits = sum(file.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    except (TypeError, ValueError):
        pixels, bits = whole, _MOST_BITS
    return min(whole, abs(pixels)) * min(_MOST_BITS, abs(bits)) // 8


class MemoryBudget:
    """Bounds the bytes that all concurrent decodings take together; first come, first served. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def taken(self) -> int:
        """Bytes in use."""
        return self._taken

    def take(self, wants: int, *, patience: float) -> None:
        """Reserve `wants` bytes, waiting up to `patience` seconds until others release theirs.

        Raises ImageTooLarge for more than the limit, Overloaded when the time is over.
        """
        if wants > self._limit:
            raise ImageTooLarge(
                f"Decoding the image takes {wants / 1e6:,.0f} MB of memory; the limit is {self._limit / 1e6:,.0f} MB "
                "(DECODE_MAX_BYTES). Send a smaller one."
            )
        me = object()
        with self._changed:
            self._queue.append(me)
            try:
                if not self._changed.wait_for(
                    lambda: self._queue[0] is me and self._taken + wants <= self._limit, patience
                ):
                    raise Overloaded(
                        "Other images take all memory that there is for decoding; try again in a moment.",
                        retry_after=patience,
                    )
                self._taken += wants
            finally:
                self._queue.remove(me)
                self._changed.notify_all()

    def give_back(self, bytes_taken: int) -> None:
        """Release reserved bytes."""
        with self._changed:
            self._taken -= bytes_taken
            self._changed.notify_all()
