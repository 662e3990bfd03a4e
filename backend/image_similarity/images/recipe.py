"""Everything that is made from one decoding of an image file, in a thread or in a separate process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from image_similarity.domain.errors import DecodeOutOfMemory
from image_similarity.domain.records import Pixels
from image_similarity.images.decode import TOO_MUCH_MEMORY, decode
from image_similarity.images.memory import Grant
from image_similarity.images.thumbnail import make_thumbnail

Preprocess = Callable[[Image.Image], Pixels]
"""Makes the model's input from an upright RGB image; thread-safe.

To run in a decoding process it must be a plain function, or a method of plain data, of a module without torch.
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The results wanted from one image file."""

    max_pixels: int
    min_short_side: int
    """Pixels that the shorter side of a JPEG keeps if it is decoded at a reduced scale."""
    min_long_side: int
    """The same for the longer side."""
    preprocess: tuple[Preprocess, ...] = ()
    thumbnail_side: int | None = None
    """Longest side of the thumbnail; None for no thumbnail."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The results made from one image file."""

    width: int
    """Pixels of the original, upright."""
    height: int
    format: str
    """Pillow's name."""
    pixels: tuple[Pixels, ...]
    """One result per `preprocess`."""
    thumbnail: bytes
    """WebP; empty if the recipe has no thumbnail."""


def prepare(data: bytes, recipe: Recipe, grant: Grant) -> Prepared:
    """Decode an image file and make the results of the recipe; raises as `decode`."""
    decoded = decode(
        data,
        max_pixels=recipe.max_pixels,
        min_short_side=recipe.min_short_side,
        min_long_side=recipe.min_long_side,
        grant=grant,
    )
    try:
        thumbnail = b""
        if recipe.thumbnail_side is not None:
            thumbnail = make_thumbnail(decoded.image, max_side=recipe.thumbnail_side)
        pixels = tuple(np.ascontiguousarray(preprocess(decoded.image)) for preprocess in recipe.preprocess)
    except MemoryError as error:
        raise DecodeOutOfMemory(TOO_MUCH_MEMORY) from error
    return Prepared(decoded.width, decoded.height, decoded.format, pixels, thumbnail)
