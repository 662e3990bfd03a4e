"""Requests of the clients: photographs that are new to the server, and queries with different popularity."""

from __future__ import annotations

import base64
import io
import itertools
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

QUERIES = 500
"""Default number of different queries."""
SHIPPED = 32
"""Photographs cut from those that scikit-image and scikit-learn ship."""
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}

_QUALITIES = range(80, 101, 4)


class Photos:
    """Request bodies with photographs, which are cheap to make: an encoded photograph and a few bytes after it.

    The bytes are behind the image's end, where no decoder looks. A server that knows images by their content has to
    do all of its work again, and a cache that was filled by an earlier run knows none of this run's queries.
    """

    def __init__(self, files: Sequence[bytes], *, queries: int = QUERIES) -> None:
        """Raises ValueError if there are no files."""
        if not files:
            raise ValueError("There are no photographs to send.")
        self._chance = random.Random()  # noqa: S311 - nothing here is a secret
        # Whole groups of three bytes, so that the base64 of what follows can be appended.
        self._encoded = [base64.b64encode(file + bytes(-len(file) % 3)) for file in files]
        self._queries = [(self._encoded[number % len(files)], _tail()) for number in range(queries)]
        # Zipf's law: the query of rank n is sent 1/n as often as the first.
        self._popularity = list(itertools.accumulate(1 / rank for rank in range(1, queries + 1)))

    def index_body(self, image_id: str) -> tuple[bytes, ...]:
        """Return the parts of a JSON body that indexes an image never seen before as `image_id`."""
        fields = f'{{"image_id":"{image_id}","metadata":{{"load_test":true}},"image_data":"'
        return fields.encode(), self._chance.choice(self._encoded), _tail(), b'"}'

    def search_body(self) -> tuple[bytes, ...]:
        """Return the parts of a JSON body that asks one of the queries, the popular ones more often."""
        photo, tail = self._chance.choices(self._queries, cum_weights=self._popularity)[0]
        return b'{"top_k":10,"image_data":"', photo, tail, b'"}'


def read_photos(folder: Path | None) -> list[bytes]:
    """Return the image files of a folder; without a folder, crops of photographs that two packages ship.

    Raises OSError if the folder cannot be read and ValueError if it contains no images.
    """
    if folder is None:
        return shipped_photos(SHIPPED)
    files = [path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
    if not files:
        raise ValueError(f"There are no image files in {folder}.")
    return files


def shipped_photos(count: int, *, size: int = 100_000) -> list[bytes]:
    """Cut JPEGs of 500 x 375 pixels and about `size` bytes from the photographs of two packages; always the same ones.

    Raises ImportError if scikit-image or scikit-learn is missing.
    """
    import numpy as np
    from PIL import Image
    from skimage import data
    from sklearn.datasets import load_sample_images  # type: ignore[import-untyped]

    chance = np.random.default_rng(0)
    named: Any = (data.astronaut, data.chelsea, data.coffee, data.rocket)
    shipped = [*(picture() for picture in named), *load_sample_images().images]
    sources = [Image.fromarray(pixels) for pixels in shipped]
    files = []
    for number in range(count):
        source = sources[number % len(sources)]
        width, height = int(chance.integers(200, source.width)), int(chance.integers(200, source.height))
        left, top = int(chance.integers(source.width - width + 1)), int(chance.integers(source.height - height + 1))
        photo = source.crop((left, top, left + width, top + height)).resize((500, 375))
        # The quality at which even a smooth picture has the size of a camera's.
        tries = (_jpeg(photo, quality) for quality in _QUALITIES)
        files.append(next((file for file in tries if len(file) >= size), None) or _jpeg(photo, _QUALITIES[-1]))
    return files


def _jpeg(photo: Any, quality: int) -> bytes:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _tail() -> bytes:
    return base64.b64encode(os.urandom(18))
