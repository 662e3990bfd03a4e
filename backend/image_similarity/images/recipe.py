"""What is made of an image file in one go, in a thread or in a process of its own."""

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
"""Makes a model's input of an upright RGB image; safe in many threads.

To run in a decoding process it must be a plain function, or a method of plain data, of a module without torch.
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is wanted of an image file."""

    max_pixels: int
    min_short_side: int
    """Pixels below which no side of a JPEG is reduced while it is decoded; likewise the longer side, below."""
    min_long_side: int
    preprocess: tuple[Preprocess, ...] = ()
    thumbnail_side: int | None = None
    """Longest side of the thumbnail; None for no thumbnail."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a recipe made of an image file."""

    width: int
    """Pixels of the original, upright."""
    height: int
    format: str
    """Pillow's name."""
    pixels: tuple[Pixels, ...]
    """What each `preprocess` returned."""
    thumbnail: bytes
    """WebP; empty where none was wanted."""


def prepare(data: bytes, recipe: Recipe, grant: Grant) -> Prepared:
    """Decode an image file and make of it what the recipe says; raises as `decode`."""
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
