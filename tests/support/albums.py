"""Folders of drawn pictures whose labels a model can find out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.sample_images import encoded

SUBJECTS = {
    "apple": (200, 30, 30),
    "grass": (40, 160, 50),
    "lake": (30, 60, 190),
    "sand": (220, 200, 120),
}
"""Label -> colour."""


def drawing(label: str, number: int) -> Image.Image:
    """Draw a subject: a patch of its colour on grey, another size and place each time."""
    random = np.random.default_rng(number)
    pixels = random.normal(128, 10, (96, 128, 3)).clip(0, 255).astype(np.uint8)
    top, left = random.integers(0, 20, 2)
    bottom, right = top + random.integers(60, 76), left + random.integers(80, 108)
    pixels[top:bottom, left:right] = SUBJECTS[label]
    return Image.fromarray(pixels)


def labelled_album(folder: Path, *, each: int = 4) -> Path:
    """Write `each` pictures of each subject into a folder of its name."""
    for label in SUBJECTS:
        (folder / label).mkdir(parents=True)
        for number in range(each):
            (folder / label / f"{number}.png").write_bytes(encoded(drawing(label, number), "PNG"))
    return folder
