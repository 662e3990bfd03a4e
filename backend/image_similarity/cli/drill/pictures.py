"""Generated pictures: each number gives a different picture, and the same one in every run."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 160, 120


def draw(seed: int, number: int) -> bytes:
    """Return a JPEG of a few kB: blurred shapes of many colours, like a photograph out of focus."""
    chance = np.random.default_rng((seed, number))
    coarse = Image.fromarray(chance.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    out = io.BytesIO()
    coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(out, "JPEG", quality=80)
    return out.getvalue()
