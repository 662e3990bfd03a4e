"""Preprocessing of the model `mini`; a separate module without torch, because decoding processes import it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from image_similarity.domain.records import Pixels

SIDE = 224
"""Side of the square input of its image tower, in pixels."""


def squash(image: Image.Image) -> Pixels:
    """Squash an upright RGB image to (224, 224, 3), uint8, whatever its aspect ratio.

    Compared with a centre crop and a padded frame (table in the model card): a crop loses the rim of the image, and
    padding makes images of the same shape similar. Bilinear and bicubic retrieve equally well; bilinear takes half
    the time. `reducing_gap` is four times as fast for a 12-megapixel image.
    """
    return np.array(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0))
